"""Scenes that an archive on the network offers, and what is told of them before anything is fetched."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
from shapely import get_coordinates
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from ceiba.ard.answers import shorten
from ceiba.ard.encoding import resolve_encoding
from ceiba.ard.sensors import Encoding, Sensor, find_sensor
from ceiba.errors import SceneError
from ceiba.products import NAMESPACE, find_definition
from ceiba.providers import Collection, Provider

REFERENCE, COPY = "reference", "copy"
SCHEMES = ("http://", "https://", "s3://")
COG_PROFILE = "profile=cloud-optimized"
MAX_SIZE_BYTES = 1 << 50


@dataclass(frozen=True)
class OfferedBand:
    """A band of an offered scene.

    Attributes
    ----------
    name
        Name in Ceiba; two names may stand for one file.
    href
        Address without a token.
    size_bytes, checksum
        What the archive says of the file, None and "" where it says nothing; the checksum is a multihash.
    """

    name: str
    href: str
    media_type: str = ""
    size_bytes: int | None = None
    checksum: str = ""


@dataclass(frozen=True)
class Offer:
    """A scene that an archive offers.

    Attributes
    ----------
    name, collection
        Id of the item and of its collection.
    time
        Acquisition as ISO 8601 text, UTC.
    acquisition
        What stays the same when a scene is processed again or offered by another archive: tile, platform and moment.
    processing
        Processing version as numbers, for the newest of several.
    updated
        When the archive changed the item last, as it says; empty where it does not.
    cloud_cover
        Share of cloud as the archive tells it [%], NaN where it does not.
    footprint
        Outline of the scene, EPSG:4326.
    encoding
        How its numbers store reflectance.
    crs
        CRS that the item names, empty where it names none.
    versions
        Marks (ETag) that the server gave with the files, asked for only where the archive tells no change of the item.
    properties
        Properties of the item, with what its assets say of their bands as ``raster:bands``.
    item
        The item as it was received.
    """

    provider: Provider
    name: str
    collection: str
    time: str
    sensor: Sensor
    platform: str
    acquisition: str
    footprint: BaseGeometry
    bands: tuple[OfferedBand, ...]
    encoding: Encoding
    processing: tuple[int, ...] = ()
    updated: str = ""
    cloud_cover: float = math.nan
    crs: str = ""
    versions: tuple[str, ...] = ()
    properties: Mapping[str, object] = field(default_factory=dict)
    item: Mapping[str, object] = field(default_factory=dict)

    @property
    def files(self) -> dict[str, OfferedBand]:
        """One band a distinct file, by address."""
        return {band.href: band for band in self.bands}

    @property
    def size_bytes(self) -> float:
        """Bytes of all files, NaN where the archive does not say it of each."""
        sizes = [band.size_bytes for band in self.files.values()]
        return math.nan if None in sizes else float(sum(sizes))

    @property
    def is_identified(self) -> bool:
        """Whether the archive tells when the item changes, by checksums or a time of change."""
        return bool(self.updated) or all(band.checksum for band in self.bands)

    def dataset_id(self, kind: str) -> UUID:
        """Deterministic id of the scene as a dataset of the cube.

        A scene by reference is not read whole, so its id cannot be that of its pixels. It is made from the product and its
        version, ``kind`` ("reference" or "copy"), collection, item, the address of each band without its token, and the
        checksum of each; where the archive gives no checksums, from the time of its last change; where it gives
        neither, from ``versions``.
        """
        definition = find_definition(self.sensor.product)
        content = {
            "product": [definition.name, definition.version],
            "kind": kind,
            "item": [self.collection, self.name, self.time],
            "bands": sorted([band.name, shorten(band.href), band.checksum] for band in self.bands),
        }
        if self.encoding != self.sensor.encoding:  # the same numbers with another meaning are another scene
            content["encoding"] = self.encoding.to_properties()
        if not all(band.checksum for band in self.bands):
            content["updated"] = self.updated or sorted(self.versions)
        return uuid5(NAMESPACE, json.dumps(content, sort_keys=True, separators=(",", ":")))


def is_unused(item: Mapping, collection: Collection) -> bool:
    """Whether an item is of a platform that the collection is not used for (``catalogs/providers.yml``)."""
    properties = item.get("properties") if isinstance(item, Mapping) else None
    return isinstance(properties, Mapping) and _platform(properties) in collection.unused


def _platform(properties: Mapping) -> str:
    return str(properties.get("platform") or "").lower().replace("_", "-")


def read_item(item: Mapping, provider: Provider, collection: Collection) -> Offer:
    """Translate a STAC item; raises :class:`SceneError` that names the item and what it lacks, on any other kind of input."""
    if not isinstance(item, Mapping):
        raise SceneError(f"{provider.name}: an item of {collection.name} is no object but {type(item).__name__}")
    name = item.get("id")
    if not isinstance(name, str) or not name.strip():
        raise SceneError(f"{provider.name}: an item of {collection.name} has no id ({name!r})")
    where = f"{provider.name} {collection.name} {name}"
    properties = item.get("properties")
    if not isinstance(properties, Mapping):
        raise SceneError(f"{where}: it has no properties")
    platform = _platform(properties)
    if platform not in collection.sensors:
        raise SceneError(
            f"{where}: platform {properties.get('platform')!r} is none of {', '.join(collection.sensors)} (catalogs/providers.yml)"
        )
    time = _read_time(properties, where)
    bands = _read_bands(item, provider, collection, where)
    footprint = _read_footprint(item, where)
    sensor = find_sensor(collection.sensors[platform])
    properties = {"id": name} | dict(properties) | _declare_bands(item, collection)
    return Offer(
        provider=provider,
        name=name,
        collection=collection.name,
        time=time,
        sensor=sensor,
        platform=platform,
        acquisition=_name_acquisition(properties, platform, time, footprint),
        footprint=footprint,
        bands=bands,
        encoding=_read_encoding(sensor, properties, where),
        processing=_read_numbers(properties.get("s2:processing_baseline") or properties.get("processing:version")),
        updated=_as_text(properties.get("updated") or properties.get("created")),
        cloud_cover=_as_percent(properties.get("eo:cloud_cover")),
        crs=_read_crs(properties),
        properties=properties,
        item=item,
    )


def _read_time(properties: Mapping, where: str) -> str:
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise SceneError(f"{where}: its datetime is {text!r}, no time as in ISO 8601") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _read_bands(item: Mapping, provider: Provider, collection: Collection, where: str) -> tuple[OfferedBand, ...]:
    assets = item.get("assets")
    assets = assets if isinstance(assets, Mapping) else {}
    missing = sorted({key for key in collection.assets.values() if not isinstance(assets.get(key), Mapping)})
    if missing:
        raise SceneError(f"{where}: it lacks the assets {', '.join(missing)}; it has {', '.join(map(str, assets)) or 'none'}")
    bands = []
    for name, key in collection.assets.items():
        asset = assets[key]
        if provider.access.alternate:
            alternates = asset.get("alternate")
            asset = {**asset, **(_alternate(alternates, provider.access.alternate, f"{where}, asset {key}"))}
        href = asset.get("href")
        # A path would be one of this machine, which an archive on the network must not name.
        if not isinstance(href, str) or not href.startswith(SCHEMES):
            raise SceneError(f"{where}: the address of asset {key} is {href!r}; it must begin with {', '.join(SCHEMES)}")
        checksum = _as_text(asset.get("file:checksum") or asset.get("checksum:multihash"))
        bands.append(OfferedBand(name, href, _as_text(asset.get("type")), _as_size(asset.get("file:size")), checksum))
    return tuple(bands)


def _declare_bands(item: Mapping, collection: Collection) -> dict[str, list]:
    """What the assets of reflectance say of scale and offset, in either version of STAC's raster extension."""
    declared = []
    for name, key in collection.assets.items():
        if name.startswith("quality"):
            continue
        asset = item["assets"][key]
        groups = asset.get("raster:bands") or asset.get("bands") or [asset]
        for band in groups if isinstance(groups, list) else []:
            if isinstance(band, Mapping):
                told = {part: band.get(part, band.get(f"raster:{part}", asset.get(f"raster:{part}"))) for part in ("scale", "offset")}
                declared.append({part: value for part, value in told.items() if value is not None})
    declared = [band for band in declared if band]
    return {"raster:bands": declared} if declared else {}


