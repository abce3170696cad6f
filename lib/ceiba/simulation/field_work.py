"""Field work on the simulated area: visited segments and a register of parcels, both from the truth and always called simulated."""

from collections.abc import Sequence

import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
from shapely.geometry import box

from ceiba.samples import find_sample
from ceiba.simulation.layout import CRS, YEARS, random_stream
from ceiba.sources import Found, Selection, Source

PARCEL_PX = 8
WRONG_ENTRIES = 0.08
CROPLAND = 28
SEED = 7


class SimulatedCropVisitsSource(Source):
    """Crop surface of every square segment of the area, as a visit would find it: one row a segment and year."""

    name = "simulated_crop_visits"

    def __init__(self, *, sample: str = "", path: str = "", side_m: float = 160.0, metadata=None):
        super().__init__(sample=sample, path=path, metadata=metadata)
        self.side_m = side_m

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """Columns x, y (center of the segment, units of the CRS), year, found_ha."""
        rows = [crop_visits(year, self.side_m) for year in YEARS if year in selection.period.years]
        return pd.concat(rows, ignore_index=True)


class SimulatedRegisterSource(Source):
    """A register of parcels: what each held in the first year, with a few wrong entries."""

    name = "simulated_register"

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> gpd.GeoDataFrame:
        """Columns parcel, registered (code), year; polygons that touch the tile."""
        register = make_register()[["parcel", "registered", "year", "geometry"]]
        return register[register.intersects(selection.tile.extent.geom)].reset_index(drop=True)


def crop_visits(year: int, side_m: float) -> pd.DataFrame:
    """Crop surface of all segments in the truth of a year; a visitor errs by 3 % of what is there."""
    codes, transform = _truth(year)
    side = round(side_m / transform.a)
    height, width = (size // side * side for size in codes.shape)
    crops = (codes[:height, :width] == CROPLAND).reshape(height // side, side, width // side, side).sum(axis=(1, 3))
    row, column = np.indices(crops.shape)
    x, y = transform * ((column + 0.5) * side, (row + 0.5) * side)
    error = random_stream(SEED, f"crop visits {year}").normal(1, 0.03, crops.shape)
    found_ha = np.round(crops * abs(transform.a * transform.e) / 10_000 * error, 3)
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel(), "year": year, "found_ha": found_ha.ravel()})


def make_register() -> gpd.GeoDataFrame:
    """Parcels of 80 m that hold one class in the first year, every third of them; 8 of 100 registered with another class.

    Columns parcel, registered, year, true_code (of the first year), geometry.
    """
    codes, transform = _truth(YEARS[0])
    random = random_stream(SEED, "register")
    classes, rows = np.unique(codes[codes > 0]), []
    for top in range(0, codes.shape[0] - PARCEL_PX + 1, PARCEL_PX):
        for left in range(0, codes.shape[1] - PARCEL_PX + 1, PARCEL_PX):
            inside = codes[top : top + PARCEL_PX, left : left + PARCEL_PX]
            code = int(inside[0, 0])
            if code == 0 or (inside != code).any() or random.random() > 1 / 3:
                continue
            wrong = random.random() < WRONG_ENTRIES
            registered = int(random.choice(classes[classes != code])) if wrong else code
            corner, opposite = transform * (left, top), transform * (left + PARCEL_PX, top + PARCEL_PX)
            shape = box(corner[0], opposite[1], opposite[0], corner[1])
            rows.append((f"s{len(rows) + 1:05d}", registered, YEARS[0], code, shape))
    return gpd.GeoDataFrame(rows, columns=["parcel", "registered", "year", "true_code", "geometry"], crs=CRS)


def _truth(year: int) -> tuple[np.ndarray, rasterio.Affine]:
    with rasterio.open(find_sample("simulated").path("truth") / f"land_cover_{year}.tif") as source:
        return source.read(1), source.transform
