"""The maps that the owner's tables ask for (``catalogs/product_tables.yml``), and what each still needs."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Column, Table

from ceiba.errors import StoreError
from ceiba.estimates import DONE, STATES, Estimate, Estimator
from ceiba.grids import Period, find_area
from ceiba.input_years import ProductTables, load_product_tables
from ceiba.plan import list_units

LAND_COVER, CHANGE = "land_cover", "change"
COLUMNS = ("number", "content", "sensor", "resolution_m", "country", "years", "input_years", "maps_added", "command")


@dataclass(frozen=True)
class OwnerProduct:
    """One map of the owner's tables.

    Attributes
    ----------
    number
        Place in the tables, from 1; 0 for an annual map that no table asks for, but a change needs.
    content
        "land_cover" or "change".
    sensor, resolution_m, country
        As in the tables.
    period
        The year of a map, or the first and last year of a change.
    input_years
        Years of scenes that a map is made of; of a change, all years from its first to its last.
    maps_added
        Years of a change for which the tables ask no map of their own.
    """

    number: int
    content: str
    sensor: str
    resolution_m: int
    country: str
    period: Period
    input_years: Period
    maps_added: tuple[int, ...] = ()

    def parameters(self, tables: ProductTables) -> dict[str, object]:
        """Parameters of the notebook that makes it, beside area, tile and years."""
        return dict(tables.parameters[self.sensor])

    def command(self, tables: ProductTables) -> str:
        """The command that makes it where its inputs are there."""
        years = f"{self.period.first_year}:{self.period.last_year}" if self.content == CHANGE else str(self.period.last_year)
        set_ = "".join(f" --set {name}={value}" for name, value in self.parameters(tables).items())
        return f"ceiba run {tables.notebooks[self.content]} --area {self.country} --years {years}{set_}"


def list_owner_products(tables: ProductTables | None = None) -> list[OwnerProduct]:
    """Every map of the tables in their order, then the annual maps that changes need beside them (number 0)."""
    tables = tables or load_product_tables()
    rows: list[tuple] = []
    for sensor, by_country in tables.land_cover.items():
        for country, maps in by_country.items():
            rows += [(LAND_COVER, sensor, country, Period(year, year), years, ()) for year, years in maps.items()]
    added: dict[tuple[str, str, int], None] = {}
    for sensor, by_country in tables.change.items():
        for country, periods in by_country.items():
            for period in periods:
                ends = (period.first_year, period.last_year)
                without = tuple(year for year in ends if year not in tables.land_cover[sensor].get(country, {}))
                added |= {(sensor, country, year): None for year in without}
                rows.append((CHANGE, sensor, country, period, period, without))
    products = [
        OwnerProduct(number, content, sensor, tables.resolution_m[content][sensor], *rest)
        for number, (content, sensor, *rest) in enumerate(rows, start=1)
    ]
    return products + [
        OwnerProduct(
            0, LAND_COVER, sensor, tables.resolution_m[LAND_COVER][sensor], country,
            Period(year, year), tables.map_years(sensor, country, year),
        )
        for sensor, country, year in added
    ]  # fmt: skip


def estimate_owner_products(
    products: Iterable[OwnerProduct], *, tiles: Sequence[str] = (), estimator: Estimator | None = None
) -> list[tuple[OwnerProduct, list[Estimate]]]:
    """Each map with the state and cost of its units."""
    tables, estimator = load_product_tables(), estimator or Estimator()
    found = []
    for product in products:
        units = list_units(
            tables.notebooks[product.content],
            product.country,
            tiles=tiles,
            years=product.period,
            settings=product.parameters(tables),
        )
        found.append((product, [estimator.estimate(unit) for unit in units]))
    return found


def owner_table(estimated: Sequence[tuple[OwnerProduct, Sequence[Estimate]]]) -> Table:
    """One row a map: its years, the tiles in each state and what the rest will take."""
    columns = ("content", "sensor", "m", "country", "years", "input years", "maps added", "tiles", *STATES, "CPU hours")
    asked = sum(product.number > 0 for product, _ in estimated)
    table = Table(Column("no."), *columns, title=f"{asked} maps of the owner's tables")
    for product, units in estimated:
        states = Counter(each.state for each in units)
        complete = units and states[DONE] == len(units)
        table.add_row(
            str(product.number or "+"), product.content, product.sensor, str(product.resolution_m), product.country,
            str(product.period), str(product.input_years), ", ".join(map(str, product.maps_added)), str(len(units)),
            *(str(states[state] or "") for state in STATES), f"{sum(each.cpu_s for each in units) / 3600:.0f}",
            style="green" if complete else "",
        )  # fmt: skip
    return table


def write_owner_products(path: Path, products: Iterable[OwnerProduct]) -> int:
    """Write the maps with the commands that make them as CSV; returns their number. Raises :class:`StoreError`."""
    tables = load_product_tables()
    rows = [
        {
            "number": product.number or "",
            "content": product.content,
            "sensor": product.sensor,
            "resolution_m": product.resolution_m,
            "country": product.country,
            "years": str(product.period),
            "input_years": str(product.input_years),
            "maps_added": " ".join(map(str, product.maps_added)),
            "command": product.command(tables),
        }
        for product in products
    ]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}") from error
    return len(rows)


def countries_of(areas: Sequence[str]) -> set[str]:
    """Countries of the areas; raises :class:`ceiba.errors.AreaError` on an area that does not exist."""
    return {place.country for name in areas for place in find_area(name).places if place.country}
