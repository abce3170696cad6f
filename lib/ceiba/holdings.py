"""What the cube holds, read at once: the plan of a country asks for many thousands of inputs, too many to ask one by one."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from uuid import UUID

import numpy as np
import pandas as pd
import psycopg2
import shapely

from ceiba import cube as index
from ceiba.catalog import find_source
from ceiba.config import Config
from ceiba.footprints import Footprints
from ceiba.grids import Area
from ceiba.products import ProductDefinition
from ceiba.review import Review, find_rejected
from ceiba.sources import Found, ProductSource, ProductStackSource, Selection, Source, join_found, of_period

# The cube's own search makes an object of each document; a plan needs a few fields of it, taken out by the database.
TIMES = """dataset.id::text, dataset.metadata #>> '{properties,dtr:start_datetime}', dataset.metadata #>> '{properties,datetime}',
  dataset.metadata #>> '{properties,dtr:end_datetime}'"""
OF_PRODUCT = """from agdc.dataset join agdc.dataset_type on dataset_type.id = dataset.dataset_type_ref
  where dataset_type.name = %s and dataset.archived is null"""
PRODUCTS = f"select {TIMES}, dataset.metadata #>> '{{properties,odc:region_code}}' {OF_PRODUCT}"  # noqa: S608 - constants
SCENES = f"""select {TIMES}, coalesce(dataset.metadata #>> '{{properties,ceiba:simulated}}', 'false') = 'true',
  dataset.metadata #>> '{{grid_spatial,projection,spatial_reference}}', dataset.metadata #>> '{{grid_spatial,projection,valid_data}}',
  dataset.metadata #> '{{grid_spatial,projection,geo_ref_points}}',
  (dataset.metadata #>> '{{extent,lon,begin}}')::float8, (dataset.metadata #>> '{{extent,lat,begin}}')::float8,
  (dataset.metadata #>> '{{extent,lon,end}}')::float8, (dataset.metadata #>> '{{extent,lat,end}}')::float8 {OF_PRODUCT}"""  # noqa: S608


@dataclass(frozen=True)
class Held:
    """A dataset of the cube as a plan needs it: as much of its document as tells tile and period."""

    id: UUID
    metadata_doc: Mapping[str, Mapping[str, object]]
    center_time: np.datetime64


@dataclass
class Holdings:
    """Everything that the cube holds at the moment of the first question about a product.

    It answers as the sources themselves do, each product by one query for all tiles and years.
    """

    _products: dict[str, dict[str, list[Held]]] = field(default_factory=dict)
    _scenes: dict[str, Footprints] = field(default_factory=dict)
    _sources: dict[tuple[str, str], Source] = field(default_factory=dict)
    _files: dict[tuple[str, str], Found] = field(default_factory=dict)
    _ids: dict[str, frozenset[UUID]] = field(default_factory=dict)
    _rejected: dict[str, Mapping[UUID, Review]] = field(default_factory=dict)

    def find(self, area: Area, name: str, selection: Selection) -> Found:
        """What a source of an area holds for a selection; as :meth:`ceiba.sources.Source.find`, without datasets."""
        source = self._source(area, name)
        kind = type(source).find
        if kind is ProductSource.find:
            return self._find_product(source, selection)
        if kind is ProductStackSource.find:
            return join_found([self._find_product(part, selection) for part, _ in source.parts.values()])
        if kind is not Source.find:
            return source.find(selection)
        # A file is the same for every tile and year: it is hashed once.
        key = (area.name, name)
        if key not in self._files:
            self._files[key] = source.find(selection)
        return self._files[key]

    def has(self, definition: ProductDefinition, dataset_id: UUID) -> bool:
        """Whether a product with this id is in the cube."""
        if definition.name not in self._ids:
            held = self._of_product(definition.name).values()
            self._ids[definition.name] = frozenset(each.id for of_tile in held for each in of_tile)
        return dataset_id in self._ids[definition.name]

    def rejected(self, area: str) -> Mapping[UUID, Review]:
        """Products of an area that were rejected; as :func:`ceiba.review.find_rejected`."""
        if area not in self._rejected:
            self._rejected[area] = find_rejected(area)
        return self._rejected[area]

    def scenes(self, product: str) -> Footprints:
        """The scenes of a product."""
        if product not in self._scenes:
            self._scenes[product] = read_footprints(product)
        return self._scenes[product]

    def _source(self, area: Area, name: str) -> Source:
        if (area.name, name) not in self._sources:
            self._sources[area.name, name] = find_source(area, name)
        return self._sources[area.name, name]

    def _find_product(self, source: ProductSource, selection: Selection) -> Found:
        name = source.definition.name
        if source.definition.per == "scene":
            scenes, simulated = self.scenes(name), selection.area.simulated
            beside = selection.place.tiles
            return Found(ids=scenes.ids_of(selection.tile, selection.period, simulated=simulated, beside=beside))
        by_tile, found = self._of_product(name), []
        for tile in source.tiles_asked(selection):
            found += of_period(by_tile.get(tile.region_code, []), selection)
        return Found(ids=tuple(str(each.id) for each in found))

    def _of_product(self, name: str) -> dict[str, list[Held]]:
        if name not in self._products:
            self._products[name] = read_products(name)
        return self._products[name]


