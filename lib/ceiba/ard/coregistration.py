"""Whether a scene lies where a reference image has the ground, to a fraction of a pixel.

Many small tiles of the scene are looked for in the reference (:mod:`ceiba.ard.tile_matching`); their median is the
scene's shift, so that clouds that the mask missed and fields that changed do not fool it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.ard.tile_matching import tile_shift
from ceiba.errors import InputError, SceneError

# Tiles of 64 pixels and more where there is room, at least three a side, none below 28 pixels.
TILE_PX, SMALLEST_TILE_PX, LARGEST_TILE_PX = 64, 28, 96
MOST_TILES_A_SIDE = 12
SEARCH_PX = 8
BLUR_PX = 3.0
TREATMENTS = ("refuse", "shift")
STATUSES = ("in_place", "shifted", "refused", "unknown")


@dataclass(frozen=True)
class Shift:
    """How far a scene lies from where the reference has the same ground.

    Attributes
    ----------
    x_m, y_m
        East and north [m]: positive where the scene's image lies too far east or north. NaN where it cannot be told.
    error_m
        Standard error of both, from how tiles differ [m].
    quality
        Median correlation of the aligned tiles [1], 0 where there are none.
    tiles
        Number of tiles behind it.
    """

    x_m: float
    y_m: float
    error_m: float
    quality: float
    tiles: int

    @property
    def length_m(self) -> float:
        """Distance [m]."""
        return float(np.hypot(self.x_m, self.y_m))


@dataclass(frozen=True)
class Position:
    """Verdict on a scene: ``status`` is one of :data:`STATUSES`, ``note`` says why in a sentence."""

    status: str
    shift: Shift
    note: str

    @property
    def usable(self) -> bool:
        """Whether the scene may be used, after it is moved where ``status`` is "shifted"."""
        return self.status != "refused"


def measure_shift(
    scene: xr.DataArray,
    reference: xr.DataArray,
    *,
    valid: xr.DataArray | None = None,
    search_px: int = SEARCH_PX,
) -> Shift:
    """Shift of one band of a scene against a reference on the same grid.

    Parameters
    ----------
    scene, reference
        One band each in any units, dims ``(y, x)``, coordinates ``x`` and ``y`` [m]; NaN is no data. Where the scene is
        stored as integers, ``valid`` says what is no data.
    valid
        Pixels of the scene to use (clear and with data), dims ``(y, x)``; all that are no NaN where None.
    search_px
        Largest shift that is looked for [pixel].

    Returns
    -------
    Shift
        Errors found with known shifts: under 0.05 pixel (``tests/ard/test_coregistration.py``).

    Raises
    ------
    InputError
        Where the grids differ.
    """
    return combine_tiles(*_tiles_of(scene, reference, valid, search_px), size_m=pixel_size_m(scene))


def check_coregistration(shift: Shift, *, resolution_m: float, max_shift_px: float = 0.5, misregistered: str = "refuse") -> Position:
    """Verdict on a measured shift.

    Parameters
    ----------
    shift
        From :func:`measure_shift`.
    resolution_m
        Pixel size [m].
    max_shift_px
        A scene further off is misregistered [pixel].
    misregistered
        What becomes of such a scene: "refuse", or "shift" by what was measured.

    Returns
    -------
    Position
        Status "unknown" where there is too little to go by (fewer than 3 tiles, or an error above a quarter pixel): the
        scene is kept, with a note.

    Raises
    ------
    InputError
        Where ``misregistered`` is something else.
    """
    check_treatment(misregistered)
    if shift.tiles < 3 or not shift.error_m <= resolution_m / 4:
        agreed = f"{shift.tiles} tiles agree to {shift.error_m:.1f} m" if shift.tiles else "no tile can be told"
        return Position("unknown", shift, f"position not known: {agreed}; too cloudy, too uniform or too much changed")
    told = f"{shift.length_m:.1f} m off ({shift.x_m:+.1f} m east, {shift.y_m:+.1f} m north, +/- {shift.error_m:.1f} m, {shift.tiles} tiles)"
    if shift.length_m <= max_shift_px * resolution_m:
        return Position("in_place", shift, f"in place, {told}")
    if misregistered == "refuse":
        return Position("refused", shift, f"refused: {told}; at most {max_shift_px * resolution_m:.1f} m is allowed")
    return Position("shifted", shift, f"shifted back: {told}")


def check_treatment(misregistered: str) -> None:
    """Raise :class:`InputError` unless ``misregistered`` is one of :data:`TREATMENTS`."""
    if misregistered not in TREATMENTS:
        raise InputError(f"misregistered is {misregistered!r}; it can be {' or '.join(map(repr, TREATMENTS))}")


def check_scene_position(
    bands: xr.Dataset,
    reference: xr.Dataset,
    *,
    valid: xr.DataArray | None = None,
    max_shift_px: float = 0.5,
    misregistered: str = "refuse",
) -> Position:
    """Verdict on a scene from all the bands that it shares with a reference, whose tiles count together.

    Parameters
    ----------
    bands
        Bands of a scene, dims ``(y, x)``; what is no data or not clear is NaN or left out by ``valid``.
    reference
        Bands under the same names and on the same grid, as a mosaic of a year gives them.
    valid, max_shift_px, misregistered
        As for :func:`measure_shift` and :func:`check_coregistration`.

    Raises
    ------
    InputError
        Where no band is shared, or the grids differ.
    """
    shared = [str(name) for name in bands.data_vars if name in reference]
    if not shared:
        raise InputError(
            f"the scene has bands {', '.join(map(str, bands.data_vars))} and the reference {', '.join(map(str, reference.data_vars))}; "
            "at least one must be in both"
        )
    parts = [_tiles_of(bands[name], reference[name], valid, SEARCH_PX) for name in shared]
    shifts, correlations = (np.concatenate(each) for each in zip(*parts, strict=True))
    size_m = pixel_size_m(bands[shared[0]])
    # The bands of a tile see the same ground: they are no more independent than the tiles.
    shift = combine_tiles(shifts, correlations, size_m=size_m, repeats=len(shared))
    return check_coregistration(shift, resolution_m=size_m, max_shift_px=max_shift_px, misregistered=misregistered)


def pixel_size_m(band: xr.DataArray) -> float:
    """Pixel size [m] from the coordinates ``x`` and ``y``; raises :class:`InputError` unless pixels are square and north is up."""
    if band.sizes.get("x", 0) < 2 or band.sizes.get("y", 0) < 2 or "x" not in band.coords or "y" not in band.coords:
        raise InputError(f"band with dims {dict(band.sizes)} has no grid: at least 2 x 2 pixels with coordinates x and y are needed")
    width, height = float(band.x[1] - band.x[0]), float(band.y[1] - band.y[0])
    if not (width > 0 > height and abs(width + height) < 1e-6 * width):
        raise InputError(f"pixels of {width} by {height}: north must be up and pixels square")
    return width


@dataclass(frozen=True)
class _Window:
    """A tile of the scene and the reference around it, dims ``(y, x)``; ``margin`` [pixel] on each side."""

    image: np.ndarray
    seen: np.ndarray
    base: np.ndarray
    known: np.ndarray
    margin: int

    def blurred(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels valid in both images, and both images blurred over them."""
        middle = slice(self.margin, -self.margin or None)
        both = self.seen & self.known[middle, middle]
        weight = np.maximum(ndimage.gaussian_filter(both.astype(np.float64), BLUR_PX), 1e-6)
        base, image = (
            ndimage.gaussian_filter(np.where(both, values, 0.0), BLUR_PX) / weight
            for values in (self.base[middle, middle], self.image)
        )
        return both, base, image


