"""What an interpreter sees of a point: its time series and its surroundings on several dates."""

import base64
import datetime
import io
from dataclasses import dataclass

import matplotlib.dates
import numpy as np
import pandas as pd
import xarray as xr
from affine import Affine
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Rectangle
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from PIL import Image
from pyproj import Transformer
from rasterio.windows import Window

from ceiba import labels
from ceiba.ard.stacks import SceneStack
from ceiba.classification.features.seasons import season_bounds
from ceiba.errors import InputError
from ceiba.mosaics.display import stretch, stretch_limits
from ceiba.tasks import Task

CHIP_BANDS = (("red", "green", "blue"), ("nir", "red", "blue"), ("nir", "red", "green"))
CHIPS = 4  # in a row
SCENE_BANDS, SCENE_PIXEL_M = ("blue", "green", "red", "nir"), 10.0
WEB_MAP = "EPSG:3857"
FEWEST_CLEAR = 0.5  # share of a chip that must be clear to be shown


def open_source(task: Task) -> SceneStack | xr.Dataset:
    """What the points of a task are looked at in: its Sentinel-2 scenes, or where there are none a series of land-cover features.

    Raises :class:`InputError` where there is neither.
    """
    if task.has("s2_l2a_scenes"):
        return SceneStack(task.datasets("s2_l2a_scenes"), measurements=SCENE_BANDS, geobox=task.geobox(SCENE_PIXEL_M))
    if task.has("land_cover_features"):
        series = task.open("land_cover_features", resolution_m=task.place_setting("land_cover_resolution_m"))
        if "time" in series.dims:
            return series
    raise InputError(f"{task.unit}: neither scenes nor a series of land-cover features to look at; make 01_ard first")


def picture_of(
    source: SceneStack | xr.Dataset, point: pd.Series, *, side_px: int = 31, season_start_month: int = 1
) -> bytes:
    """PNG of what is shown of a row of the points to review: place and year, nothing of its label."""
    chip = cut_chip(source, float(point["longitude"]), float(point["latitude"]), side_px=side_px)
    return to_png(draw_point(chip, season_bounds(int(point["year"]), season_start_month)))