def read_products(name: str) -> dict[str, list[Held]]:
    """Datasets of a product by region code, oldest first."""
    rows = read_rows(PRODUCTS, name)
    starts, ends = read_times(rows)
    by_tile: dict[str, list[Held]] = {}
    for (dataset_id, start, moment, end, region_code), center in zip(rows, starts + (ends - starts) // 2, strict=True):
        properties = {"dtr:start_datetime": start or moment, "dtr:end_datetime": end or moment}
        by_tile.setdefault(region_code, []).append(Held(UUID(dataset_id), {"properties": properties}, center))
    for of_tile in by_tile.values():
        of_tile.sort(key=lambda held: (held.center_time, str(held.id)))
    return by_tile


def read_footprints(name: str) -> Footprints:
    """Footprints of all scenes of a product."""
    rows = read_rows(SCENES, name)
    starts, ends = read_times(rows)
    return Footprints(
        ids=[row[0] for row in rows],
        starts=starts,
        ends=ends,
        simulated=np.array([row[4] for row in rows], dtype=bool),
        outlines=read_outlines([row[6] for row in rows], [row[7] for row in rows]),
        crs=[row[5] or "" for row in rows],
        lonlat=np.array([row[8:12] for row in rows], dtype=float).reshape(-1, 4),
    )


def read_rows(query: str, name: str) -> Sequence[tuple]:
    """Rows of one query on every dataset of a product that is not archived."""
    index.connect()  # the tables are there afterwards
    address = index.database_url(Config.from_environment()).replace("+psycopg2", "")
    with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
        cursor.execute(query, (name,))
        return cursor.fetchall()


def read_times(rows: Sequence[tuple]) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of datasets, UTC, ``datetime64[us]``, as the cube's ``time`` field has them: earliest and latest moment.

    ``rows`` hold start, moment and end as text in columns 1 to 3; a start or end that is None is the moment.
    """
    columns = [pd.to_datetime([row[column] for row in rows], utc=True, format="ISO8601") for column in (1, 2, 3)]
    start, moment, end = (column.tz_localize(None).to_numpy().astype("datetime64[us]") for column in columns)
    return np.fmin(start, moment), np.fmax(end, moment)


def read_outlines(valid_data: Sequence[str | None], corners: Sequence[Mapping | None]) -> np.ndarray:
    """Outlines of datasets in their own CRS, as :attr:`datacube.model.Dataset.extent` takes them; None where there is none.

    ``valid_data`` is GeoJSON as text; where it is missing the ``corners`` of the grid stand for it.
    """
    outlines = shapely.from_geojson(np.array(valid_data, dtype=object))
    for number, points in enumerate(corners):
        if outlines[number] is None and points:
            outlines[number] = shapely.Polygon([(points[at]["x"], points[at]["y"]) for at in ("ll", "ul", "ur", "lr")])
    return outlines
