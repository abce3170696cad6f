"""Years of scenes that a map is made of: the year itself, or more where ``catalogs/product_tables.yml`` calls it thin."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from ceiba.config import project_root
from ceiba.errors import AreaError, CatalogError
from ceiba.grids import Period

Table = Mapping[str, Mapping[str, Mapping[int, Period]]]


@dataclass(frozen=True)
class ProductTables:
    """The owner's tables of products.

    Attributes
    ----------
    sensors
        Scene product to sensor of the tables.
    land_cover
        Sensor, then table, then year of the map to its input years.
    change
        Sensor, then table, to the first and last year of each map.
    thin_years
        Sensor, then table, then year to the reason why it is too thin for a mosaic of its own.
    resolution_m
        "land_cover" or "change", then sensor, to the pixel size [m].
    notebooks
        "land_cover" or "change" to the notebook that makes such a map.
    parameters
        Sensor to the parameters of these notebooks that make the maps of that sensor.
    """

    sensors: Mapping[str, str]
    land_cover: Table
    change: Mapping[str, Mapping[str, tuple[Period, ...]]]
    thin_years: Mapping[str, Mapping[str, Mapping[int, str]]]
    resolution_m: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    notebooks: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def input_years(self, table: str, scenes: str, period: Period) -> Period:
        """Years in which the scenes of a product are looked up for a map of ``period``.

        A thin year takes the input years that the table names for it; where it names none, as many years, up to and with
        that year, as the next later row takes (the last row where none is later). Any other period is its own.
        Raises :class:`CatalogError` where no table has this name.
        """
        known = {name for tables in self.land_cover.values() for name in tables}
        if table not in known:
            raise CatalogError(f"no product table {table!r}; catalogs/product_tables.yml has {', '.join(sorted(known))}")
        sensor = self.sensors.get(scenes, "")
        year = period.last_year
        if period.first_year != year or year not in self.thin_years.get(sensor, {}).get(table, {}):
            return period
        rows = self.land_cover[sensor][table]
        if year in rows:
            return rows[year]
        row = rows[min((named for named in rows if named > year), default=max(rows))]
        return Period(year - (row.last_year - row.first_year), year)

    def map_years(self, sensor: str, table: str, year: int) -> Period:
        """Input years of the map of a year: those of its row, the year alone where the table has no row of it.

        Raises :class:`CatalogError` where there is no such sensor.
        """
        if sensor not in self.land_cover:
            raise CatalogError(f"no sensor {sensor!r} among the product tables; there are {', '.join(self.land_cover)}")
        return self.land_cover[sensor].get(table, {}).get(year, Period(year, year))

    def mosaic_years(self, sensor: str, table: str, year: int) -> tuple[int, ...]:
        """Years whose annual mosaics the map of a year is told from: its input years, without thin ones that reach beyond them.

        The mosaic of a thin year is made of scenes of earlier years too. Where the map's own year is thin, its mosaic holds all
        input years by itself; another thin year is left out where its scenes are older than the first input year, so that a map
        never holds scenes of other years than the table names. Raises :class:`CatalogError` where there is no such sensor.
        """
        row = self.map_years(sensor, table, year)
        scenes = next(name for name, of in self.sensors.items() if of == sensor)
        oldest = {each: self.input_years(table, scenes, Period(each, each)).first_year for each in row.years}
        within = tuple(each for each in row.years if oldest[each] >= row.first_year)
        return within or (year,)


@functools.cache
def load_product_tables() -> ProductTables:
    """The tables of ``catalogs/product_tables.yml``; raises :class:`CatalogError` saying what is wrong with them."""
    path = project_root() / "catalogs" / "product_tables.yml"
    return read_product_tables(yaml.safe_load(path.read_text("utf-8")), path.name)


def read_product_tables(entry: Mapping, name: str) -> ProductTables:
    """Check the content of a file of product tables; raises :class:`CatalogError`."""
    try:
        sensors = {scenes: sensor for sensor, products in entry["sensors"].items() for scenes in products}
        land_cover = {
            sensor: {
                table: {int(year): Period(*years) for year, years in rows.items()} for table, rows in _tables(tables)
            }
            for sensor, tables in entry["land_cover"].items()
        }
        change = {
            sensor: {table: tuple(Period(*years) for years in rows) for table, rows in _tables(tables)}
            for sensor, tables in entry["change"].items()
        }
        thin = {
            sensor: {table: {int(year): str(reason) for year, reason in years.items()} for table, years in tables.items()}
            for sensor, tables in entry["thin_years"].items()
        }
        resolution_m = {
            content: {sensor: int(tables["resolution_m"]) for sensor, tables in entry[content].items()}
            for content in ("land_cover", "change")
        }
        notebooks = {str(content): str(notebook) for content, notebook in (entry.get("notebooks") or {}).items()}
        parameters = {sensor: dict(values or {}) for sensor, values in (entry.get("parameters") or {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError, AreaError) as error:
        raise CatalogError(f"{name} is malformed: {error!r}") from error
    for sensor, tables in thin.items():
        without = [table for table in tables if not land_cover.get(sensor, {}).get(table)]
        if without:
            raise CatalogError(f"{name}: thin years of {sensor}, {', '.join(without)}, but land_cover has no rows there")
    for sensor, tables in land_cover.items():
        for table, rows in tables.items():
            astray = [year for year, years in rows.items() if year not in years.years]
            if astray:
                raise CatalogError(f"{name}: land_cover, {sensor}, {table}: {astray[0]} is not among its own input years")
    return ProductTables(sensors, land_cover, change, thin, resolution_m, notebooks, parameters)


def _tables(entry: Mapping) -> list[tuple[str, object]]:
    return [(table, rows) for table, rows in entry.items() if table != "resolution_m"]
