"""An area sampling frame of crops: square segments built from imagery, drawn in strata by their share of cropland."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from pyproj import Transformer

from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.errors import InputError


@dataclass(frozen=True)
class Frame:
    """Every segment of a place.

    Attributes
    ----------
    segments
        One row a segment: segment (number from 0), row, column (of its upper left pixel), x, y (center, units of the CRS), area_ha (land
        seen by the imagery), mapped_ha (of it, crops by the map), share (mapped_ha over area_ha) [1], stratum (0 is the least cropland).
    side_px
        Side of a segment [pixels].
    """

    segments: pd.DataFrame
    side_px: int

    @property
    def sizes(self) -> pd.Series:
        """Number of segments in each stratum."""
        return self.segments["stratum"].value_counts().sort_index()


def build_frame(crops: xr.DataArray, *, side_px: int, limits: Sequence[float] = (0.05, 0.3, 0.7)) -> Frame:
    """Cut a map into segments and deal them to strata by their share of cropland.

    Parameters
    ----------
    crops
        Crops by imagery: 1 crop, 0 other land, NaN not seen (shares between are allowed), dims ``(y, x)``, with a geobox (``.odc``).
    side_px
        Side of a segment [pixels]; segments on the edge of the map are smaller, those without any seen pixel are left out.
    limits
        Shares [1] at which a new stratum begins, ascending. Strata without a segment do not occur.

    Raises
    ------
    InputError
        Where the side is below one pixel, the limits do not ascend within 0 and 1, or nothing was seen.
    """
    if side_px < 1:
        raise InputError(f"segments of {side_px} pixels; they need at least 1")
    edges = np.asarray(limits, dtype="float64")
    if np.any(np.diff(edges) <= 0) or np.any((edges <= 0) | (edges >= 1)):
        raise InputError(f"limits of the strata are {list(limits)}; they must ascend between 0 and 1")
    values = crops.transpose("y", "x").values.astype("float64")
    seen = np.isfinite(values)
    area = np.where(seen, pixel_areas(crops.odc.geobox).values, 0.0)
    rows, columns = np.arange(0, values.shape[0], side_px), np.arange(0, values.shape[1], side_px)

    def sums(of: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(of, rows, axis=0), columns, axis=1).ravel()

    land, mapped = sums(area), sums(np.where(seen, values, 0.0) * area)
    if not land.any():
        raise InputError("the map of crops holds no pixel with data: no frame can be built")
    row, column = (grid.ravel() for grid in np.meshgrid(rows, columns, indexing="ij"))
    height, width = np.minimum(side_px, values.shape[0] - row), np.minimum(side_px, values.shape[1] - column)
    x, y = crops.odc.geobox.affine * (column + width / 2, row + height / 2)
    kept = land > 0
    share = np.divide(mapped, land, out=np.zeros_like(land), where=kept)
    table = pd.DataFrame(
        {
            "row": row, "column": column, "x": x, "y": y, "area_ha": land, "mapped_ha": mapped,
            "share": share, "stratum": np.searchsorted(edges, share, side="right"),
        }
    )[kept].reset_index(drop=True)  # fmt: skip
    table.insert(0, "segment", np.arange(len(table)))
    return Frame(table, side_px)


def draw_segments(frame: Frame, number: int, *, seed: int, fewest: int = 3) -> pd.DataFrame:
    """Draw segments for the field, more where the share of cropland varies more (Neyman 1934, doi:10.2307/2342192).

    Parameters
    ----------
    frame
        The frame.
    number
        Segments to visit.
    seed
        Decides the draw.
    fewest
        Fewest segments of a stratum, all of them where it has no more.

    Returns
    -------
    pd.DataFrame
        Rows of the frame, in the order of the segments, with column ``stratum_segments``: size of the stratum.

    Raises
    ------
    InputError
        Where ``number`` is too small for the strata, or larger than the frame.
    """
    sizes = frame.sizes
    least = sizes.clip(upper=fewest)
    if not least.sum() <= number <= sizes.sum():
        raise InputError(f"{number} segments; allowed are {least.sum()} to {sizes.sum()} for strata of {sizes.tolist()}")
    deviation = frame.segments.groupby("stratum")["mapped_ha"].std(ddof=0).reindex(sizes.index)
    weight = (sizes * deviation.clip(lower=1e-9)).to_numpy()
    drawn = least.to_numpy().copy()
    for _ in range(number - int(drawn.sum())):
        # One at a time to the stratum that gains most by it (Wright 2012, doi:10.1016/j.spl.2012.06.025).
        gain = np.where(drawn < sizes.to_numpy(), weight / np.sqrt(drawn * (drawn + 1.0)), -1.0)
        drawn[int(np.argmax(gain))] += 1
    random = np.random.default_rng(seed)
    chosen = []
    for stratum, wanted in zip(sizes.index, drawn, strict=True):
        members = np.flatnonzero(frame.segments["stratum"].to_numpy() == stratum)
        chosen += sorted(random.choice(members, int(wanted), replace=False).tolist())
    table = frame.segments.iloc[sorted(chosen)].reset_index(drop=True)
    return table.assign(stratum_segments=table["stratum"].map(sizes))


def to_csv(drawn: pd.DataFrame, crs: str) -> bytes:
    """The list of segments for those who visit: number, center (x, y and longitude, latitude), area, and an empty found_ha.

    What the map says is left out, so that nobody finds what is expected.
    """
    longitude, latitude = Transformer.from_crs(crs, "EPSG:4326", always_xy=True).transform(drawn["x"], drawn["y"])
    table = drawn[["segment", "x", "y", "area_ha"]].assign(
        longitude=np.round(longitude, 6), latitude=np.round(latitude, 6), found_ha=""
    )
    return table.to_csv(index=False).encode("utf-8")
