"""Scenes cut to a tile by Sentinel Hub: searched by its Catalog API, made by its Process API, paid for by processing units."""

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import rasterio
import requests
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from rasterio.io import MemoryFile
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from ceiba.ard.archives import ArchivedScene, SceneGrid
from ceiba.ard.downloads import retry
from ceiba.ard.sensors import Encoding, find_sensor
from ceiba.ard.stac_archives import NetworkArchive
from ceiba.config import Config
from ceiba.errors import InputError, SceneError, TransferError
from ceiba.grids import Period, Tile
from ceiba.prices import PU_PIXELS, processing_units
from ceiba.products import content_id
from ceiba.providers import Collection, Provider

MAX_SIDE_PX = 2500  # of a request to the Process API
SNAP_M = 20  # the grids of Sentinel-2 in UTM lie on whole multiples of their pixel sizes
MIN_OUTPUT_FACTOR = 0.01
MIN_REQUEST_UNITS = 0.001
FLOAT_FACTOR = 2.0
SPENT_HEADER = "x-processingunits-spent"
MARGIN = timedelta(minutes=1)

EVALSCRIPT = """//VERSION=3
function setup() {
  return {input: [{bands: [%(quoted)s], units: "DN"}], output: {bands: %(count)d, sampleType: "UINT16"}, mosaicking: "SIMPLE"};
}
function evaluatePixel(sample) { return [%(samples)s]; }
"""


def request_units(width_px: int, height_px: int, bands: int, *, floats: bool = False, samples: int = 1) -> float:
    """Processing units of one request.

    Output size divided by 512 x 512, at least 0.01; times the input bands divided by 3 (the data mask does not count); times 2
    for 32-bit numbers; times the data samples a pixel; at least 0.001.

    Source: Sentinel Hub, Definition of a Processing Unit, https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/
    """
    pixels = max(width_px * height_px, MIN_OUTPUT_FACTOR * PU_PIXELS)
    units = processing_units(pixels, bands) * (FLOAT_FACTOR if floats else 1.0) * samples
    return max(units, MIN_REQUEST_UNITS)


@dataclass(frozen=True)
class ProcessedScene(ArchivedScene):
    """A scene that Sentinel Hub would make: all that one platform took of a tile in one pass.

    Attributes
    ----------
    cloud_cover
        Mean over the items of the pass [%], NaN where they tell none.
    grids
        Grid by pixel size [m].
    first, last
        Times of its items.
    """

    cloud_cover: float = math.nan
    footprint: BaseGeometry | None = None
    grids: Mapping[int, GeoBox] = field(default_factory=dict)
    collection: Collection | None = None
    first: datetime | None = None
    last: datetime | None = None

    @property
    def processing_units(self) -> float:
        """What it costs [processing units], before anything is asked for."""
        return sum(
            request_units(window.width, window.height, len(self.sensor.bands[size]))
            for size, grid in self.grids.items()
            for _, _, window in cut(grid)
        )

    @property
    def staging(self) -> Path:
        """Folder of the parts that have arrived: they are not paid for twice."""
        identity = f"{self.name} {self.time} {sorted((size, str(grid)) for size, grid in self.grids.items())}"
        return Config.from_environment().local / "downloads" / content_id(identity)


def cut(grid: GeoBox) -> Iterator[tuple[int, int, GeoBox]]:
    """Parts of a grid that a request may have: row and column of their first pixel, and their own grid."""
    for row in range(0, grid.height, MAX_SIDE_PX):
        for column in range(0, grid.width, MAX_SIDE_PX):
            below, beyond = min(row + MAX_SIDE_PX, grid.height), min(column + MAX_SIDE_PX, grid.width)
            yield row, column, grid[row:below, column:beyond]


