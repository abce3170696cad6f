"""Scenes in the cube by reference or as copies: headers checked, grids read from them, one EO3 document a scene."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
import rasterio
import rasterio.shutil
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from ceiba import store
from ceiba.ard.answers import shorten
from ceiba.ard.downloads import Beginning, read_beginning
from ceiba.ard.encoding import ENCODING_KEY, SENSOR_KEY, check_encoding, processing_baseline
from ceiba.ard.offers import COG_PROFILE, COPY, REFERENCE, Offer, OfferedBand
from ceiba.errors import SceneError, StoreError, TransferError
from ceiba.grids import Place
from ceiba.products import eo3_document, find_definition

HEADER_BYTES = 64 * 1024  # a Landsat or Sentinel-2 COG has its directories, with those of its overviews, in about 20 kB
# GDAL's COG driver puts the overviews behind the directories, the smallest first: enough for that of a Sentinel-2 band.
OVERVIEW_BYTES = 512 * 1024
DARK_BANDS = ("blue", "red")
SMALL_PX = 512  # a file of one block needs no overviews
SAMPLE_PX = 600
ITEM_NAME = "item.json"
COG_OPTIONS = {"driver": "COG", "compress": "deflate", "predictor": "yes", "blocksize": 512, "bigtiff": "if_safer"}


@dataclass(frozen=True)
class Header:
    """What the beginning of a file says.

    Attributes
    ----------
    geobox
        Its grid, with the CRS of the item where the file names none.
    why_copied
        Why the file cannot be read where it lies; empty where it can.
    version
        The server's mark of this version.
    size_bytes
        Size of the file, None where it is not known.
    sample
        Numbers of an overview, dims ``(y, x)``, for the check of dark pixels; None where none was asked for or had.
    """

    geobox: GeoBox
    why_copied: str = ""
    version: str = ""
    size_bytes: int | None = None
    sample: np.ndarray | None = None


@dataclass(frozen=True)
class Gathered:
    """Files of an offered scene: their headers by address, and their copies, none for a scene by reference."""

    headers: Mapping[str, Header]
    copies: Mapping[str, Path] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """ "reference" or "copy"."""
        return COPY if self.copies else REFERENCE


def why_copied(offer: Offer) -> str:
    """Why the files of an offer cannot be read where they lie, as far as the item tells; empty where they can."""
    access = offer.provider.access
    if access.requester_pays:
        return "each reading would be paid for"
    if access.kind == "s3" and (access.endpoint or access.key_variable):
        return "the bucket needs keys of its own"
    for band in offer.bands:
        if "?" in band.href:
            return "the address holds a key that expires"
        if band.media_type and "tiff" not in band.media_type and COG_PROFILE not in band.media_type:
            return f"the files are {band.media_type}"
    return ""


def read_headers(offer: Offer) -> dict[str, Header]:
    """Headers of the files of an offer, one request a file; raises :class:`SceneError` or :class:`TransferError`."""
    headers = {}
    for href, band in offer.files.items():
        length = OVERVIEW_BYTES if _is_sampled(offer, band) else HEADER_BYTES
        beginning = read_beginning(href, length, access=offer.provider.access, patience=offer.provider.patience)
        if band.size_bytes is not None and beginning.size_bytes not in (None, band.size_bytes):
            raise TransferError(
                f"{shorten(href)} has {beginning.size_bytes} bytes, the archive says {band.size_bytes}"
            )
        headers[href] = read_header(offer, band, beginning)
    return headers


def read_header(offer: Offer, band: OfferedBand, beginning: Beginning) -> Header:
    """The header in the first bytes of a file; raises :class:`SceneError` on a file that is no raster of numbers."""
    try:
        with MemoryFile(beginning.content) as memory, memory.open() as file:
            geobox = _read_geobox(file, offer, band.href)
            layout = file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT")
            in_blocks = file.profile.get("tiled") and (file.overviews(1) or max(file.shape) <= SMALL_PX)
            reason = "" if layout == "COG" or in_blocks else "the file is no Cloud-Optimized GeoTIFF"
            reason = reason if file.crs else "the file names no CRS"
        sample = _read_sample(beginning.content) if _is_sampled(offer, band) else None
    except rasterio.errors.RasterioError as error:
        whole = beginning.size_bytes is not None and beginning.size_bytes <= len(beginning.content)
        if whole:
            raise SceneError(f"{shorten(band.href)} cannot be read: {error}") from error
        # Its directory does not lie at its beginning, as that of a COG does; the copy tells.
        return Header(None, "the file is no Cloud-Optimized GeoTIFF", beginning.version, beginning.size_bytes)
    if not beginning.in_parts:
        reason = reason or "the server does not give parts of files"
    return Header(geobox, reason, beginning.version, beginning.size_bytes, sample)


def _is_sampled(offer: Offer, band: OfferedBand) -> bool:
    """Only where the encoding changes from item to item can an item be wrong about it."""
    return band.name in DARK_BANDS and bool(offer.sensor.offset_from_baseline)


def _read_sample(content: bytes) -> np.ndarray | None:
    """The smallest overview in the first bytes of a file, None where it lies further behind."""
    try:
        with MemoryFile(content) as memory:
            with memory.open() as file:
                level = len(file.overviews(1)) - 1
            with memory.open(**({"overview_level": level} if level >= 0 else {})) as overview:
                return overview.read(1)
    except rasterio.errors.RasterioError:
        return None


def check_dark_pixels(offer: Offer, headers: Mapping[str, Header]) -> None:
    """Raise :class:`SceneError` where the darkest pixels of the overviews that were had belie the item's encoding."""
    samples = {
        band.name: headers[band.href].sample for band in offer.bands if headers[band.href].sample is not None
    }
    check_encoding(
        offer.name, offer.sensor, offer.encoding, samples, baseline=processing_baseline(offer.properties)
    )