def _read_encoding(sensor: Sensor, properties: Mapping, where: str) -> Encoding:
    try:
        encoding = resolve_encoding(sensor, properties)
    except SceneError as error:
        raise SceneError(f"{where}: {error}") from error
    # The cube gives what a file marks as no data the number of the product.
    return Encoding(encoding.scale, encoding.offset, sensor.encoding.nodata)


def _alternate(alternates: object, name: str, where: str) -> Mapping:
    found = alternates.get(name) if isinstance(alternates, Mapping) else None
    if not isinstance(found, Mapping) or not found.get("href"):
        raise SceneError(f"{where}: it has no alternate address {name!r}")
    return {"href": found["href"]}


def _read_footprint(item: Mapping, where: str) -> BaseGeometry:
    try:
        footprint = shape(item["geometry"])
        usable = not footprint.is_empty and footprint.geom_type in ("Polygon", "MultiPolygon")
        if usable and np.isfinite(get_coordinates(footprint)).all():
            return footprint if footprint.is_valid else footprint.buffer(0)
    except Exception as error:  # noqa: BLE001 - shapely raises whatever a broken geometry leads it to
        raise SceneError(f"{where}: its geometry cannot be read: {error!r}") from error
    raise SceneError(f"{where}: its geometry is no polygon with an area")


