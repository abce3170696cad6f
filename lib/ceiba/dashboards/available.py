"""What there is to show: products by area, and their data at a size that a screen can hold."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pandas as pd
import xarray as xr

from ceiba import cube as index
from ceiba import labels, review
from ceiba.catalog import find_source
from ceiba.errors import AreaError, InputError
from ceiba.grids import Area, Period, Place, Tile, load_areas
from ceiba.products import ProductDefinition, load_definitions
from ceiba.sources import Selection, dataset_period

LARGEST_SIDE_PX = 640
"""Wider rasters are shown coarser: a phone draws no more, and a whole country must not be read at 10 m."""
WHOLE = ""
"""Stands for all tiles of a place together."""
MOST_TILES_TOGETHER = 12


@dataclass(frozen=True)
class Available:
    """A product of an area with the tiles and periods that exist.

    Attributes
    ----------
    states
        Tile and period to "draft", "accepted" or "rejected", as experts left it.
    """

    definition: ProductDefinition
    area: Area
    place: Place
    tiles: tuple[str, ...]
    periods: tuple[Period, ...]
    states: Mapping[tuple[str, Period], str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the product."""
        return self.definition.name

    @property
    def tile_choices(self) -> tuple[str, ...]:
        """Tiles to choose from; all together come first where they are few."""
        if len(self.tiles) == 1:
            return self.tiles
        return ((WHOLE,) if len(self.tiles) <= MOST_TILES_TOGETHER else ()) + self.tiles

    def tile(self, name: str) -> Tile:
        """A tile, or the whole place for ``WHOLE``."""
        return self.place.tile(name) if name else self.place.whole


@dataclass(frozen=True)
class Loaded:
    """Data of a product for one tile and period, and what its documents say of them.

    Attributes
    ----------
    data
        ``xr.Dataset`` with dims ``(y, x)``, ``pd.DataFrame`` or ``{file name: Path}``.
    source
        The line on the source of the data, "Español | English".
    """

    data: object
    source: str
    simulated: bool
    settings: Mapping[str, object]


def list_available() -> dict[str, dict[str, Available]]:
    """Area name to product name to what exists of it, in the order of the stages; areas without products are left out."""
    connection = index.connect()
    areas = load_areas()
    found: dict[str, dict[str, Available]] = {name: {} for name in areas}
    latest = functools.cache(lambda area: review.latest_reviews(review.list_reviews(area)))
    for definition in load_definitions().values():
        if definition.per in ("scene", "review"):
            continue
        rows = connection.index.datasets.search_returning(field_names=("id", "region_code", "time"), product=definition.name)
        by_area: dict[str, dict[tuple[str, Period], str]] = {}
        for row in rows:
            area, _, tile = row.region_code.partition("/")
            period = Period(row.time.lower.year, row.time.upper.year)
            by_area.setdefault(area, {})[tile, period] = review.state_of(row.id, latest(area))
        for area, states in by_area.items():
            if area in areas:
                place = _place_of(areas[area], definition.stage)
                tiles, periods = sorted({tile for tile, _ in states}), sorted({period for _, period in states})
                if place:
                    found[area][definition.name] = Available(
                        definition, areas[area], place, tuple(tiles), tuple(periods), states
                    )
    return {area: products for area, products in found.items() if products}


def _place_of(area: Area, stage: str) -> Place | None:
    try:
        return area.place(stage)
    except AreaError:  # an area of an older grids.yml, whose products are still in the cube
        return None


def load(product: Available, *, tile: str, period: Period, measurements: tuple[str, ...] = ()) -> Loaded:
    """Read a product by its catalogue name, coarser where it is larger than a screen.

    Raises
    ------
    InputError
        Where it has no data for the tile and period.
    """
    source = find_source(product.area, product.name)
    selection = Selection(product.area, product.place, product.tile(tile), period, scope="tile" if tile else "area")
    found = source.find(selection)
    exact = tuple(dataset for dataset in found.datasets if dataset_period(dataset) == period)
    if not exact:
        raise InputError(f"no {product.name} for {product.area.name} {tile or product.place.name}, {period}")
    ids = tuple(dataset.id for dataset in exact)
    loaded = _load_cached(product.name, product.area.name, tile, period, measurements, ids)
    # Outside of the cache: experts decide after the product was made.
    latest = review.latest_reviews(review.list_reviews(product.area.name))
    return replace(loaded, source=tell_state(loaded.source, {review.state_of(dataset_id, latest) for dataset_id in ids}))


def tell_state(source: str, states: set[str]) -> str:
    """The line on the source with "draft", "accepted" or "rejected" at the end of each language; the least of several states."""
    state = next(each for each in (review.REJECTED, review.DRAFT, review.ACCEPTED) if each in states)
    parts = source.split(" | ") if " | " in source else [source, source]
    words = [labels.text(f"report.review_state_{state}", language) for language in ("es", "en")]
    return " | ".join(f"{part} · {word}" for part, word in zip(parts, words, strict=False))


@functools.lru_cache(maxsize=96)
def _load_cached(name: str, area: str, tile: str, period: Period, measurements: tuple[str, ...], ids: tuple) -> Loaded:
    # The ids are part of the key: a product that was made again is read again.
    place_area = load_areas()[area]
    definition = load_definitions()[name]
    place = place_area.place(definition.stage)
    chosen = place.tile(tile) if tile else place.whole
    source = find_source(place_area, name)
    selection = Selection(place_area, place, chosen, period, scope="tile" if tile else "area")
    found = source.find(selection)
    resolution_m = 0.0
    if definition.is_raster:
        left, bottom, right, top = chosen.bounds
        coarsest = max(right - left, top - bottom) / LARGEST_SIDE_PX
        resolution_m = coarsest if coarsest > source.own_resolution(found) else 0.0
    data = source.load(selection, found, measurements=measurements, resolution_m=resolution_m)
    if isinstance(data, xr.Dataset):
        data = data.load()
    properties = found.datasets[-1].metadata_doc["properties"]
    return Loaded(
        data, properties.get("ceiba:source", ""), bool(properties.get("ceiba:simulated")), properties.get("ceiba:settings", {})
    )


def load_table(product: Available) -> pd.DataFrame:
    """Every row of a table product of an area."""
    tables = [load(product, tile=tile, period=period).data for tile in product.tiles for period in product.periods[-1:]]
    return pd.concat(tables, ignore_index=True)