def _read_geobox(file: rasterio.DatasetReader, offer: Offer, href: str) -> GeoBox:
    where = shorten(str(href))
    if np.dtype(file.dtypes[0]).kind not in "ui":
        raise SceneError(f"{where} holds {file.dtypes[0]}; scenes hold integers as the archive made them")
    transform = file.transform
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise SceneError(f"{where} is not north up: its transform is {tuple(transform)[:6]}")
    if transform.is_identity:
        raise SceneError(f"{where} has no place on the map: it has no transform")
    crs = file.crs.to_string() if file.crs else offer.crs
    if not crs:
        raise SceneError(f"{where} has no CRS, and neither has its item")
    return GeoBox((file.height, file.width), transform, crs)


def read_copies(offer: Offer, copies: Mapping[str, Path]) -> dict[str, Header]:
    """Headers of the copies of an offer; raises :class:`SceneError` naming the file that cannot be read."""
    headers = {}
    for href, path in copies.items():
        try:
            with rasterio.open(path) as file:
                scale = max(1.0, max(file.shape) / SAMPLE_PX)
                shape = tuple(max(1, int(length / scale)) for length in file.shape)
                sample = file.read(1, out_shape=shape) if _is_sampled(offer, offer.files[href]) else None
                geobox = _read_geobox(file, offer, href)
                headers[href] = Header(geobox, size_bytes=path.stat().st_size, sample=sample)
        except rasterio.errors.RasterioError as error:
            raise SceneError(f"{shorten(href)} cannot be read: {error}") from error
    return headers


def check_grids(offer: Offer, headers: Mapping[str, Header], place: Place) -> None:
    """Raise :class:`SceneError` on files of several CRS, or that lie elsewhere than the area or the item's own outline."""
    systems = {str(header.geobox.crs) for header in headers.values()}
    if len(systems) > 1:
        raise SceneError(f"{offer.name}: its files are in several CRS: {', '.join(sorted(systems))}")
    for href, header in headers.items():
        extent = header.geobox.extent
        bounds = tuple(round(value, 1) for value in header.geobox.boundingbox.bbox)
        if not extent.to_crs(place.whole.crs).intersects(place.whole.extent):
            raise SceneError(
                f"{shorten(href)} lies outside area {place.area}: its CRS is {header.geobox.crs}, its bounds are {bounds}"
            )
        if not extent.to_crs("EPSG:4326").geom.intersects(offer.footprint):
            raise SceneError(
                f"{shorten(href)} lies elsewhere than its item says: its CRS is {header.geobox.crs}, its bounds are {bounds}, "
                f"the item's are {tuple(round(value, 4) for value in offer.footprint.bounds)} in degrees"
            )


