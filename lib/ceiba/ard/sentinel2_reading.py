"""Bands of a Sentinel-2 granule, of level 1C and 2A, as surface reflectance and scene classes on two grids."""

from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import odc.geo.xr
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox

from ceiba.ard.archives import SceneGrid
from ceiba.ard.atmosphere import choose_method, correct_atmosphere, see_aerosol
from ceiba.ard.atmosphere_aerosol import NEEDED_BANDS, Aerosol
from ceiba.ard.cloud_detection import MODEL_BANDS, cloud_probability, mask_clouds, shadow_mask
from ceiba.ard.encoding import resolve_encoding
from ceiba.ard.heights import read_heights
from ceiba.ard.sensors import Encoding, Sensor
from ceiba.ard.sun import grid_convergence_deg
from ceiba.ard.surface import encode_blocks, told_of_corrections
from ceiba.errors import SceneError

if TYPE_CHECKING:
    from ceiba.ard.sentinel2 import Sentinel2Scene

FINE_M, COARSE_M = 10, 20
BLOCK_ROWS = 64
CLOUD_THRESHOLD = 0.4  # of s2cloudless, as its makers advise
MAX_SHADOW_ZENITH_DEG = 85.0
SNOW_INDEX, SNOW_NIR = 0.4, 0.11  # Hall et al. 1995, doi:10.1016/0034-4257(95)00137-P
HOW_CLASSES = (
    "cloud_high: probability of s2cloudless above 0.4; cloud_medium: that of its surroundings, or cloud within 110 m; "
    "cloud_shadow: dark ground where a cloud up to 4 km high could throw it; snow: by its colors; the rest is unclassified"
)


def stored_encoding(sensor: Sensor) -> Encoding:
    """How surface reflectance made of level 1C is stored: as ESA stores level 2A since it has an offset."""
    return Encoding(sensor.scale, max(sensor.offset_from_baseline.items())[1], sensor.nodata)