def tile_grids(extent: Geometry, sizes: Iterator[int]) -> dict[int, GeoBox]:
    """Grids over a tile in the UTM zone of its center, by pixel size [m], on whole multiples of 20 m."""
    center = extent.to_crs("EPSG:4326").centroid.coords[0]
    zone = min(int((center[0] + 180) // 6) + 1, 60)
    crs = f"EPSG:{(32600 if center[1] >= 0 else 32700) + zone}"
    left, bottom, right, top = extent.to_crs(crs).boundingbox.bbox
    left, bottom = (math.floor(value / SNAP_M) * SNAP_M for value in (left, bottom))
    right, top = (math.ceil(value / SNAP_M) * SNAP_M for value in (right, top))
    return {
        size: GeoBox((round((top - bottom) / size), round((right - left) / size)), Affine(size, 0, left, 0, -size, top), crs)
        for size in sizes
    }


class SentinelHubSource(NetworkArchive):
    """Sentinel Hub. What it may spend is set before it is read (:attr:`units_left`); nothing may be spent unless it was."""

    name = "sentinel_hub"
    kind = "sentinel_hub"
    units_left = 0.0

    def search(self, tile: Tile, period: Period) -> Iterator[ProcessedScene | SceneError]:
        """Passes over a tile in the years of ``period``; searching spends nothing that is counted here.

        Raises
        ------
        InputError
            Where the keys are not in the environment, or the Catalog API does not answer.
        """
        for collection in self.collections:
            passes: dict[tuple[str, str], list[Mapping]] = {}
            for item in self._ask(collection, tile.extent, period):
                try:
                    moment, platform = _read_pass(item, collection)
                except SceneError as error:
                    yield error
                    continue
                passes.setdefault((moment.date().isoformat(), platform), []).append(item | {"moment": moment})
            for (date, platform), items in sorted(passes.items()):
                yield self._describe(collection, tile, date, platform, items)

    def _describe(
        self, collection: Collection, tile: Tile, date: str, platform: str, items: list[Mapping]
    ) -> ProcessedScene:
        sensor = find_sensor(collection.sensors[platform])
        times = sorted(item["moment"] for item in items)
        clouds = [item["properties"].get("eo:cloud_cover") for item in items]
        clouds = [float(value) for value in clouds if isinstance(value, int | float) and 0 <= value <= 100]
        footprint = unary_union([shape(item["geometry"]) for item in items])
        return ProcessedScene(
            name=f"{self.provider.name}_{tile.region_code.replace('/', '_')}_{platform}_{date.replace('-', '')}",
            time=times[0].strftime("%Y-%m-%dT%H:%M:%SZ"),
            sensor=sensor,
            platform=platform,
            path=f"{self.provider.url} {collection.name} {tile.region_code} {date}",
            archive=self,
            cloud_cover=sum(clouds) / len(clouds) if clouds else math.nan,
            footprint=footprint,
            grids=tile_grids(tile.extent, sensor.bands),
            collection=collection,
            first=times[0],
            last=times[-1],
        )

    def scene_encoding(self, scene: ArchivedScene) -> Encoding:
        """Sentinel Hub takes the offset of newer baselines off by itself (``harmonizeValues``, which is asked for)."""
        return Encoding(scene.sensor.encoding.scale, 0.0, scene.sensor.encoding.nodata)

    def read_scene(self, scene: ProcessedScene) -> dict[int, SceneGrid]:
        """The bands of a pass; parts that have arrived before are not asked for again.

        Raises
        ------
        SceneError
            Where Sentinel Hub refuses the request, or the next one would spend more than is allowed.
        TransferError
            Where a part did not arrive whole.
        """
        found = {}
        for size, grid in scene.grids.items():
            names = scene.sensor.bands[size]
            values = np.zeros((len(names), *grid.shape), dtype="uint16")
            for row, column, part in cut(grid):
                height, width = part.shape
                values[:, row : row + height, column : column + width] = self._read_part(scene, size, row, column, part)
            found[size] = SceneGrid(grid, dict(zip(names, values, strict=True)))
        return found

    def _read_part(self, scene: ProcessedScene, size: int, row: int, column: int, part: GeoBox) -> np.ndarray:
        path = scene.staging / f"{size}m_{row}_{column}.tif"
        names = scene.sensor.bands[size]
        if path.exists():
            return _read_tiff(path.read_bytes(), part, len(names), str(path))
        units = request_units(part.width, part.height, len(names))

        def ask() -> tuple[bytes, np.ndarray]:
            if units > self.units_left:
                raise SceneError(
                    f"{scene.name}: the next request takes about {units:.3g} processing units, {max(self.units_left, 0):.3g} are "
                    "left of max_processing_units"
                )
            self.units_left -= units  # an answer that is lost on its way may have been charged
            content, spent = self._process(scene, [scene.collection.assets[name] for name in names], part)
            self.units_left += 0.0 if spent is None else units - spent
            return content, _read_tiff(content, part, len(names), scene.name)

        content, values = retry(ask, scene.name, self.provider.patience)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part")
        partial.write_bytes(content)
        partial.replace(path)
        return values

    # ---- the two APIs ----

    def _ask(self, collection: Collection, extent: Geometry, period: Period) -> list[Mapping]:
        import sentinelhub

        bounds = sentinelhub.BBox(extent.to_crs("EPSG:4326").boundingbox.bbox, sentinelhub.CRS.WGS84)
        try:
            catalog = sentinelhub.SentinelHubCatalog(config=self._config())
            time = (f"{period.first_year}-01-01T00:00:00Z", f"{period.last_year}-12-31T23:59:59Z")
            return list(catalog.search(collection.name, bbox=bounds, time=time, limit=100))
        except Exception as error:  # noqa: BLE001 - the package raises its own, oauthlib's and those of requests
            if isinstance(error, InputError):
                raise
            raise InputError(f"archive {self.provider.name} cannot be searched: {_tell(error)}") from error

    def _process(self, scene: ProcessedScene, bands: list[str], part: GeoBox) -> tuple[bytes, float | None]:
        """GeoTIFF of a part, and the units that the server says it spent."""
        import sentinelhub

        data = {
            "type": scene.collection.name,
            "dataFilter": {
                "timeRange": {"from": _as_text(scene.first - MARGIN), "to": _as_text(scene.last + MARGIN)},
                "mosaickingOrder": "mostRecent",
            },
            "processing": {"harmonizeValues": True, "upsampling": "NEAREST", "downsampling": "NEAREST"},
        }
        script = EVALSCRIPT % {
            "quoted": ", ".join(f'"{band}"' for band in bands),
            "count": len(bands),
            "samples": ", ".join(f"sample.{band}" for band in bands),
        }
        request = sentinelhub.SentinelHubRequest(
            evalscript=script,
            input_data=[data],
            responses=[sentinelhub.SentinelHubRequest.output_response("default", sentinelhub.MimeType.TIFF)],
            bbox=sentinelhub.BBox(part.boundingbox.bbox, sentinelhub.CRS(str(part.crs).removeprefix("EPSG:"))),
            size=(part.width, part.height),
            config=self._config(),
        )
        try:
            (answer,) = request.get_data(decode_data=False, max_threads=1)
        except Exception as error:  # noqa: BLE001 - as above
            if isinstance(error, InputError):
                raise
            status = getattr(getattr(getattr(error, "request_exception", None), "response", None), "status_code", 0) or 0
            if 400 <= status < 500 and status != 429:
                raise SceneError(f"{scene.name}: {_tell(error)}") from error
            raise TransferError(_tell(error)) from error
        headers = {name.lower(): value for name, value in (answer.headers or {}).items()}
        try:
            return answer.content, float(headers[SPENT_HEADER])
        except (KeyError, ValueError):
            return answer.content, None

    def _config(self):
        """Settings of the package with keys from the environment alone; raises :class:`InputError` where they are not there."""
        import sentinelhub

        provider: Provider = self.provider
        names = (provider.access.key_variable or "SH_CLIENT_ID", provider.access.secret_variable or "SH_CLIENT_SECRET")
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            raise InputError(f"{provider.name} needs a key: set {' and '.join(missing)} in the environment")
        patience = provider.patience
        return sentinelhub.SHConfig(
            use_defaults=True,
            sh_client_id=os.environ[names[0]],
            sh_client_secret=os.environ[names[1]],
            sh_base_url=provider.url,
            sh_token_url=str(provider.settings.get("token_url", "")),
            download_timeout_seconds=patience.timeout_s,
            max_download_attempts=1,  # it is asked again here, where what was spent is counted
            max_retries=1,
        )


def _read_pass(item: Mapping, collection: Collection) -> tuple[datetime, str]:
    """Time and platform of an item; raises :class:`SceneError` naming it."""
    name = item.get("id") if isinstance(item, Mapping) else item
    try:
        properties = item["properties"]
        moment = datetime.fromisoformat(str(properties["datetime"]).replace("Z", "+00:00"))
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        platform = str(properties.get("platform") or "").lower()
        if not platform and str(name).upper().startswith("S2"):
            platform = f"sentinel-2{str(name)[2:3].lower()}"
        usable = shape(item["geometry"]).area > 0
    except Exception as error:  # noqa: BLE001 - shapely raises whatever a broken geometry leads it to
        raise SceneError(f"{collection.name} {name!r} cannot be read as an item: {error!r}") from error
    if platform not in collection.sensors or not usable:
        raise SceneError(
            f"{collection.name} {name!r}: platform {platform!r} is none of {', '.join(collection.sensors)}, or it has no outline"
        )
    return moment, platform


def _read_tiff(content: bytes, part: GeoBox, bands: int, where: str) -> np.ndarray:
    """Bands of an answer, dims ``(band, y, x)``; raises :class:`TransferError` where it is not what was asked for."""
    try:
        with MemoryFile(content) as memory, memory.open() as file:
            asked = (bands, *part.shape)
            if (file.count, *file.shape) != asked or file.dtypes[0] != "uint16":
                sent = f"{(file.count, *file.shape)} of {file.dtypes[0]}"
                raise TransferError(f"{where}: asked for {asked} of uint16, the server sent {sent}")
            if not file.transform.almost_equals(part.affine, precision=1e-3):
                raise TransferError(f"{where}: the server sent another place, {tuple(file.transform)[:6]}")
            return file.read()
    except rasterio.errors.RasterioError as error:
        raise TransferError(f"{where}: the server sent no whole GeoTIFF ({error})") from error


def _as_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _tell(error: Exception) -> str:
    return f"no answer ({type(error).__name__})" if isinstance(error, requests.RequestException) else " ".join(str(error).split())[:300]
