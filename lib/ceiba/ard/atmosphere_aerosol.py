"""Aerosol of a scene, seen over dark vegetation whose colors are known."""

import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from scipy import ndimage

from ceiba.ard.atmosphere_radiation import SceneSky, surface_reflectance
from ceiba.ard.atmosphere_table import MAX_AOT_550, SCALE_HEIGHT_KM

log = logging.getLogger(__name__)

# Mean over land of MODIS, 2000 to 2006 (Remer et al. 2008, doi:10.1029/2007JD009661): for scenes without targets.
USUAL_AOT_550 = 0.19
# Side of the squares that have an aerosol of their own: the pixel in which MODIS sees its targets. Haze between clouds and
# plumes change within a kilometre; LaSRC follows them in windows of 90 m (Vermote et al. 2016,
# doi:10.1016/j.rse.2016.04.008).
CELL_M = 500.0
# Short-wave infrared reflectance of targets [1] (Kaufman et al. 1997, doi:10.1109/36.628795: below, water and shadow;
# above, the relation between the colors scatters).
TARGET_SWIR_2 = (0.01, 0.15)
# Only green targets: the slope of Levy et al. rises to that of vegetation from 0.25 to 0.75.
TARGET_NDVI_SWIR = 0.5
# Shares of a square's targets put aside as shadow, and as clouds and bright ground (Remer et al. 2005,
# doi:10.1175/JAS3385.1).
DARKEST, BRIGHTEST = 0.2, 0.5
# Fewest targets of a scene and of a square (12 of a square of MODIS: Remer et al. 2005).
MIN_TARGETS, MIN_CELL_TARGETS = 100, 12
CANDIDATES = np.linspace(0, MAX_AOT_550, 81)
NEEDED_BANDS = ("blue", "red", "nir", "swir_2")
SQUARES_AT_ONCE = 20_000


