"""Layers: what can be shown of a region, year by year, with the files that hold it.

A *region* is a place of an area (``sample/romania`` has the name "romania"). A *layer* is a content (``catalogs/themes.yml``) of
one region. A *snapshot* is all of them at one moment; the server takes a new one when the data cube has changed.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urljoin

import psycopg2
from odc.geo.geom import BoundingBox

from ceiba import cube as index
from ceiba import review
from ceiba.config import Config
from ceiba.errors import AreaError, LegendError, NotFoundError, ProductError
from ceiba.grids import Area, Period, Place, Tile, load_areas
from ceiba.legends import Legend, load_legend
from ceiba.mosaics.styles import Style
from ceiba.products import Measurement, ProductDefinition, find_definition
from ceiba.react2eo.themes import Content, Origin, Themes, Words, load_themes

log = logging.getLogger(__name__)

REFRESH_S = 30.0
"""How long a snapshot is trusted before the data cube is asked whether it changed [s]."""


@dataclass(frozen=True)
class Band:
    """One band of a raster file: its address for GDAL, its number from 1, and the value that means no data."""

    path: str
    number: int
    nodata: float


@dataclass(frozen=True)
class Raster:
    """The files of a layer for one tile and period.

    Attributes
    ----------
    bands
        In the order of the layer's measurements.
    product_bands
        In the order of the measurements of the layer's product; None where the dataset lacks one.
    """

    tile: Tile
    bands: tuple[Band, ...]
    dataset_id: str
    product_bands: tuple[Band | None, ...] = ()


@dataclass(frozen=True)
class Layer:
    """A content of a region.

    Attributes
    ----------
    bounds
        West, south, east, north [degrees, WGS 84].
    rasters
        Files by period, oldest first; tiles of one period do not overlap.
    resolution_m
        Pixel size of the files [units of their CRS].
    version
        Short hash of all that decides the picture: where it is the same, so are all tiles.
    source
        Where the data come from, by language.
    """

    region: "Region"
    content: Content
    origin: Origin
    definition: ProductDefinition
    measurements: tuple[Measurement, ...]
    legend: Legend | None
    bounds: tuple[float, float, float, float]
    rasters: Mapping[Period, tuple[Raster, ...]]
    resolution_m: float
    version: str
    source: Words

    @property
    def name(self) -> str:
        """Name of the content."""
        return self.content.name

    def legend_of(self, measurement: Measurement) -> Legend | None:
        """Classes of any measurement of the product; None where it has none, or none that are named."""
        if measurement.units != "class":
            return None
        own = self.measurements[0]
        if measurement.name == own.name or measurement.legend == own.legend:
            return self.legend
        return load_legend(measurement.legend) if measurement.legend and "{" not in measurement.legend else None

    @property
    def kind(self) -> str:
        """How values become colors: "composite", "classes" or "scale"."""
        if self.origin.composite:
            return "composite"
        return "classes" if self.measurements[0].units == "class" else "scale"

    @property
    def style(self) -> Style | None:
        """Colors of a "scale"."""
        return self.origin.style

    @property
    def periods(self) -> tuple[Period, ...]:
        """Periods with data, oldest first."""
        return tuple(self.rasters)

    def find_period(self, text: str) -> Period:
        """Period by its text ("2018", "2018--2020"); raises :class:`NotFoundError` naming those that exist."""
        for period in self.rasters:
            if str(period) == text:
                return period
        raise NotFoundError(f"{self.region.name}/{self.name} has no period {text!r}; it has {', '.join(map(str, self.rasters))}")


@dataclass(frozen=True)
class Region:
    """A place with layers. ``layers`` is filled once while the snapshot is taken, in the order of the contents."""

    name: str
    area: Area
    place: Place
    title: Words
    bounds: tuple[float, float, float, float]
    layers: dict[str, Layer]

    @property
    def simulated(self) -> bool:
        """Whether nothing in it is real."""
        return self.area.simulated

    def find_layer(self, name: str) -> Layer:
        """Layer by name; raises :class:`NotFoundError` naming those that exist."""
        if name not in self.layers:
            raise NotFoundError(f"region {self.name} has no layer {name!r}; it has {', '.join(self.layers)}")
        return self.layers[name]


@dataclass(frozen=True)
class Snapshot:
    """Everything that can be shown at one moment."""

    themes: Themes
    regions: Mapping[str, Region]
    state: object = None

    def find_region(self, name: str) -> Region:
        """Region by name; raises :class:`NotFoundError` naming those that exist."""
        if name not in self.regions:
            raise NotFoundError(f"no region {name!r}; there are {', '.join(self.regions) or 'none yet: make some with ceiba run'}")
        return self.regions[name]

    def find_layer(self, region: str, layer: str) -> Layer:
        """Layer by region and name; raises :class:`NotFoundError`."""
        return self.find_region(region).find_layer(layer)

    def layers(self) -> Iterator[Layer]:
        """Every layer of every region."""
        for region in self.regions.values():
            yield from region.layers.values()


class Snapshots:
    """Gives the present snapshot; a change of the cube or of the themes is seen within :data:`REFRESH_S`.

    While a new one is taken, others go on with the old one.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._snapshot: Snapshot | None = None
        self.checked_s = 0.0

    def current(self) -> Snapshot:
        """The present snapshot; safe from any thread."""
        if self._snapshot is not None and time.monotonic() - self.checked_s < REFRESH_S:
            return self._snapshot
        if self._lock.acquire(blocking=self._snapshot is None):
            try:
                state = (cube_state(), load_themes())
                if self._snapshot is None or self._snapshot.state != state:
                    self._snapshot = take_snapshot(state=state)
                self.checked_s = time.monotonic()
            finally:
                self._lock.release()
        return self._snapshot


