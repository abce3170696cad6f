"""Segmentations compared on a simulated country: time, over- and under-segmentation, accuracy by objects and by pixels."""

import json
import time

import bench_land_cover_maps as cases
import numpy as np
import xarray as xr
from skimage import measure

from ceiba.classification.maps.prediction import map_land_cover, predict_probabilities
from ceiba.classification.objects.prediction import BY, predict_objects
from ceiba.classification.objects.segmentation import CELL_PX, METHODS, segment_objects

SEED = 105
SIZES = (10, 25)


def main() -> dict[str, object]:
    """Every figure by name."""
    model, features, truth, _, held_out = cases.make_case(SEED)
    middle = features[[name for name in features.data_vars if str(name).endswith("_50")]]
    # Fixed factors, so that every tile is scaled alike: about the spread of reflectance between land covers.
    scaled = middle / 0.05
    plain = map_land_cover(predict_probabilities(model, features, cases.LEGEND))["land_cover"].values
    figures: dict[str, object] = {"pixels, overall accuracy [1]": float((plain == truth)[held_out].mean())}
    for method in METHODS:
        for size in SIZES:
            start = time.process_time()
            segments = segment_objects(scaled, method=method, pixels_a_segment=size)
            row = {"CPU [s per Mpx]": (time.process_time() - start) / truth.size * 1e6} | compare(segments.values, truth)
            for by in BY:
                share = predict_objects(model, features, cases.LEGEND, segments, by=by)
                row[f"overall accuracy, {by} [1]"] = float((map_land_cover(share)["land_cover"].values == truth)[held_out].mean())
            whole = segment_objects(scaled, method=method, pixels_a_segment=size, cell_px=truth.shape[0])
            row["overall accuracy, one cell for all, probabilities [1]"] = float(
                (map_land_cover(predict_objects(model, features, cases.LEGEND, whole))["land_cover"].values == truth)[held_out].mean()
            )
            row |= seams(segments)
            figures[f"{method}, {size} pixels a segment"] = {name: round(value, 4) for name, value in row.items()}
    print(json.dumps(figures, indent=1))
    return figures


def compare(segments: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean size, undersegmentation and achievable accuracy (Neubert & Protzel 2012), and segments a true patch."""
    seen = segments > 0
    names, place = np.unique(segments[seen], return_inverse=True)
    counts = np.zeros((len(names), 32), dtype="int64")
    np.add.at(counts, (place, truth[seen]), 1)
    inside = counts.max(axis=1)
    size = counts.sum(axis=1)
    lost = np.minimum(counts, size[:, None] - counts).sum() / size.sum()
    patches = len(np.unique(measure.label(truth, connectivity=1)))
    return {
        "mean size [pixels]": float(size.mean()),
        "undersegmentation error [1]": float(lost),
        "achievable accuracy [1]": float(inside.sum() / size.sum()),
        "segments a true patch": len(names) / patches,
    }


def seams(segments: xr.DataArray) -> dict[str, float]:
    """Share of neighboring pixels in different segments [1] at seams of the lattice and elsewhere: the price of exact tiles."""
    across = segments.values[:, 1:] != segments.values[:, :-1]
    at = np.arange(CELL_PX, segments.shape[1], CELL_PX) - 1
    return {
        "pairs parted at seams [1]": float(across[:, at].mean()),
        "pairs parted elsewhere [1]": float(np.delete(across, at, axis=1).mean()),
    }


if __name__ == "__main__":
    main()
