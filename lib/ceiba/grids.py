"""Areas, their places and tiles, from ``catalogs/grids.yml`` and the user's own files in the store."""

import functools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from affine import Affine
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox, Geometry

from ceiba.config import Config, project_root
from ceiba.errors import AreaError

STAGES = ("ard", "mosaics", "classification", "change", "bioacoustics", "integrity", "dashboards")


@dataclass(frozen=True, order=True)
class Period:
    """A year, or a span of years; written "2018" or "2018--2020"."""

    first_year: int
    last_year: int

    def __post_init__(self):
        if not 1900 <= self.first_year <= self.last_year <= 2200:
            raise AreaError(
                f"years {self.first_year} to {self.last_year}: the first must not be after the last (1900 to 2200)"
            )

    @classmethod
    def parse(cls, text: str) -> "Period":
        """Read "2018", "2018--2020" or "2018:2020"; raises :class:`AreaError`."""
        match = re.fullmatch(r"(\d{4})(?:(?:--|:)(\d{4}))?", text.strip())
        if not match:
            raise AreaError(f"years {text!r}: write one year (2018) or a range (2016:2020)")
        return cls(int(match[1]), int(match[2] or match[1]))

    @property
    def years(self) -> range:
        """Every year of the period."""
        return range(self.first_year, self.last_year + 1)

    def __str__(self) -> str:
        if self.first_year == self.last_year:
            return str(self.first_year)
        return f"{self.first_year}--{self.last_year}"


@dataclass(frozen=True)
class Tile:
    """A rectangle of an area, the unit of work.

    Attributes
    ----------
    area, place, name
        Names; ``name`` is unique in the area.
    crs
        Coordinate reference system, anything pyproj reads.
    bounds
        left, bottom, right, top [units of the CRS].
    anchor
        x and y of a corner that the pixels of all tiles of the place share [units of the CRS]; the tile's own upper left
        corner where None.
    """

    area: str
    place: str
    name: str
    crs: str
    bounds: tuple[float, float, float, float]
    anchor: tuple[float, float] | None = None

    @property
    def region_code(self) -> str:
        """The name under which the data cube knows the tile."""
        return f"{self.area}/{self.name}"

    @property
    def extent(self) -> Geometry:
        """Outline in the tile's CRS."""
        return BoundingBox(*self.bounds, crs=self.crs).polygon

    def geobox(self, resolution_m: float) -> GeoBox:
        """Pixel grid with dims ``(y, x)``, y downwards, part of the one grid of the place.

        The tile is covered whole: where its edge lies within a pixel, that pixel belongs to both tiles, so that a product of
        one tile equals that of the whole place wherever they overlap.
        """
        left, bottom, right, top = self.bounds
        x, y = self.anchor or (left, top)
        # A millionth of a pixel is rounding in the bounds, not a further column.
        first_column, first_row = (math.floor(beyond / resolution_m + 1e-6) for beyond in (left - x, y - top))
        last_column, last_row = (math.ceil(beyond / resolution_m - 1e-6) for beyond in (right - x, y - bottom))
        corner = (x + first_column * resolution_m, y - first_row * resolution_m)
        shape = (last_row - first_row, last_column - first_column)
        return GeoBox(shape, Affine(resolution_m, 0, corner[0], 0, -resolution_m, corner[1]), self.crs)


@dataclass(frozen=True)
class Place:
    """Part of an area with one tile grid.

    Attributes
    ----------
    stages
        Stages that run on this place.
    years
        First and last year with data.
    needs
        Samples (``catalogs/samples.yml``) without which the place cannot be used.
    lacks
        Products and sources of which the place has no data, so that notebooks that cannot do without are not planned on it.
    settings
        Per stage, what its notebooks ask by ``task.place_setting``: legend, network, resolution.
    country
        Country whose product tables (``catalogs/product_tables.yml``) and expected scenes (``catalogs/missions.yml``) apply;
        none where empty.
    """

    area: str
    name: str
    title: Mapping[str, str]
    stages: tuple[str, ...]
    crs: str
    years: Period
    tiles: tuple[Tile, ...]
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    country: str = ""

    @property
    def whole(self) -> Tile:
        """One tile over the whole place, named ``all``: the unit of what is made once an area, like a model."""
        if len(self.tiles) == 1:
            return self.tiles[0]
        corners = list(zip(*(tile.bounds for tile in self.tiles), strict=True))
        bounds = (min(corners[0]), min(corners[1]), max(corners[2]), max(corners[3]))
        return Tile(self.area, self.name, "all", self.crs, bounds, self.tiles[0].anchor)

    def neighbors(self, tile: Tile, *, within_m: float = 0.0) -> tuple[Tile, ...]:
        """Other tiles of the place that touch a tile, also by a corner, or lie within a distance of it [units of the CRS].

        A tile over the whole place has none.
        """
        if tile not in self.tiles:
            return ()
        left, bottom, right, top = tile.bounds
        # A millionth of a tile is rounding in the bounds, not a gap.
        reach = within_m + 1e-6 * (right - left)
        return tuple(
            other
            for other in self.tiles
            if other != tile
            and other.bounds[0] <= right + reach
            and other.bounds[2] >= left - reach
            and other.bounds[1] <= top + reach
            and other.bounds[3] >= bottom - reach
        )

    def tile(self, name: str) -> Tile:
        """Tile by name, the first one where the name is empty; raises :class:`AreaError`."""
        if not name:
            return self.tiles[0]
        for tile in (*self.tiles, self.whole):
            if tile.name == name:
                return tile
        known = ", ".join(tile.name for tile in self.tiles[:20]) + (", ..." if len(self.tiles) > 20 else "")
        raise AreaError(f"area {self.area} has no tile {name!r}; it has {known}")


