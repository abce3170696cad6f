"""The front door to data: intake catalogues by area, with every product of the data cube under its own name."""

import functools
from collections.abc import Sequence

import intake

from ceiba.errors import CatalogError
from ceiba.grids import Area, Period, Tile, find_area
from ceiba.products import load_definitions
from ceiba.sources import ProductSource, Selection, Source


@functools.cache
def _open_intake(path: str) -> intake.Catalog:
    try:
        return intake.open_catalog(path)
    except (OSError, ValueError, KeyError) as error:
        raise CatalogError(f"catalogue {path} cannot be read: {error}") from error


def list_sources(area: Area) -> list[str]:
    """Names of the sources of an area: those of its catalogue, then every product."""
    own = list(_open_intake(str(area.catalog)))
    return own + [name for name in load_definitions() if name not in own]


def find_source(area: Area, name: str) -> Source:
    """The source ``name`` of an area; raises :class:`CatalogError` naming those that exist."""
    catalog = _open_intake(str(area.catalog))
    if name in list(catalog):
        source = catalog[name]
        if not isinstance(source, Source):
            raise CatalogError(
                f"source {name!r} of {area.catalog.name} has a driver that Ceiba cannot select from: {type(source)}"
            )
        return source
    if name in load_definitions():
        return ProductSource(product=name)
    raise CatalogError(f"area {area.name} has no source {name!r}; it has {', '.join(list_sources(area))}")


def open(  # noqa: A001 - intake's own word for it
    name: str,
    *,
    area: str,
    tile: str = "",
    time: str = "",
    stage: str = "",
    measurements: Sequence[str] = (),
    resolution_m: float = 0,
):
    """Load a source by name for a tile and time, outside of a task: to look at data in a notebook or dashboard.

    Parameters
    ----------
    name
        Source or product, :func:`list_sources`.
    area, tile
        Names from ``catalogs/grids.yml``; the whole place where the tile is empty.
    time
        "2019" or "2016:2020"; all years of the place where empty.
    stage
        Stage whose place is meant, where an area has several; that of the product where it is one.
    measurements, resolution_m
        Bands to load and pixel size; all bands at the source's own size where not given.

    Returns
    -------
    xr.Dataset, pd.DataFrame, gpd.GeoDataFrame or dict
        What the kind of source gives; dims of rasters are ``(time, y, x)`` or ``(y, x)``.
    """
    found_area = find_area(area)
    definition = load_definitions().get(name)
    place = found_area.place(stage or (definition.stage if definition else "ard"))
    chosen: Tile = place.tile(tile) if tile else place.whole
    period = Period.parse(time) if time else place.years
    selection = Selection(found_area, place, chosen, period, scope="tile" if tile else "area")
    source = find_source(found_area, name)
    return source.load(selection, source.find(selection), measurements=tuple(measurements), resolution_m=resolution_m)