def read_level_2(scene: "Sentinel2Scene") -> dict[int, SceneGrid]:
    """Level 2A as it is, by pixel size [m].

    The scene classification of 20 m stands for four pixels of 10 m. Where a band has no data, the class is no_data, and a
    saturated number is no data in its band. Raises :class:`SceneError` where a file is missing or damaged, or grids disagree.
    """
    classes, coarse = _read_file(scene, "SCL", COARSE_M)
    grids = {}
    for size, names in scene.sensor.bands.items():
        bands, geobox, saturated = {}, None, {}
        for name, own in names.items():
            if own == "SCL":
                continue
            numbers, found = _read_file(scene, own, size)
            geobox = _same_grid(scene, own, found, geobox)
            saturated[name] = _drop_saturated(numbers, scene.sensor)
            bands[name] = numbers
        _check_corner(scene, geobox, coarse, size)
        quality = _enlarge(classes, COARSE_M // size, geobox.shape).astype(np.uint16)
        lost = np.any([numbers == scene.sensor.nodata for numbers in bands.values()], axis=0)
        quality[lost] = scene.sensor.quality_classes["no_data"]
        bands[scene.sensor.quality_band(size)] = quality
        grids[size] = SceneGrid(geobox, bands, _document(scene, saturated, source="SCL"))
    return _with_all_counts(grids)


def read_level_1(
    scene: "Sentinel2Scene", *, elevation: str, method: str, cloud_pixel_m: int
) -> dict[int, SceneGrid]:
    """Level 1C to surface reflectance and classes, by pixel size [m].

    The aerosol is seen at 20 m, where all the bands are that it needs, and is the same for both grids.

    Parameters
    ----------
    elevation
        Address of a GeoTIFF with heights [m], or empty.
    method
        Of :func:`ceiba.ard.atmosphere.correct_atmosphere`.
    cloud_pixel_m
        Pixel size at which clouds are looked for: 20 or 60 [m].

    Raises
    ------
    SceneError
        Where a file is missing or damaged, grids disagree, or the sun is too low.
    """
    if scene.sun_zenith_deg >= MAX_SHADOW_ZENITH_DEG:
        raise SceneError(f"{scene.path}: the sun is {scene.sun_zenith_deg:.1f} degrees from the zenith; at most 85 can be used")
    toa, clouds, counts = _read_toa(scene, cloud_pixel_m)
    heights = read_heights(elevation, toa.odc.geobox) if elevation else 0
    options = {
        "sensor": scene.sensor.name, "sun_elevation_deg": 90 - scene.sun_zenith_deg,
        "time": datetime.fromisoformat(scene.time), "latitude_deg": _latitude_deg(toa.odc.geobox),
    }  # fmt: skip
    if method == "auto":
        method = choose_method(toa, sensor=scene.sensor.name, sun_elevation_deg=90 - scene.sun_zenith_deg)
    aerosol = see_aerosol(toa[list(NEEDED_BANDS)], elevation_m=heights, **options) if method == "6s" else None
    names = {name: name.removesuffix("_20m") for name in scene.sensor.reflectance_bands(COARSE_M)}
    lazy = toa[list(names.values())].chunk({"y": BLOCK_ROWS, "x": -1})
    surface = correct_atmosphere(lazy, elevation_m=heights, method=method, aerosol=aerosol, **options)
    encoding = stored_encoding(scene.sensor)
    coarse = encode_blocks(surface, encoding)
    quality = _classify(scene, toa, clouds, surface["nir_narrow"].compute(), cloud_pixel_m)
    quality[np.any([coarse[own] == encoding.nodata for own in names.values()], axis=0)] = scene.sensor.quality_classes["no_data"]
    geobox = toa.odc.geobox
    told = told_of_corrections(surface.attrs) | {"ceiba:terrain_corrected": False, "ceiba:cloud_pixel_m": cloud_pixel_m}
    told |= _document(scene, counts, source="s2cloudless") | {"ceiba:quality_classes": HOW_CLASSES}
    del toa, lazy, surface, clouds
    bands = {name: coarse[band] for name, band in names.items()} | {scene.sensor.quality_band(COARSE_M): quality}
    fine = _read_fine(scene, quality, geobox, elevation, {"method": method, "aerosol": aerosol, **options})
    return {FINE_M: fine, COARSE_M: SceneGrid(geobox, bands, told)}


def _read_toa(scene: "Sentinel2Scene", cloud_pixel_m: int) -> tuple[xr.Dataset, xr.Dataset, dict[str, int]]:
    """Reflectance at the top of the atmosphere at 20 m, the bands of the cloud model at its pixel size, saturated pixels."""
    wanted = {*NEEDED_BANDS, *(name.removesuffix("_20m") for name in scene.sensor.reflectance_bands(COARSE_M))}
    encoding = resolve_encoding(scene.sensor, scene.properties)
    coarse, clouds, counts, geobox = {}, {}, {}, None
    for name, (own, size) in _level_1_bands(scene.sensor).items():
        if name not in wanted and name not in MODEL_BANDS:
            continue
        numbers, found = _read_file(scene, own, size)
        if size == COARSE_M:
            geobox = _same_grid(scene, own, found, geobox)
        counts[name] = _drop_saturated(numbers, scene.sensor)
        if name in wanted:
            coarse[name] = _reflectance(numbers, COARSE_M // size, encoding)
        if name in MODEL_BANDS:
            clouds[name] = _at_pixel_size(numbers, size, cloud_pixel_m, encoding)
    whole = {name: odc.geo.xr.wrap_xr(_fit(values, geobox.shape), geobox) for name, values in coarse.items()}
    shape = min(values.shape for values in clouds.values())
    return xr.Dataset(whole), xr.Dataset({name: (("y", "x"), _fit(each, shape)) for name, each in clouds.items()}), counts


def _level_1_bands(sensor: Sensor) -> dict[str, tuple[str, int]]:
    """Name in Ceiba to the archive's name and the pixel size [m] at which level 1C has it, those of 20 m first."""
    found: dict[str, tuple[str, int]] = {}
    for bands in (sensor.bands, sensor.more_bands):
        for size, names in bands.items():
            for name, own in names.items():
                if not name.endswith(f"_{size}m") and not name.startswith("quality"):
                    found[name] = (own, size)
    return dict(sorted(found.items(), key=lambda item: abs(item[1][1] - COARSE_M)))


def _read_fine(
    scene: "Sentinel2Scene", quality: np.ndarray, coarse: GeoBox, elevation: str, options: dict
) -> SceneGrid:
    """The bands of 10 m, one after the other; ``quality`` at 20 m."""
    given, encoding = resolve_encoding(scene.sensor, scene.properties), stored_encoding(scene.sensor)
    aerosol: Aerosol | None = options["aerosol"]
    if aerosol is not None:
        options = options | {"aerosol": aerosol.on_finer_grid(COARSE_M // FINE_M)}
    bands, geobox, heights, lost = {}, None, 0, False
    for name, own in scene.sensor.reflectance_bands(FINE_M).items():
        numbers, found = _read_file(scene, own, FINE_M)
        geobox = _same_grid(scene, own, found, geobox)
        _drop_saturated(numbers, scene.sensor)
        if not bands:
            _check_corner(scene, geobox, coarse, FINE_M)
            heights = read_heights(elevation, geobox) if elevation else 0
        stored = odc.geo.xr.wrap_xr(numbers, geobox).chunk({"y": BLOCK_ROWS, "x": -1})
        toa = ((stored.astype("float32") + _offset_counts(given)) * np.float32(given.scale)).where(stored != given.nodata)
        corrected = correct_atmosphere(xr.Dataset({name: toa}), elevation_m=heights, **options)
        bands[name] = encode_blocks(corrected, encoding)[name]
        lost = lost | (bands[name] == encoding.nodata)
    classes = _enlarge(quality, COARSE_M // FINE_M, geobox.shape)
    classes[lost] = scene.sensor.quality_classes["no_data"]
    return SceneGrid(geobox, bands | {scene.sensor.quality_band(FINE_M): classes})


def _classify(
    scene: "Sentinel2Scene", toa: xr.Dataset, clouds: xr.Dataset, nir: xr.DataArray, cloud_pixel_m: int
) -> np.ndarray:
    """Classes of the scene classification at 20 m, uint16; ``nir`` is reflectance of the surface."""
    number = scene.sensor.quality_classes
    probability = cloud_probability(clouds)
    mask = mask_clouds(probability, resolution_m=cloud_pixel_m, threshold=CLOUD_THRESHOLD)
    known, mask, close = (
        _enlarge(values, cloud_pixel_m // COARSE_M, nir.shape)
        for values in (np.isfinite(probability.values), mask.values, probability.values > CLOUD_THRESHOLD)
    )
    geobox = toa.odc.geobox
    shadow = shadow_mask(
        xr.DataArray(mask, dims=("y", "x")), xr.DataArray(nir.values, dims=("y", "x")), resolution_m=COARSE_M,
        sun_zenith_deg=scene.sun_zenith_deg, sun_azimuth_deg=(scene.sun_azimuth_deg - grid_convergence_deg(geobox)) % 360,
    ).values  # fmt: skip
    green, swir = toa["green"].values, toa["swir_1"].values
    with np.errstate(invalid="ignore", divide="ignore"):
        snow = ((green - swir) / (green + swir) > SNOW_INDEX) & (toa["nir"].values > SNOW_NIR)
    classes = np.full(nir.shape, number["unclassified"], np.uint16)
    classes[snow] = number["snow"]
    classes[shadow] = number["cloud_shadow"]
    classes[mask] = number["cloud_medium"]
    classes[mask & close] = number["cloud_high"]
    classes[~known] = number["no_data"]
    return classes


def _document(scene: "Sentinel2Scene", saturated: dict[str, int], *, source: str) -> dict[str, object]:
    own = {name: value for name, value in scene.properties.items() if ":" in name}
    return own | {"ceiba:quality_source": source, "ceiba:clouds_masked": True, "ceiba:saturated_count": saturated}


def _with_all_counts(grids: dict[int, SceneGrid]) -> dict[int, SceneGrid]:
    """The grids, each document with the saturated pixels of the bands of all: the last one is kept."""
    counts = {name: count for grid in grids.values() for name, count in grid.properties["ceiba:saturated_count"].items()}
    for grid in grids.values():
        grid.properties["ceiba:saturated_count"] = counts
    return grids


def _read_file(scene: "Sentinel2Scene", own: str, size: int) -> tuple[np.ndarray, GeoBox]:
    """Numbers of a band at a pixel size [m]; raises :class:`SceneError`."""
    band = own if own == "SCL" or len(own) == 3 else f"B0{own[1:]}"  # B2 is B02 in the files' names
    key = f"{band}_{size}m" if scene.sensor.level == 2 else band
    address = scene.files.get(key)
    if address is None:
        known = ", ".join(sorted(scene.files)) or "no JP2 files"
        raise SceneError(f"{scene.path} lacks {key} of {scene.name}; it has {known}")
    try:
        with rasterio.open(address) as file:
            if file.crs is None:
                raise SceneError(f"{address} has no CRS")
            if abs(file.transform.a - size) > 1e-6:
                raise SceneError(f"{address} has pixels of {file.transform.a:g} m; {band} should have {size} m")
            return file.read(1), GeoBox(file.shape, file.transform, file.crs.to_string())
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"{address} cannot be read: {error}") from error


def _same_grid(scene: "Sentinel2Scene", own: str, found: GeoBox, before: GeoBox | None) -> GeoBox:
    if before is not None and found != before:
        raise SceneError(f"{scene.path}: {own} lies on another grid than the bands before it: {found} and {before}")
    return found


def _check_corner(scene: "Sentinel2Scene", grid: GeoBox, coarse: GeoBox, size: int) -> None:
    if grid.crs != coarse.crs or (grid.affine.c, grid.affine.f) != (coarse.affine.c, coarse.affine.f):
        raise SceneError(f"{scene.path}: its bands of {size} m and 20 m begin at different corners: {grid} and {coarse}")


def _drop_saturated(numbers: np.ndarray, sensor: Sensor) -> int:
    """Make saturated numbers just read no data; how many they were."""
    saturated = numbers == sensor.saturated
    count = int(saturated.sum())
    if count:
        numbers[saturated] = sensor.nodata
    return count


def _at_pixel_size(numbers: np.ndarray, size: int, wanted_m: int, encoding: Encoding) -> np.ndarray:
    if size <= wanted_m:
        return _reflectance(numbers, wanted_m // size, encoding)
    factor = size // wanted_m
    values = _reflectance(numbers, 1, encoding)
    return _enlarge(values, factor, (values.shape[0] * factor, values.shape[1] * factor))


def _reflectance(numbers: np.ndarray, factor: int, encoding: Encoding) -> np.ndarray:
    """Reflectance [1] of blocks of ``factor`` x ``factor`` pixels, float32: the mean of those with data, NaN where none has."""
    rows, columns = (-size % factor for size in numbers.shape)
    if rows or columns:
        numbers = np.pad(numbers, ((0, rows), (0, columns)), constant_values=encoding.nodata)
    shape = (numbers.shape[0] // factor, numbers.shape[1] // factor)
    total, count = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    for row in range(factor):
        for column in range(factor):
            part = numbers[row::factor, column::factor]
            valid = part != encoding.nodata
            total += np.where(valid, part, 0)
            count += valid
    # Sums of counts are whole in float32, so that baselines with and without an offset give the same to the bit.
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total + count * _offset_counts(encoding)) / count * np.float32(encoding.scale)


def _offset_counts(encoding: Encoding) -> np.float32:
    return np.float32(encoding.offset / encoding.scale)


def _enlarge(values: np.ndarray, factor: int, shape: tuple[int, int]) -> np.ndarray:
    return values.repeat(factor, axis=0).repeat(factor, axis=1)[: shape[0], : shape[1]]


def _fit(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return values[: shape[0], : shape[1]]


def _latitude_deg(geobox: GeoBox) -> float:
    return float(geobox.geographic_extent.centroid.coords[0][1])