@dataclass(frozen=True)
class Area:
    """A region of interest: a catalogue of sources and one or more places."""

    name: str
    title: Mapping[str, str]
    catalog: Path
    places: tuple[Place, ...]
    simulated: bool = False

    def place(self, stage: str) -> Place:
        """The place on which ``stage`` runs; raises :class:`AreaError`."""
        for place in self.places:
            if stage in place.stages:
                return place
        raise AreaError(f"area {self.name} has no place for stage {stage!r}; stages are {', '.join(STAGES)}")


def load_areas() -> dict[str, Area]:
    """All areas by name: those that ship and those added with ``ceiba area add``."""
    shipped = project_root() / "catalogs" / "grids.yml"
    areas = {
        name: _read_area(name, entry, shipped.parent)
        for name, entry in yaml.safe_load(shipped.read_text("utf-8")).items()
    }
    for path in sorted((Config.from_environment().local / "areas").glob("*/area.yml")):
        entry = yaml.safe_load(path.read_text("utf-8"))
        areas[path.parent.name] = _read_area(path.parent.name, entry, path.parent)
    return areas


def find_area(name: str) -> Area:
    """Area by name; raises :class:`AreaError` naming those that exist."""
    areas = load_areas()
    if name not in areas:
        raise AreaError(f"no area {name!r}; there are {', '.join(areas)}; add your own with 'ceiba area add'")
    return areas[name]


def _read_area(name: str, entry: Mapping, folder: Path) -> Area:
    try:
        places = tuple(_read_place(name, place, values) for place, values in entry["places"].items())
        return Area(name, entry["title"], folder / entry["catalog"], places, bool(entry.get("simulated", False)))
    except (KeyError, TypeError, ValueError) as error:
        raise AreaError(f"area {name!r} in {folder} is malformed: {error!r}") from error


def _read_place(area: str, name: str, entry: Mapping) -> Place:
    unknown = sorted(set(entry.get("stages", STAGES)) - set(STAGES))
    if unknown:
        raise AreaError(f"place {name!r} of area {area!r} names unknown stages {', '.join(unknown)}")
    return Place(
        area=area,
        name=name,
        title=entry["title"],
        stages=tuple(entry.get("stages", STAGES)),
        crs=str(entry["crs"]),
        years=Period(*entry["years"]),
        tiles=_read_tiles(area, name, entry),
        needs=tuple(entry.get("needs", ())),
        lacks=tuple(entry.get("lacks", ())),
        settings=entry.get("settings", {}),
        country=entry.get("country", ""),
    )


def _read_tiles(area: str, place: str, entry: Mapping) -> tuple[Tile, ...]:
    crs = str(entry["crs"])
    if "bounds" in entry:
        return (Tile(area, place, place, crs, tuple(float(value) for value in entry["bounds"])),)
    left, top = entry["origin"]
    size = entry["tile_size_m"]
    return tuple(
        grid_tile(area, place, crs, column=column, row=int(row), left=left, top=top, size_m=size)
        for row, columns in entry["rows"].items()
        for column in expand_runs(columns)
    )


def grid_tile(
    area: str, place: str, crs: str, *, column: int, row: int, left: float, top: float, size_m: float
) -> Tile:
    """The tile of a grid by column (eastwards from ``left`` [m]) and row (southwards from ``top`` [m]), named "x003y012"."""
    x, y = left + column * size_m, top - row * size_m
    return Tile(area, place, f"x{column:03d}y{row:03d}", crs, (x, y - size_m, x + size_m, y), (left, top))


def expand_runs(runs: Iterable[object]) -> list[int]:
    """Column numbers from a list of numbers and "first-last" runs, ``[1, "3-5"]`` to ``[1, 3, 4, 5]``."""
    columns: list[int] = []
    for run in runs:
        first, _, last = str(run).partition("-")
        columns.extend(range(int(first), int(last or first) + 1))
    return columns


@functools.cache
def crs_name(crs: str) -> str:
    """EPSG code in lower case where there is one, else WKT: the form EO3 documents take."""
    parsed = CRS(crs)
    return f"epsg:{parsed.epsg}" if parsed.epsg else parsed.to_wkt()