def cube_state() -> tuple:
    """A value that changes whenever datasets are added to or archived in the data cube, or reviewed."""
    address = index.database_url(Config.from_environment()).replace("+psycopg2", "")
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*), max(added), count(archived), max(archived) from agdc.dataset")
        return cursor.fetchone()


def take_snapshot(*, state: object = None) -> Snapshot:
    """Read from the data cube what there is to show; what experts rejected is left out."""
    themes = load_themes()
    wanted = {origin.product for content in themes.contents.values() for origin in content.origins}
    areas = load_areas()
    connection = index.connect()
    found: dict[tuple[str, str], dict[Period, list]] = {}
    latest: dict[str, dict] = {}
    for product in sorted(wanted):
        for dataset in connection.find_datasets_lazy(product=product):
            properties = dataset.metadata_doc["properties"]
            area = properties["odc:region_code"].partition("/")[0]
            if area not in areas:
                continue
            if area not in latest:
                latest[area] = review.latest_reviews(review.list_reviews(area))
            if review.state_of(dataset.id, latest[area]) == review.REJECTED:
                continue
            period = Period(int(properties["dtr:start_datetime"][:4]), int(properties["dtr:end_datetime"][:4]))
            found.setdefault((area, product), {}).setdefault(period, []).append(dataset)
    regions: dict[str, Region] = {}
    for content in themes.contents.values():
        for area in areas.values():
            _add_layer(regions, area, content, found)
    # Regions with most to show first, real ones before simulated ones.
    order = sorted(regions.values(), key=lambda region: (region.simulated, -len(region.layers), region.name))
    log.info("snapshot of %d regions with %d layers", len(order), sum(len(region.layers) for region in order))
    return Snapshot(themes, {region.name: region for region in order}, state)


def _add_layer(regions: dict[str, Region], area: Area, content: Content, found: Mapping) -> None:
    for origin in content.origins:
        datasets = found.get((area.name, origin.product))
        if not datasets:
            continue
        definition = find_definition(origin.product)
        try:
            place = area.place(definition.stage)
        except AreaError:  # an area of an older grids.yml, whose products are still in the cube
            continue
        region = regions.setdefault(place.name, Region(place.name, area, place, place.title, wgs84_bounds(place.whole), {}))
        if region.area.name != area.name:
            raise AreaError(f"areas {region.area.name} and {area.name} both have a place {place.name!r}; rename one")
        region.layers[content.name] = _make_layer(region, content, origin, definition, datasets)
        return


def _make_layer(region: Region, content: Content, origin: Origin, definition: ProductDefinition, datasets: Mapping) -> Layer:
    measurements = tuple(next(band for band in definition.measurements if band.name == name) for name in origin.bands)
    rasters = {}
    for period in sorted(datasets):
        ordered = sorted(datasets[period], key=lambda dataset: dataset.metadata_doc["properties"]["odc:region_code"])
        rasters[period] = tuple(_read_raster(dataset, region.place, origin, definition) for dataset in ordered)
    newest = datasets[max(datasets)][-1]
    properties = newest.metadata_doc["properties"]
    ids = [raster.dataset_id for of_period in rasters.values() for raster in of_period]
    legend = origin.legend or _place_legend(measurements[0], properties.get("ceiba:settings", {}))
    looks = (origin, legend.fingerprint if legend else "", legend.colors() if legend else "")
    spanish, _, english = str(properties.get("ceiba:source", "")).partition(" | ")
    return Layer(
        region=region,
        content=content,
        origin=origin,
        definition=definition,
        measurements=measurements,
        legend=legend,
        bounds=region.bounds,
        rasters=rasters,
        resolution_m=abs(newest.metadata_doc["grids"]["default"]["transform"][0]),
        version=hashlib.sha256(repr((ids, looks)).encode()).hexdigest()[:10],
        source={"es": spanish, "en": english or spanish},
    )


def _read_raster(dataset, place: Place, origin: Origin, definition: ProductDefinition) -> Raster:
    document = dataset.metadata_doc
    bands: dict[str, Band | None] = {}
    for measurement in definition.measurements:
        entry = document["measurements"].get(measurement.name)
        path = _gdal_path(dataset.uri, entry["path"]) if entry else ""
        bands[measurement.name] = Band(path, int(entry.get("band", 1)), measurement.nodata) if entry else None
    missing = [name for name in origin.bands if bands[name] is None]
    if missing:
        raise ProductError(f"dataset {dataset.id} of {definition.name} has no {', '.join(missing)}; make it again")
    tile = place.tile(document["properties"]["odc:region_code"].partition("/")[2])
    return Raster(tile, tuple(bands[name] for name in origin.bands), str(dataset.id), tuple(bands.values()))


def _gdal_path(uri: str, relative: str) -> str:
    if uri.startswith("file:"):
        return urljoin(uri, relative).removeprefix("file://")
    return f"{uri.rsplit('/', 1)[0]}/{relative}".replace("s3://", "/vsis3/").replace("gs://", "/vsigs/").replace("az://", "/vsiaz/")


def _place_legend(band: Measurement, settings: Mapping) -> Legend | None:
    if band.units != "class":
        return None
    name = str(settings.get("legend", "")) if "{" in band.legend else band.legend
    if not name:
        raise LegendError(f"measurement {band.name} has classes but neither its product nor its place names a legend")
    return load_legend(name)


def wgs84_bounds(tile: Tile) -> tuple[float, float, float, float]:
    """West, south, east, north [degrees] around a tile."""
    return BoundingBox(*tile.bounds, crs=tile.crs).polygon.to_crs("EPSG:4326", resolution=10_000).boundingbox.bbox
