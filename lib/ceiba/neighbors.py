"""Inputs of the tiles around: what a map near the border of its tile looks at."""

import logging
from collections.abc import Iterable, Mapping

from ceiba.grids import Place, Tile
from ceiba.products import InputRule
from ceiba.sources import Found, join_found

log = logging.getLogger(__name__)


def add_neighbors(own: Found, around: Iterable[Found]) -> Found:
    """What an input holds for a tile and for those around it, of which some may hold nothing; nothing where the tile does."""
    if not own.ids:
        return own
    joined = join_found([own, *(found for found in around if found.ids)])
    # A file is the same for all tiles.
    return Found(tuple(dict.fromkeys(joined.ids)), joined.datasets, own.title)


def neighbors_read(place: Place, tile: Tile, found: Found) -> tuple[str, ...]:
    """Names of the tiles around of which there are datasets among those found."""
    codes = {dataset.metadata_doc["properties"].get("odc:region_code") for dataset in found.datasets}
    return tuple(other.name for other in place.neighbors(tile) if other.region_code in codes)


def warn_of_missing(place: Place, tile: Tile, rules: Iterable[InputRule], found: Mapping[str, Found]) -> None:
    """Tell which tiles around have no data yet of an input that is read with them: without, their border may show."""
    for rule in (rule for rule in rules if rule.neighbors and found[rule.name].datasets):
        read = neighbors_read(place, tile, found[rule.name])
        missing = [other.name for other in place.neighbors(tile) if other.name not in read]
        if missing:
            log.warning(
                "%s is made without %s of %s: the border may show; it is made again by the next run after they are there",
                tile.region_code, rule.name, ", ".join(missing),
            )  # fmt: skip