def _tiles_of(
    scene: xr.DataArray, reference: xr.DataArray, valid: xr.DataArray | None, search_px: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shifts [pixel, rows down and columns right] of the tiles that can be told, dims ``(tile, 2)``, and correlations."""
    pixel_size_m(scene)
    if scene.dims != ("y", "x") or reference.dims != ("y", "x"):
        raise InputError(f"dims {scene.dims} and {reference.dims}: scene and reference are one image each, dims (y, x)")
    same = scene.shape == reference.shape and all(np.allclose(scene[axis], reference[axis], atol=1e-3) for axis in "yx")
    if not same or (valid is not None and valid.shape != scene.shape):
        raise InputError(f"scene {scene.shape} and reference {reference.shape} are not on one grid; bring them onto one first")
    # Only the tiles are read and brought to floats: a scene of 100 km has a hundred times as many pixels.
    windows = [
        _read_window(scene, reference, valid, (top, left), (height, width), search_px)
        for top, height in _tile_starts(scene.shape[0], search_px)
        for left, width in _tile_starts(scene.shape[1], search_px)
    ]
    shifts, correlations = [], []
    for window, unlike in zip(windows, _unlike(windows), strict=True):
        found = tile_shift(window.image, window.seen & ~unlike, window.base, window.known, search_px=search_px)
        if found is not None:
            shifts.append(found[0])
            correlations.append(found[1])
    return np.array(shifts).reshape(-1, 2), np.array(correlations)


def _read_window(
    scene: xr.DataArray,
    reference: xr.DataArray,
    valid: xr.DataArray | None,
    start: tuple[int, int],
    size: tuple[int, int],
    margin: int,
) -> _Window:
    place = tuple(slice(first, first + length) for first, length in zip(start, size, strict=True))
    around = tuple(slice(part.start - margin, part.stop + margin) for part in place)
    image, base = scene[place].values.astype(np.float64), reference[around].values.astype(np.float64)
    seen = np.isfinite(image)
    if valid is not None:
        seen &= valid[place].values.astype(bool)
    return _Window(image, seen, base, np.isfinite(base), margin)


def _unlike(windows: Sequence[_Window]) -> list[np.ndarray]:
    """Patches of the tiles that the reference does not explain, such as clouds that the mask missed, dims ``(y, x)``.

    Both images are blurred first, so that a shift does not count as unlike; what lies five deviations from the line
    through all tiles is.
    """
    blurred = [window.blurred() for window in windows]
    if not blurred:
        return []
    x, y = (np.concatenate([part[which][part[0]] for part in blurred]) for which in (1, 2))
    line, limit = _robust_line(x, y)
    return [both & (np.abs(image - np.polyval(line, base)) > limit) for both, base, image in blurred]


def _robust_line(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
    """Slope and intercept of ``y`` on ``x`` without outliers, and five deviations; no limit where there is no line."""
    kept = np.ones(x.size, dtype=bool)
    line, deviation = np.zeros(2), np.inf
    for _ in range(5):
        if kept.sum() < 100 or x[kept].std() == 0:
            return line, np.inf
        line = np.polyfit(x[kept], y[kept], 1)
        residual = np.abs(y - np.polyval(line, x))
        deviation = 1.4826 * float(np.median(residual))
        kept = residual <= 3 * deviation
    return line, 5 * deviation


def _tile_starts(size: int, margin: int) -> list[tuple[int, int]]:
    """Start and length of tiles along an axis, inside a margin."""
    inside = size - 2 * margin
    if inside < SMALLEST_TILE_PX:
        return []
    count = min(max(inside // TILE_PX, min(3, inside // SMALLEST_TILE_PX)), MOST_TILES_A_SIDE)
    length = min(inside // count, LARGEST_TILE_PX)
    return [(margin + round(number * (inside - length) / max(count - 1, 1)), length) for number in range(count)]


def combine_tiles(shifts: np.ndarray, correlations: np.ndarray, *, size_m: float, repeats: int = 1) -> Shift:
    """Median of the tiles' shifts, without those beyond three median deviations (and a tenth of a pixel).

    ``shifts`` [pixel, down and right] has dims ``(tile, 2)``; ``repeats`` says how often each tile is in there.
    """
    if not len(shifts):
        return Shift(np.nan, np.nan, np.nan, 0.0, 0)
    middle = np.median(shifts, axis=0)
    away = np.abs(shifts - middle)
    spread = 1.4826 * np.median(away, axis=0)
    kept = (away <= np.maximum(3 * spread, 0.1)).all(axis=1)
    down, right = np.median(shifts[kept], axis=0)
    tiles = int(np.ceil(kept.sum() / repeats))
    # The median of n normal numbers varies 1.25 times as much as their mean.
    error_m = 1.2533 * float(spread.max()) * size_m / np.sqrt(tiles)
    return Shift(float(right * size_m), float(-down * size_m), error_m, float(np.median(correlations[kept])), tiles)


def move_back(bands: xr.Dataset, shift: Shift, *, nodata: Mapping[str, float], classes: Sequence[str] = ()) -> xr.Dataset:
    """Bands brought to where the reference has the ground, on their own grid.

    Parameters
    ----------
    bands
        Dims ``(..., y, x)``, as stored.
    shift
        What was measured.
    nodata
        Number without a value of each band.
    classes
        Bands of classes or bits, which are taken from the nearest pixel; the others by cubic interpolation.

    Returns
    -------
    xr.Dataset
        The same dtypes; no data where any no data would enter.

    Raises
    ------
    SceneError
        Where the shift is not known.
    """
    if not np.isfinite(shift.length_m):
        raise SceneError("a scene whose shift is not known cannot be moved")
    size_m = pixel_size_m(next(iter(bands.data_vars.values())))
    # An image too far east goes to lower columns, one too far north to higher rows.
    step = np.array([shift.y_m / size_m, -shift.x_m / size_m])
    moved = bands.copy()
    for name, band in bands.data_vars.items():
        band = band.transpose(..., "y", "x")
        images = band.values.reshape(-1, *band.shape[-2:])
        order = 0 if name in classes else 3
        new = np.stack([_move(image, step, nodata[str(name)], order) for image in images]).reshape(band.shape)
        moved[name] = band.copy(data=new)
    return moved


def _move(image: np.ndarray, step: np.ndarray, nodata: float, order: int) -> np.ndarray:
    empty = np.isnan(image) if np.isnan(nodata) else image == nodata
    if order == 0:
        return ndimage.shift(image, step, order=0, mode="constant", cval=nodata)
    filled = np.where(empty, image[~empty].mean() if not empty.all() else 0, image).astype(np.float64)
    new = ndimage.shift(filled, step, order=order, mode="nearest")
    touched = ndimage.shift(ndimage.binary_dilation(empty).astype(np.float64), step, order=1, mode="constant", cval=1) > 0
    if image.dtype.kind in "iu":
        limits = np.iinfo(image.dtype)
        # A value must not become the number that stands for none.
        new = np.clip(np.round(new), max(limits.min, nodata + 1 if nodata == limits.min else limits.min), limits.max)
    return np.where(touched, nodata, new).astype(image.dtype)