def save_offer(offer: Offer, gathered: Gathered, dataset_id: UUID, *, simulated: bool, find_replaced) -> None:
    """Write the document of a scene, with its copies where it has any, and index it; raises :class:`StoreError`."""
    definition = find_definition(offer.sensor.product)

    def write(folder: Path) -> dict:
        names = {href: _write_copy(folder, offer, href, path) for href, path in gathered.copies.items()}
        (folder / ITEM_NAME).write_text(_item_text(offer), "utf-8")
        boxes = {href: header.geobox for href, header in gathered.headers.items()}
        finest = min(boxes.values(), key=lambda box: (box.affine.a, box.affine.f, box.affine.c))
        grids = {_grid_name(box): box for box in boxes.values() if box != finest}
        return eo3_document(
            dataset_id=dataset_id,
            definition=definition,
            region_code=offer.acquisition,
            period=(offer.time, offer.time),
            geobox=finest,
            grids=grids,
            measurements={band.name: names.get(band.href, band.href) for band in offer.bands},
            measurement_grids={
                band.name: ("default" if boxes[band.href] == finest else _grid_name(boxes[band.href]), 1)
                for band in offer.bands
            },
            accessories={"checksums": store.CHECKSUMS_NAME, "item": ITEM_NAME},
            lineage={},
            properties=_properties(offer, gathered, simulated),
        )

    place = f"scenes/{definition.name}/{offer.time[:4]}/{_file_name(offer.name)}"
    store.save_dataset(dataset_id, place, write, find_replaced=find_replaced)


def _properties(offer: Offer, gathered: Gathered, simulated: bool) -> dict[str, object]:
    sensor = offer.sensor
    properties = {
        "eo:platform": offer.platform,
        "eo:instrument": sensor.name,
        SENSOR_KEY: sensor.name,
        ENCODING_KEY: offer.encoding.to_properties(),
        "ceiba:simulated": simulated,
        "ceiba:provider": offer.provider.name,
        "ceiba:item": f"{offer.collection}/{offer.name}",
        "ceiba:kind": gathered.kind,
        "ceiba:encoding_checked": any(header.sample is not None for header in gathered.headers.values()),
        "ceiba:processing": list(offer.processing),
        "ceiba:versions": {
            band.name: gathered.headers[band.href].version or band.checksum or "unknown" for band in offer.bands
        },
    }
    if offer.cloud_cover == offer.cloud_cover:
        properties["eo:cloud_cover"] = offer.cloud_cover
    return properties


def _grid_name(box: GeoBox) -> str:
    size = f"{box.affine.a:g}".replace(".", "_")
    return f"g{size}m_{box.width}x{box.height}"


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)[:150]


def _item_text(offer: Offer) -> str:
    """The item, with no token in its addresses."""
    item = dict(offer.item)
    assets = item.get("assets") or {}
    item["assets"] = {
        key: {**asset, "href": shorten(asset["href"])} if isinstance(asset, dict) and "href" in asset else asset
        for key, asset in assets.items()
    }
    return json.dumps(item, sort_keys=True, indent=1, default=str)


def _write_copy(folder: Path, offer: Offer, href: str, path: Path) -> str:
    """Put a copy into the dataset's folder, as it came where it is a COG, else as one; returns its name."""
    names = [band.name for band in offer.bands if band.href == href]
    target = folder / f"{names[0]}.tif"
    try:
        with rasterio.open(path) as file:
            is_cog = file.driver == "GTiff" and file.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG"
            if not (is_cog and file.crs):
                _convert(file, target, offer, categorical=any(name.startswith("quality") for name in names))
                return target.name
    except rasterio.errors.RasterioError as error:
        raise StoreError(f"{target} cannot be written: {error}") from error
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
    return target.name


def _convert(file: rasterio.DatasetReader, target: Path, offer: Offer, *, categorical: bool) -> None:
    """Write a raster as COG, with the item's CRS where it has none; the values are compared by GDAL's checksum."""
    options = COG_OPTIONS | {"overview_resampling": "mode" if categorical else "average"}
    source = target.with_suffix(".vrt")
    rasterio.shutil.copy(file, source, driver="VRT")
    if not file.crs:
        with rasterio.open(source, "r+") as described:
            described.crs = rasterio.crs.CRS.from_string(offer.crs)
    rasterio.shutil.copy(source, target, **options)
    source.unlink(missing_ok=True)
    with rasterio.open(target) as written:
        if written.checksum(1) != file.checksum(1):
            raise StoreError(f"{target} read back differs from what was fetched; is the disk full?")
