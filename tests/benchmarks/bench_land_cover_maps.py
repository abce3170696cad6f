"""Smoothing and minimum unit on simulated countries."""

import json
import warnings

import numpy as np
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.maps.blocks import MapSettings, map_by_blocks
from ceiba.classification.models.calibration import Softening
from ceiba.classification.models.classifiers import fit_classifier
from ceiba.classification.models.land_cover_model import LandCoverModel
from ceiba.legends import load_legend
from ceiba.simulation.country import PIXEL_M, CountrySettings, make_country
from ceiba.simulation.country_series import block_series

LEGEND = load_legend("mexico_31")
COARSER = (load_legend("mexico_17"), load_legend("mexico_8"))
SIDE_PX, BLOCK_PX, SAMPLES = 192, 64, 2000
# Settings are chosen on the first countries; the effect that is told is that on the others.
CHOOSING, TELLING = (101, 102), (103, 104)
TRIED = {
    "plain": MapSettings(window_px=1),
    "coarse first": MapSettings(window_px=1, first="coarse"),
    "smoothing 5, 5": MapSettings(window_px=5, smoothness=5.0),
    "smoothing 5, 20": MapSettings(window_px=5, smoothness=20.0),
    "smoothing 7, 20": MapSettings(window_px=7, smoothness=20.0),
    "smoothing 5, 5, all neighbors": MapSettings(window_px=5, smoothness=5.0, share=1.0),
    "unit 0.5 ha": MapSettings(window_px=1, unit_ha=0.5),
    "smoothing 5, 5, unit 0.5 ha": MapSettings(window_px=5, smoothness=5.0, unit_ha=0.5),
}


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {}
    chosen: dict[int, dict[str, list[float]]] = {}
    for seed in (*CHOOSING, *TELLING):
        chosen[seed] = measure_country(seed)
    for name, seeds in (("chosen on", CHOOSING), ("told of", TELLING)):
        figures[f"overall accuracy of 31, 17, 8 classes, {name} countries {seeds} [%]"] = {
            setting: np.round(np.mean([chosen[seed][setting] for seed in seeds], axis=0), 2).tolist() for setting in TRIED
        }
    best = max(TRIED, key=lambda setting: np.mean([chosen[seed][setting][0] for seed in CHOOSING]))
    gains = [chosen[seed][best][0] - chosen[seed]["plain"][0] for seed in TELLING]
    figures["best where chosen"] = best
    figures["its gain on the other countries, 31 classes [points]"] = np.round(gains, 2).tolist()
    print(json.dumps(figures, indent=1))
    return figures


def make_case(seed: int) -> tuple[LandCoverModel, xr.Dataset, np.ndarray, xr.DataArray, np.ndarray]:
    """A model trained on half of the blocks of a country; features, true classes and areas of all; the other half."""
    country = make_country(seed, CountrySettings(side_px=SIDE_PX, years=(2018,)))
    series = block_series(country, row=0, column=0, side_px=SIDE_PX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a pixel without any clear date has no features
        layers = {
            f"{name}_{share}": (("y", "x"), values)
            for name, band in series.data_vars.items()
            for share, values in zip((10, 50, 90), np.nanpercentile(band.values, (10, 50, 90), axis=0).astype("float32"), strict=True)
        }
    features = xr.Dataset(layers)
    row, column = np.mgrid[:SIDE_PX, :SIDE_PX] // BLOCK_PX
    held_out = (row + column) % 2 == 1
    seen = np.isfinite(np.stack([layer.values for layer in features.values()])).all(axis=0)
    truth = country.first_codes
    random = np.random.default_rng(seed)
    at = random.choice(np.flatnonzero(~held_out & seen), SAMPLES, replace=False)
    columns = np.stack([layer.values.ravel()[at] for layer in features.values()], axis=-1)
    trees = fit_classifier("extra_trees", columns, truth.ravel()[at], seed=seed, options={"trees": 60})
    model = LandCoverModel(trees, tuple(features.data_vars), LEGEND.name, LEGEND.fingerprint, Softening(1.0, 0.01))
    geobox = GeoBox((SIDE_PX, SIDE_PX), Affine(PIXEL_M, 0, 4e6, 0, -PIXEL_M, 1.2e6), "EPSG:6372")
    return model, features, truth, pixel_areas(geobox), held_out & seen


def measure_country(seed: int) -> dict[str, list[float]]:
    """Overall accuracy [%] of 31, 17 and 8 classes in held-out blocks by setting."""
    model, features, truth, areas, held_out = make_case(seed)
    out = {}
    for name, settings in TRIED.items():
        found = map_by_blocks(model, features, LEGEND, areas, settings=settings)["land_cover"].values[held_out]
        true = truth[held_out]
        scores = [float((found == true).mean())]
        for above in COARSER:
            table = np.zeros(256, dtype="uint8")
            for code, parent in LEGEND.parents(above).items():
                table[code] = parent
            scores.append(float((table[found] == table[true]).mean()))
        out[name] = [100 * score for score in scores]
    return out


if __name__ == "__main__":
    main()
