"""Bands of a Landsat scene, of either level and collection, as surface reflectance stored like Collection 2 Level 2."""

import functools
import operator
from typing import TYPE_CHECKING

import numpy as np
import odc.geo.xr
import rasterio
import xarray as xr
from odc.geo.geobox import GeoBox

from ceiba.ard.archives import SceneGrid
from ceiba.ard.atmosphere import correct_atmosphere
from ceiba.ard.brdf import adjust_brdf
from ceiba.ard.calibration import FILL, band_number, fill_mask, saturation_masks, toa_reflectance
from ceiba.ard.heights import read_heights
from ceiba.ard.landsat_view import view_angles
from ceiba.ard.quality import grow_mask, has_class, quality_of_fill, translate_quality
from ceiba.ard.sensors import Encoding, Quality
from ceiba.ard.sun import grid_convergence_deg, sun_elevation_of_pixels
from ceiba.ard.surface import encode, encode_blocks, told_of_corrections
from ceiba.ard.topography import correct_topography
from ceiba.errors import SceneError

if TYPE_CHECKING:
    from ceiba.ard.landsat import LandsatScene

BLOCK_ROWS = 64  # each step of the chain holds a few blocks of double precision a thread


def read_level_1(
    scene: "LandsatScene", *, elevation: str, method: str, sun_by_pixel: bool, brdf: bool, grow_cloud_m: float
) -> dict[int, SceneGrid]:
    """Digital numbers to surface reflectance.

    Parameters
    ----------
    elevation
        Address of a GeoTIFF with heights [m], or empty.
    method
        Of :func:`ceiba.ard.atmosphere.correct_atmosphere`.
    sun_by_pixel
        Whether the sun's elevation is computed for each pixel rather than taken from the metadata.
    brdf
        Whether reflectance is told as seen from straight above.
    grow_cloud_m
        Distance [m] around cloud to mark as dilated cloud.

    Returns
    -------
    dict
        Pixel size [m] to the grid, whose ``properties`` say what was done and count fill and saturated pixels.

    Raises
    ------
    SceneError
        Where a file is missing or damaged, or grids disagree.
    """
    (size,) = scene.sensor.bands
    numbers, geobox = _read_bands(scene, size, fill=FILL)
    metadata = scene.metadata
    # By blocks of rows: six bands of a whole scene as floating point would take 1.4 GiB at each step.
    numbers = numbers.chunk({"y": BLOCK_ROWS, "x": -1})
    lost = fill_mask(numbers).compute()
    saturated = saturation_masks(numbers, metadata, scene.sensor)
    counts = {"ceiba:saturated_count": {name: int((mask & ~lost).sum()) for name, mask in saturated.items()}}
    sun = sun_elevation_of_pixels(geobox, metadata.time) if sun_by_pixel else None
    if sun is not None:
        sun = odc.geo.xr.wrap_xr(sun.values, geobox)
    reflectance = toa_reflectance(numbers, metadata, scene.sensor, sun_elevation_deg=sun)
    heights = read_heights(elevation, geobox) if elevation else None
    reflectance = correct_atmosphere(
        reflectance,
        sensor=scene.sensor.name,
        sun_elevation_deg=metadata.sun_elevation_deg,
        time=metadata.time,
        elevation_m=0 if heights is None else heights,
        method=method,
    )
    if heights is not None:
        reflectance = correct_topography(
            reflectance,
            heights,
            sun_elevation_deg=metadata.sun_elevation_deg,
            sun_azimuth_deg=(metadata.sun_azimuth_deg - grid_convergence_deg(geobox)) % 360,
        )
    if brdf:
        reflectance = _as_from_above(reflectance, scene, geobox)
    done = told_of_corrections(reflectance.attrs) | {"ceiba:terrain_corrected": heights is not None}
    quality, told = _read_quality(scene, geobox, lost, grow_cloud_m)
    lost = has_class(quality, scene.sensor.quality, "fill")
    # Cut into blocks once: each band would keep a copy of its own.
    lost_blocks = lost.chunk({"y": BLOCK_ROWS, "x": -1})
    bands = encode_blocks(reflectance.where(~lost_blocks), scene.sensor.encoding)
    counts["ceiba:fill_count"] = int(lost.sum())
    return {size: SceneGrid(geobox, bands | {"quality": quality.values}, {**scene.properties, **done, **told, **counts})}


def _as_from_above(reflectance: xr.Dataset, scene: "LandsatScene", geobox: GeoBox) -> xr.Dataset:
    metadata = scene.metadata
    if metadata.center is None:
        raise SceneError(f"{scene.path}: its metadata say no corners, so nothing tells the view angles; set brdf to false")
    zenith, azimuth = (
        odc.geo.xr.wrap_xr(angle.values, geobox).chunk({"y": BLOCK_ROWS, "x": -1})
        for angle in view_angles(geobox, metadata.center)
    )
    return adjust_brdf(
        reflectance,
        sun_zenith_deg=90 - metadata.sun_elevation_deg,
        view_zenith_deg=zenith,
        relative_azimuth_deg=azimuth - metadata.sun_azimuth_deg,
    )