def _read_crs(properties: Mapping) -> str:
    code = properties.get("proj:code")
    if isinstance(code, str) and re.fullmatch(r"EPSG:\d{4,6}", code):
        return code
    number = properties.get("proj:epsg")
    return f"EPSG:{number}" if isinstance(number, int) and not isinstance(number, bool) and number > 0 else ""


def _name_acquisition(properties: Mapping, platform: str, time: str, footprint: BaseGeometry) -> str:
    """Tile, platform and moment of an acquisition.

    The moment of Sentinel-2 is the sensing start of its data strip, which is in the strip's name and stays when it is
    processed again; archives give the item's own time differently, by minutes.
    """
    tile = _as_text(properties.get("grid:code")) or _as_text(properties.get("s2:mgrs_tile"))
    path, row = properties.get("landsat:wrs_path"), properties.get("landsat:wrs_row")
    if not tile and str(path).isdigit() and str(row).isdigit():
        tile = f"WRS2-{int(path):03d}{int(row):03d}"
    if not tile:
        center = footprint.centroid
        tile = f"{center.x:.1f},{center.y:.1f}"
    strip = re.search(r"_S(\d{8}T\d{6})_", _as_text(properties.get("s2:datastrip_id")))
    moment = strip[1] if strip else time.replace("-", "").replace(":", "").rstrip("Z")
    if platform.startswith("landsat"):
        moment = moment[:8]  # a path and row is passed once a day
    return f"{tile.removeprefix('MGRS-')}_{platform}_{moment}"


def _read_numbers(version: object) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d{1,9}", _as_text(version)))


def _as_text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _as_size(value: object) -> int | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return int(value) if usable and 0 < value < MAX_SIZE_BYTES else None


def _as_percent(value: object) -> float:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 100
    return float(value) if usable else math.nan


def choose_newest(offers: Iterable[Offer]) -> tuple[list[Offer], list[tuple[Offer, Offer]]]:
    """One offer an acquisition, the newest processing; returns them by time, and each one left out with what stands for it.

    Where two archives offer the same acquisition in the same processing, the one that comes first stays.
    """
    chosen: dict[tuple[str, str], Offer] = {}
    left_out = []
    for offer in offers:
        key = (offer.sensor.product, offer.acquisition)
        other = chosen.get(key)
        if other is None:
            chosen[key] = offer
            continue
        newer = (offer.processing, offer.provider.name == other.provider.name and offer.updated) > (
            other.processing, offer.provider.name == other.provider.name and other.updated
        )  # fmt: skip
        if newer:
            chosen[key] = offer
        left_out.append((other, offer) if newer else (offer, other))
    return sorted(chosen.values(), key=lambda offer: (offer.time, offer.name)), left_out