def cut_chip(source: SceneStack | xr.Dataset, longitude: float, latitude: float, *, side_px: int = 31) -> xr.Dataset:
    """The surroundings of a point on all dates.

    Parameters
    ----------
    source
        A stack of scenes, of which only the window is read; or a series with dims ``(time, y, x)`` and a geobox.
    longitude, latitude
        The point [degrees, WGS 84].
    side_px
        Side of the window [px], odd, so that the point's pixel is its middle one.

    Returns
    -------
    xr.Dataset
        Dims ``(time, y, x)``, ``side_px`` square, with its geobox; NaN beyond the grid and where it is not clear.

    Raises
    ------
    InputError
        Where the point lies beyond the grid, or the side is even.
    """
    geobox = source.geobox if isinstance(source, SceneStack) else source.odc.geobox
    if side_px < 1 or side_px % 2 == 0:
        raise InputError(f"a chip of {side_px} px; the side must be odd")
    x, y = Transformer.from_crs("EPSG:4326", geobox.crs.proj, always_xy=True).transform(longitude, latitude)
    column, row = (int(np.floor(each)) for each in ~geobox.affine * (x, y))
    height, width = geobox.shape
    if not (0 <= row < height and 0 <= column < width):
        raise InputError(f"the point {longitude}, {latitude} lies beyond the grid of {height} x {width} pixels")
    top, left = max(0, row - side_px // 2), max(0, column - side_px // 2)
    bottom, right = min(height, row + side_px // 2 + 1), min(width, column + side_px // 2 + 1)
    if isinstance(source, SceneStack):
        block = source.read(Window(left, top, right - left, bottom - top))
        bands = {
            name: (("time", "y", "x"), values)
            for name, values in zip(block.measurements, block.reflectance(), strict=True)
        }
        chip = xr.Dataset(bands, coords={"time": block.times})
    else:
        rows, columns = source.odc.spatial_dims
        chip = source.isel({rows: slice(top, bottom), columns: slice(left, right)}).rename({rows: "y", columns: "x"})
        chip = chip.drop_vars(["spatial_ref", "x", "y"], errors="ignore").compute()
    above, before = top - (row - side_px // 2), left - (column - side_px // 2)
    pad = {"y": (above, side_px - above - (bottom - top)), "x": (before, side_px - before - (right - left))}
    corner = Affine.translation(column - side_px // 2, row - side_px // 2)
    grid = GeoBox((side_px, side_px), geobox.affine * corner, geobox.crs)
    return chip.pad(pad, constant_values=np.nan).assign_coords(xr_coords(grid, always_yx=True))


@dataclass(frozen=True)
class Surroundings:
    """A picture for a map: ``url`` holds it whole, ``bounds`` are its south-west and north-east corners (latitude, longitude)."""

    url: str
    bounds: tuple[tuple[float, float], tuple[float, float]]


def map_surroundings(source: SceneStack | xr.Dataset, point: pd.Series, *, side_px: int = 151) -> Surroundings:
    """Wider surroundings of a row of the points as they were last seen clear, in the projection of web maps (EPSG:3857).

    Raises :class:`InputError` where the source has no three bands to show.
    """
    chip = cut_chip(source, float(point["longitude"]), float(point["latitude"]), side_px=side_px)
    bands = next((bands for bands in CHIP_BANDS if set(bands) <= set(chip.data_vars)), None)
    if bands is None:
        raise InputError(
            f"no picture of {', '.join(map(str, chip.data_vars))}; needed are {' or '.join(map(str, CHIP_BANDS))}"
        )
    chip = np.sqrt(chip[list(bands)].clip(min=0))
    seen = np.isfinite(chip.to_array()).all("variable").transpose("time", "y", "x").to_numpy()
    last = len(seen) - 1 - seen[::-1].argmax(axis=0)
    latest = chip.isel(time=xr.DataArray(last, dims=("y", "x"))).drop_vars("time").odc.assign_crs(chip.odc.crs)
    warped = latest.odc.reproject(WEB_MAP, resampling="nearest", dst_nodata=np.nan)
    known = np.isfinite(warped.to_array()).all("variable").to_numpy()
    colors = (
        stretch(warped, bands, stretch_limits([latest], bands)) if seen.any() else np.zeros((*known.shape, 3), "uint8")
    )
    content = io.BytesIO()
    Image.fromarray(np.dstack([colors, np.where(known, 255, 0).astype("uint8")])).save(content, format="PNG")
    box = warped.odc.geobox.boundingbox
    to_degrees = Transformer.from_crs(WEB_MAP, "EPSG:4326", always_xy=True)
    (west, south), (east, north) = to_degrees.transform(box.left, box.bottom), to_degrees.transform(box.right, box.top)
    url = "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
    return Surroundings(url, ((south, west), (north, east)))


def draw_point(chip: xr.Dataset, season: tuple[datetime.date, datetime.date], *, index: str = "ndvi") -> Figure:
    """Time series of the middle pixel, chips of the season that is asked for, and chips of other dates; nothing tells the label.

    Parameters
    ----------
    chip
        From :func:`cut_chip`; with red and nir, or with the index itself.
    season
        First day of the season that is asked for, and the day after its last.
    index
        Variable of the series, NDVI where the chip does not have it.

    Raises
    ------
    InputError
        Where the chip has neither the index nor red and nir.
    """
    if index not in chip and not {"nir", "red"} <= set(chip.data_vars):
        raise InputError(
            f"a time series needs {index}, or red and nir; the chip has {', '.join(map(str, chip.data_vars))}"
        )
    middle = chip.sizes["y"] // 2
    values = chip[index] if index in chip else (chip["nir"] - chip["red"]) / (chip["nir"] + chip["red"])
    series = values.isel(y=middle, x=middle).to_pandas().dropna()
    bands = next((bands for bands in CHIP_BANDS if set(bands) <= set(chip.data_vars)), None)
    figure = Figure(figsize=(9, 6.6 if bands else 2.4), layout="constrained")
    grid = figure.add_gridspec(3 if bands else 1, CHIPS, height_ratios=[1.1, 2, 2] if bands else [1])
    axes = figure.add_subplot(grid[0, :])
    axes.axvspan(*season, color="#ffb000", alpha=0.25, linewidth=0)
    axes.plot(series.index, series.to_numpy(), "o-", color="#1b7837", markersize=3, linewidth=0.8)
    axes.set(ylabel="NDVI [1]", ylim=(min(-0.1, float(series.min()) if len(series) else 0), 1))
    # Numbers, which both languages read.
    axes.xaxis.set_major_formatter(matplotlib.dates.DateFormatter("%Y-%m"))
    axes.grid(alpha=0.3)
    axes.set_title(f"{labels.both('classification.review_series')}: {season[0]} - {season[1]}", fontsize=9)
    if bands:
        _draw_chips(figure, grid, chip[list(bands)], season)
    return figure


def choose_dates(chip: xr.Dataset, season: tuple[datetime.date, datetime.date]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of up to four dates of the season and of four others on which the point is clear, spread evenly, dims ``(date,)``."""
    seen = np.isfinite(chip.to_array()).all("variable")
    middle = chip.sizes["y"] // 2
    clear = (seen.mean(("y", "x")).to_numpy() >= FEWEST_CLEAR) & seen.isel(y=middle, x=middle).to_numpy()
    times = chip["time"].to_numpy()
    inside = (times >= np.datetime64(season[0])) & (times < np.datetime64(season[1]))
    return _spread(np.flatnonzero(clear & inside)), _spread(np.flatnonzero(clear & ~inside))


def to_png(figure: Figure, *, dpi: int = 90) -> bytes:
    """The figure as PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi)
    return content.getvalue()


def _spread(positions: np.ndarray) -> np.ndarray:
    if not len(positions):
        return positions
    return positions[np.unique(np.linspace(0, len(positions) - 1, min(CHIPS, len(positions))).round().astype(int))]


def _draw_chips(figure: Figure, grid: GridSpec, chip: xr.Dataset, season: tuple[datetime.date, datetime.date]) -> None:
    bands, middle = list(chip.data_vars), chip.sizes["y"] // 2
    # Which colors these are: false ones are read wrongly where nobody says so.
    figure.text(0.005, 0.005, f"R, G, B: {', '.join(map(str, bands))}", fontsize=7)
    rows = choose_dates(chip, season)
    # Square roots, so that what is dark beside something bright is seen; one stretch for all dates, so that a change of
    # color is a change on the ground.
    images = {int(date): np.sqrt(chip.isel(time=int(date)).clip(min=0)) for date in np.concatenate(rows)}
    if not images:
        return
    limits = stretch_limits(images.values(), bands)
    for row, dates in enumerate(rows):
        for column, date in enumerate(dates):
            axes = figure.add_subplot(grid[1 + row, column])
            axes.imshow(stretch(images[int(date)], bands, limits), interpolation="nearest")
            axes.add_patch(Rectangle((middle - 0.5, middle - 0.5), 1, 1, fill=False, edgecolor="yellow", linewidth=1.4))
            axes.set(xticks=[], yticks=[])
            axes.set_title(str(chip["time"].to_numpy()[date])[:10], fontsize=8)
            axes.spines[:].set(color="#ffb000" if row == 0 else "0.6", linewidth=2 if row == 0 else 0.8)