def read_level_2(scene: "LandsatScene", *, grow_cloud_m: float) -> dict[int, SceneGrid]:
    """Surface reflectance as USGS made it, told in the numbers of Collection 2; raises :class:`SceneError`."""
    (size,) = scene.sensor.bands
    archive = scene.sensor.archive_encoding
    numbers, geobox = _read_bands(scene, size, fill=archive.nodata)
    lost = functools.reduce(operator.or_, (band == archive.nodata for band in numbers.data_vars.values()))
    quality, told = _read_quality(scene, geobox, lost, grow_cloud_m)
    lost = has_class(quality, scene.sensor.quality, "fill")
    bands, saturated = {}, {}
    for name, band in numbers.data_vars.items():
        own = band_number(scene.sensor, str(name))
        multiplier, addend = scene.metadata.surface_reflectance.get(own, (archive.scale, archive.offset))
        full = band == scene.sensor.saturated if scene.sensor.saturated is not None else xr.zeros_like(lost)
        saturated[str(name)] = int((full & ~lost).sum())
        if Encoding(multiplier, addend, archive.nodata) == scene.sensor.encoding:
            bands[str(name)] = band.where(~(lost | full), scene.sensor.nodata).values.astype("uint16")
        else:
            reflectance = band.astype("float32") * multiplier + addend
            bands[str(name)] = encode(reflectance.where(~(lost | full)).values, scene.sensor.encoding)
    counts = {"ceiba:fill_count": int(lost.sum()), "ceiba:saturated_count": saturated}
    return {size: SceneGrid(geobox, bands | {"quality": quality.values}, {**scene.properties, **told, **counts})}


def _read_bands(scene: "LandsatScene", size: int, *, fill: int) -> tuple[xr.Dataset, GeoBox]:
    arrays, geobox = {}, None
    for name, own in scene.sensor.reflectance_bands(size).items():
        numbers, found = _read_file(scene, own.lower(), fill)
        if geobox is not None and found != geobox:
            raise SceneError(
                f"{scene.files[own.lower()]} lies on another grid than the bands before it: {found} and {geobox}"
            )
        geobox = found
        arrays[name] = odc.geo.xr.wrap_xr(numbers, geobox)
    return xr.Dataset(arrays), geobox


def _read_file(scene: "LandsatScene", own: str, fill: int | None) -> tuple[np.ndarray, GeoBox]:
    """Numbers of one file, those that the file itself calls no data as ``fill``; raises :class:`SceneError`."""
    address = scene.files.get(own)
    if address is None:
        raise SceneError(
            f"{scene.path} lacks band {own} of {scene.name}; it has {', '.join(sorted(scene.files)) or 'no TIF files'}"
        )
    try:
        with rasterio.open(address) as file:
            if file.crs is None:
                raise SceneError(f"{address} has no CRS")
            numbers = file.read(1)
            if fill is not None and file.nodata is not None and file.nodata != fill:
                numbers = np.where(numbers == file.nodata, numbers.dtype.type(fill), numbers)
            return numbers, GeoBox(file.shape, file.transform, file.crs.to_string())
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"{address} cannot be read: {error}") from error


def _read_quality(
    scene: "LandsatScene", geobox: GeoBox, lost: xr.DataArray, grow_cloud_m: float
) -> tuple[xr.DataArray, dict[str, object]]:
    """Quality bits of the cube's kind, with ``lost`` pixels as fill, and what the document says of them."""
    kind: Quality = scene.sensor.quality
    own = next((own for own in scene.sensor.archive_quality if own.lower() in scene.files), "")
    if not own:
        return quality_of_fill(lost, kind), {"ceiba:quality_source": "none", "ceiba:clouds_masked": False}
    values, found = _read_file(scene, own.lower(), None)
    if found != geobox:
        raise SceneError(f"{scene.files[own.lower()]} lies on another grid than the bands: {found} and {geobox}")
    quality = translate_quality(odc.geo.xr.wrap_xr(values, geobox), scene.sensor.archive_quality[own], kind)
    if grow_cloud_m and "dilated_cloud" not in scene.sensor.archive_quality[own].classes:
        quality = _mark_grown_cloud(quality, kind, grow_cloud_m, abs(geobox.affine.a))
    quality = xr.where(lost, np.uint16(1 << kind.classes["fill"]), quality).astype("uint16")
    return quality, {"ceiba:quality_source": own, "ceiba:clouds_masked": True}


def _mark_grown_cloud(quality: xr.DataArray, kind: Quality, distance_m: float, resolution_m: float) -> xr.DataArray:
    cloud = has_class(quality, kind, "cloud")
    grown = grow_mask(cloud, distance_m=distance_m, resolution_m=resolution_m) & ~cloud
    clear_bit, grown_bit = (np.uint16(1 << kind.classes[name]) for name in ("clear", "dilated_cloud"))
    return xr.where(grown, (quality & ~clear_bit) | grown_bit, quality).astype("uint16")
