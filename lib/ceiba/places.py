"""A place of one's own: from an outline or a path-row of Landsat to tiles and a catalogue to fill in."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import geopandas as gpd
import yaml
from odc.geo.crs import CRS
from odc.geo.geom import point
from pyproj.exceptions import CRSError
from shapely.geometry import box

from ceiba.config import Config, project_root
from ceiba.errors import AreaError
from ceiba.grids import STAGES, Period, Place, load_areas
from ceiba.path_rows import PathRow

MAX_TILES = 100_000
TEMPLATE_CATALOG = "mexico.yml"
SETTINGS = {
    "classification": {
        "legend": "mexico_31",
        "land_cover_resolution_m": 30,
        "block_size_m": 5000,
        "season_start_month": 1,
    },
    "change": {"legend": "mexico_31", "land_cover_resolution_m": 30, "season_start_month": 1},
    "integrity": {"network": "yucatan", "integrity_resolution_m": 250},
}


def add_place(name: str, *, geojson: Path, crs: str, tile_size_m: int, years: Period) -> Path:
    """Write ``areas/<name>/`` in the store: the tiles that touch an outline, and a catalogue with every source name.

    Parameters
    ----------
    name
        Small letters, digits and ``_``, not yet in use.
    geojson
        Outline in EPSG:4326 (or with its own CRS), any vector format of GDAL.
    crs
        Projected CRS in metres for tiles and products.
    tile_size_m
        Side of a tile [m].
    years
        Years with data.

    Returns
    -------
    Path
        The folder with ``area.yml`` and ``catalog.yml``.

    Raises
    ------
    AreaError
        On a name in use, an unreadable or empty outline, a CRS that is not in metres, or far too many tiles.
    """
    check_name(name)
    outline = read_outline(geojson, crs)
    left, bottom, right, top = outline.bounds
    origin = (int(left // tile_size_m) * tile_size_m, int(-(-top // tile_size_m)) * tile_size_m)
    columns = int((right - origin[0]) // tile_size_m) + 1
    rows = int((origin[1] - bottom) // tile_size_m) + 1
    if columns * rows > MAX_TILES:
        raise AreaError(
            f"area {name!r} would have up to {columns * rows} tiles of {tile_size_m} m; choose larger tiles"
        )
    touched = {}
    for row in range(rows):
        cells = {column: box(*cell_bounds(origin, column, row, tile_size_m)) for column in range(columns)}
        inside = [column for column, cell in cells.items() if outline.intersection(cell).area > 0]
        if inside:
            touched[row] = inside
    grid = {"origin": list(origin), "tile_size_m": tile_size_m, "rows": touched}
    return write_area(name, {"crs": crs, **grid}, years=years, title=name)


def add_path_row(name: str, path_row: PathRow, *, years: Period) -> Path:
    """Write ``areas/<name>/`` in the store: one tile that is a path-row of Landsat, on the pixels of Landsat in its UTM zone.

    Where its center lies in a country that ships (a place of ``grids.yml`` with ``country``), the catalogue, settings, thin
    years and expected scenes of that country apply. Raises :class:`AreaError` on a name in use.
    """
    check_name(name)
    country = find_country(*path_row.center)
    place: dict[str, object] = {"crs": path_row.crs, "bounds": list(path_row.bounds)}
    settings, catalog = SETTINGS, TEMPLATE_CATALOG
    if country is not None:
        place["country"] = country.country
        settings, catalog = country.settings, load_areas()[country.area].catalog.name
    title = f"WRS-2 {path_row.path}/{path_row.row}"
    return write_area(name, place, years=years, title=title, settings=settings, catalog=catalog)


def find_country(longitude: float, latitude: float) -> Place | None:
    """The place of a country on whose tiles a point [degrees] lies; None where there is none."""
    where = point(longitude, latitude, crs="EPSG:4326")
    for area in load_areas().values():
        for place in area.places:
            if place.country == area.name and any(
                tile.extent.contains(where.to_crs(tile.extent.crs)) for tile in place.tiles
            ):
                return place
    return None


def check_name(name: str) -> None:
    """Raise :class:`AreaError` on a name that an area cannot have."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise AreaError(f"area name {name!r}: use small letters, digits and _, a letter first")
    if name in load_areas():
        raise AreaError(f"area {name!r} exists already; there are {', '.join(load_areas())}")


def write_area(
    name: str,
    place: dict[str, object],
    *,
    years: Period,
    title: str,
    settings: Mapping[str, object] = SETTINGS,
    catalog: str = TEMPLATE_CATALOG,
) -> Path:
    """Write an area of one place, whole or not at all, with a copy of a catalogue that ships; returns its folder."""
    titles = {"es": title, "en": title}
    described = {
        "title": titles,
        "stages": list(STAGES),
        **place,
        "years": [years.first_year, years.last_year],
        "settings": dict(settings),
    }
    # A title of its own for each: YAML would write the second as a reference to the first.
    entry = {"title": dict(titles), "catalog": "catalog.yml", "places": {name: described}}
    folder = Config.from_environment().local / "areas" / name
    partial = folder.with_name(f".{name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / "area.yml").write_text(yaml.safe_dump(entry, sort_keys=False, allow_unicode=True), "utf-8")
    shutil.copy(project_root() / "catalogs" / catalog, partial / "catalog.yml")
    partial.rename(folder)
    return folder


def read_outline(path: Path, crs: str):
    """The outline as one shapely geometry in ``crs``; raises :class:`AreaError`."""
    try:
        target = CRS(crs)
    except (CRSError, ValueError) as error:
        raise AreaError(f"CRS {crs!r} is not known; give a code such as EPSG:6372") from error
    if target.geographic or "metre" not in target.units:
        raise AreaError(
            f"CRS {crs} is not in metres ({', '.join(target.units)}); choose a projected one, such as EPSG:6372"
        )
    try:
        outline = gpd.read_file(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise AreaError(f"outline {path} cannot be read: {error}") from error
    if outline.empty or outline.crs is None:
        raise AreaError(f"outline {path} has {'no polygon' if outline.empty else 'no CRS'}")
    merged = outline.to_crs(crs).union_all()
    if not merged.area > 0:
        raise AreaError(f"outline {path} covers no area; it needs polygons")
    return merged


def cell_bounds(origin: tuple[float, float], column: int, row: int, size_m: float) -> tuple[float, float, float, float]:
    """left, bottom, right, top [m] of a cell of a grid that runs east and south from ``origin``."""
    left, top = origin[0] + column * size_m, origin[1] - row * size_m
    return left, top - size_m, left + size_m, top