@dataclass(frozen=True)
class Aerosol:
    """Aerosol of a scene.

    Attributes
    ----------
    aot_550
        Optical depth at 550 nm [1] above the ground of the targets: the median of the scene.
    at_sea
        Reduced to the sea [1]: a number, or by square of 500 m, dims ``(cell_y, cell_x)``.
    cell_px
        Side of a square [pixels of the sample].
    targets
        How many pixels showed it; 0 where it is the usual value or was given.
    """

    aot_550: float
    at_sea: float | np.ndarray
    cell_px: float = 1.0
    targets: int = 0

    def on_finer_grid(self, factor: float) -> "Aerosol":
        """The same, with squares told in pixels of a grid with ``factor`` times as many along each side, from the same corner."""
        return replace(self, cell_px=self.cell_px * factor)

    def by_pixel(self, sample_step: int, like: xr.DataArray) -> xr.DataArray | float:
        """Optical depth reduced to the sea [1] for each pixel of ``like``, bilinear between the squares' centres.

        float32, lazy where ``like`` is.
        """
        if isinstance(self.at_sea, float):
            return self.at_sea
        size = self.cell_px * sample_step
        below, above, share = _between_cells(like.sizes["x"], size, self.at_sea.shape[1])
        # Linear along one axis after the other is bilinear.
        rows = ((1 - share) * self.at_sea[:, below] + share * self.at_sea[:, above]).astype(np.float32)
        below, above, share = _between_cells(like.sizes["y"], size, self.at_sea.shape[0])

        def down(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
            return (1 - share)[:, None] * rows[below] + share[:, None] * rows[above]

        places = [xr.DataArray(each, dims="y") for each in (below, above, share.astype(np.float32))]
        if like.chunks is not None:
            places = [place.chunk({"y": like.chunksizes["y"]}) for place in places]
        field = xr.apply_ufunc(
            down, *places, output_core_dims=[["x"]], dask="parallelized", output_dtypes=[np.float32],
            dask_gufunc_kwargs={"output_sizes": {"x": like.sizes["x"]}},
        )  # fmt: skip
        return field.assign_coords({name: like[name] for name in ("y", "x") if name in like.coords})


def _between_cells(pixels: int, cell_px: float, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each pixel of an axis, the squares before and after its centre, and the share of the way between theirs."""
    places = np.clip((np.arange(pixels) + 0.5) / cell_px - 0.5, 0, cells - 1)
    below = np.minimum(places.astype(int), max(cells - 2, 0))
    return below, np.minimum(below + 1, cells - 1), places - below


def visible_of_vegetation(
    swir_2: np.ndarray, ndvi_swir: np.ndarray, scattering_angle_deg: float
) -> tuple[np.ndarray, np.ndarray]:
    """Reflectance of vegetation in blue and red [1] from that at 2.1 um.

    Levy et al. 2007, doi:10.1029/2006JD007811, eq. 10 to 12, of MODIS bands at 0.47, 0.65 and 2.12 um.

    Parameters
    ----------
    swir_2
        Surface reflectance at 2.1 um [1], any dims.
    ndvi_swir
        Normalized difference of near and short-wave infrared [1]. The paper has the band at 1.24 um, which Landsat and
        Sentinel-2 lack; over dense vegetation that at 0.86 um is about as bright.
    scattering_angle_deg
        Angle between the ways of light in and out [degree]: 180 is back to the sun.
    """
    slope = 0.48 + 0.2 * (np.clip(ndvi_swir, 0.25, 0.75) - 0.25) + 0.002 * scattering_angle_deg - 0.27
    red = slope * swir_2 - 0.00025 * scattering_angle_deg + 0.033
    return 0.49 * red + 0.005, red


def estimate_aerosol(
    toa: xr.Dataset, elevation_m: xr.DataArray | float, skies: dict[str, SceneSky], *, sun_zenith_deg: float, pixel_m: float
) -> Aerosol:
    """Aerosol of a scene from its dark vegetation, as the dark-target method of MODIS.

    In each square of 500 m: of the green pixels dark at 2.1 um, the 20 % darkest and 50 % brightest in red are put aside;
    of the mean of the others, the optical depth at which surface reflectance in blue and red differs least (sum of squares)
    from what vegetation of its short-wave infrared has. The median of a square and its eight neighbors is kept, and squares
    with fewer than 12 such pixels get a weighted mean of those around. Where the scene has fewer than 100, or lacks a band,
    it is the usual value over land, 0.19, everywhere.

    Parameters
    ----------
    toa
        Reflectance at the top of the atmosphere [1], dims ``(y, x)``, in memory; NaN is no data.
    elevation_m
        Height of the ground [m], dims ``(y, x)``, or one number.
    skies
        The atmosphere of the scene by band.
    sun_zenith_deg
        Zenith angle of the sun [degree].
    pixel_m
        Side of the pixels of ``toa`` [m]; infinite takes the scene as one square.
    """
    usual = Aerosol(USUAL_AOT_550, USUAL_AOT_550)
    if not set(NEEDED_BANDS) <= set(toa.data_vars) & set(skies):
        return usual
    cell_px = max(CELL_M / pixel_m, 1.0) if np.isfinite(pixel_m) else float(max(toa.sizes.values()))
    targets, cells, shape = find_targets(toa, cell_px)
    counts = np.bincount(cells, minlength=shape[0] * shape[1])
    known = np.flatnonzero(counts >= MIN_CELL_TARGETS)
    if len(targets) < MIN_TARGETS or not known.size:
        log.warning("%d pixels of dark vegetation: the usual aerosol of land is assumed", len(targets))
        return usual
    heights = np.broadcast_to(np.asarray(elevation_m, float), tuple(toa.sizes[name] for name in ("y", "x"))).ravel()

    def mean_of_squares(values: np.ndarray) -> np.ndarray:
        return np.bincount(cells, values[targets], minlength=len(counts))[known] / counts[known]

    altitude_km = mean_of_squares(np.nan_to_num(heights)) / 1000
    seen = {band: mean_of_squares(toa[band].transpose("y", "x").values.ravel()) for band in NEEDED_BANDS}
    values = np.concatenate([
        _fit_aot({band: each[start : start + SQUARES_AT_ONCE] for band, each in seen.items()},
                 altitude_km[start : start + SQUARES_AT_ONCE], skies, 180 - sun_zenith_deg)
        for start in range(0, len(known), SQUARES_AT_ONCE)
    ])  # fmt: skip
    field = np.full(shape, np.nan)
    field.flat[known] = values * np.exp(altitude_km / SCALE_HEIGHT_KM)
    return Aerosol(float(np.median(values)), fill_squares(smooth_squares(field)), cell_px, len(targets))


def find_targets(toa: xr.Dataset, cell_px: float) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Pixels of dark vegetation.

    Returns
    -------
    targets
        Flat positions in ``(y, x)``.
    cells
        Number of the square of each, by rows.
    shape
        Rows and columns of squares.
    """
    blue, red, nir, swir_2 = (toa[name].transpose("y", "x").values for name in NEEDED_BANDS)
    with np.errstate(invalid="ignore", divide="ignore"):
        green = (nir - swir_2) / (nir + swir_2) > TARGET_NDVI_SWIR
        dark = (swir_2 > TARGET_SWIR_2[0]) & (swir_2 < TARGET_SWIR_2[1])
    rows, columns = (np.floor(np.arange(size) / cell_px).astype(np.int32) for size in red.shape)
    shape = (int(rows[-1]) + 1, int(columns[-1]) + 1)
    found = np.flatnonzero(green & dark & np.isfinite(red) & np.isfinite(blue)).astype(np.int32)
    del green, dark
    numbers = (rows[:, None] * np.int32(shape[1]) + columns).ravel()[found]
    order = np.lexsort((red.ravel()[found], numbers))
    found, numbers = found[order], numbers[order]
    kept = []
    for start, stop in _runs(numbers):
        kept.append(np.arange(start + int(DARKEST * (stop - start)), start + int((1 - BRIGHTEST) * (stop - start))))
    kept = np.concatenate(kept) if kept else np.array([], int)
    return found[kept], numbers[kept], shape


def smooth_squares(field: np.ndarray) -> np.ndarray:
    """Median of each known square and its known neighbors, dims ``(cell_y, cell_x)``: one odd field of crops is no haze."""
    padded = np.pad(field, 1, constant_values=np.nan)
    shifted = [
        padded[row : row + field.shape[0], column : column + field.shape[1]] for row in range(3) for column in range(3)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # squares without any known neighbor stay unknown
        return np.where(np.isfinite(field), np.nanmedian(shifted, axis=0), np.nan)


def fill_squares(field: np.ndarray) -> np.ndarray:
    """Values of the unknown squares (NaN) from the known: means weighted by bells of 1, 2, 4 ... squares, the narrowest first."""
    known = np.isfinite(field)
    filled, sigma = field, 1.0
    while not np.isfinite(filled).all():
        weight = ndimage.gaussian_filter(known.astype(float), sigma, mode="constant")
        total = ndimage.gaussian_filter(np.where(known, field, 0.0), sigma, mode="constant")
        with np.errstate(invalid="ignore", divide="ignore"):
            # The sum of weights shrinks with the square of the bell; what is left far out is rounding.
            mean = np.where(weight > 1e-5 / sigma**2, total / weight, np.nan)
        filled, sigma = np.where(np.isfinite(filled), filled, mean), 2 * sigma
    return filled


def _fit_aot(
    seen: dict[str, np.ndarray], altitude_km: np.ndarray, skies: dict[str, SceneSky], scattering_angle_deg: float
) -> np.ndarray:
    misfit = np.empty((len(CANDIDATES), len(altitude_km)))
    for row, aot_550 in enumerate(CANDIDATES):
        surface = {
            band: surface_reflectance(values, skies[band].above(altitude_km, aot_550)) for band, values in seen.items()
        }
        ndvi_swir = (surface["nir"] - surface["swir_2"]) / (surface["nir"] + surface["swir_2"])
        blue, red = visible_of_vegetation(surface["swir_2"], ndvi_swir, scattering_angle_deg)
        misfit[row] = (surface["blue"] - blue) ** 2 + (surface["red"] - red) ** 2
    return CANDIDATES[misfit.argmin(axis=0)]


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(numbers)) + 1
    starts = [0, *edges.tolist()] if len(numbers) else []
    return list(zip(starts, [*edges.tolist(), len(numbers)], strict=True)) if starts else []
