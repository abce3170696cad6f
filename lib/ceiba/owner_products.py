"""The maps that the owner's tables ask for (``catalogs/product_tables.yml``), and what each still needs."""

import csv
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Column, Table

from ceiba.catalog import find_source
from ceiba.errors import AreaError, StoreError
from ceiba.estimates import DONE, STATES, Estimate, Estimator
from ceiba.grids import Period, find_area
from ceiba.input_years import ProductTables, load_product_tables
from ceiba.notebooks import check_parameters
from ceiba.plan import list_units, notebook_stage, products_of
from ceiba.products import load_definitions
from ceiba.sources import made_from

LAND_COVER, CHANGE = "land_cover", "change"
COLUMNS = (
    "number", "content", "sensor", "resolution_m", "country", "years", "input_years", "maps_added",
    "scenes_command", "mosaics_command", "model_command", "command",
)  # fmt: skip


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
        return self._command([tables.notebooks[self.content]], self.period, self.parameters(tables))

    def commands(self, tables: ProductTables) -> dict[str, str]:
        """The commands that make it and what it needs, in the order in which they are run, by column of :data:`COLUMNS`."""
        by_stage: dict[str, list[str]] = {"ard": [], "mosaics": [], "classification": []}
        for notebook in needed_notebooks(tables.notebooks[self.content], self.country, tuple(self.parameters(tables).items())):
            by_stage[notebook_stage(notebook)].append(notebook)
        mosaics = self.mosaic_years(tables)
        scenes = Period(min(tables.input_years(self.country, name, Period(year, year)).first_year
                            for year in mosaics for name, of in tables.sensors.items() if of == self.sensor), mosaics[-1])  # fmt: skip
        return {
            "scenes_command": self._command(by_stage["ard"], scenes, {}),
            "mosaics_command": self._command(by_stage["mosaics"], Period(mosaics[0], mosaics[-1]), {}),
            # A model is of all years of a country: trained once, when all mosaics are there.
            "model_command": self._command(by_stage["classification"], None, self.parameters(tables)),
            "command": self.command(tables),
        }

    def mosaic_years(self, tables: ProductTables) -> tuple[int, ...]:
        """Years whose annual mosaics it is made from."""
        if self.content == CHANGE:
            return tuple(self.period.years)
        return tables.mosaic_years(self.sensor, self.country, self.period.last_year)

    def _command(self, notebooks: Sequence[str], years: Period | None, parameters: Mapping[str, object]) -> str:
        span = "" if years is None else f" --years {years.first_year}:{years.last_year}"
        if years is not None and years.first_year == years.last_year:
            span = f" --years {years.last_year}"
        given = "".join(f" --set {name}={value}" for name, value in parameters.items())
        return f"ceiba run {' '.join(notebooks)} --area {self.country}{span}{given}"


def list_owner_products(tables: ProductTables | None = None) -> list[OwnerProduct]:
    """Every map of the tables in their order; annual maps that changes need besides (number 0) stand before the changes."""
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
    maps = sum(product.content == LAND_COVER for product in products)
    needed = [
        OwnerProduct(
            0, LAND_COVER, sensor, tables.resolution_m[LAND_COVER][sensor], country,
            Period(year, year), tables.map_years(sensor, country, year),
        )
        for sensor, country, year in added
    ]  # fmt: skip
    return [*products[:maps], *needed, *products[maps:]]


@functools.cache
def needed_notebooks(notebook: str, area: str, parameters: tuple[tuple[str, object], ...]) -> tuple[str, ...]:
    """Notebooks that make what a notebook cannot be run without, down to the scenes, in the order in which they run."""
    found, needed, wanted = find_area(area), set(), [(notebook, dict(parameters))]
    while wanted:
        name, given = wanted.pop()
        written = products_of(name, check_parameters(name, {"area": area} | given))
        reads = {rule.name for each in written for rule in each.inputs if rule.required}
        for product in set().union(*(made_from(find_source(found, read)) for read in reads)):
            maker = load_definitions()[product]
            if maker.notebook and maker.notebook not in needed | {notebook}:
                needed.add(maker.notebook)
                wanted.append((maker.notebook, dict(maker.when)))
    return tuple(sorted(needed))


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
            "number": product.number or "+",
            "content": product.content,
            "sensor": product.sensor,
            "resolution_m": product.resolution_m,
            "country": product.country,
            "years": str(product.period),
            "input_years": str(product.input_years),
            "maps_added": " ".join(map(str, product.maps_added)),
            **product.commands(tables),
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


def owner_products_of(areas: Sequence[str]) -> list[OwnerProduct]:
    """The maps that the tables ask for of some areas; raises :class:`AreaError` on an area that does not exist or is in no table."""
    products = list_owner_products()
    countries = list(dict.fromkeys(product.country for product in products))
    without = [name for name in areas if find_area(name).name not in countries]
    if without:
        raise AreaError(f"the owner's tables ask for no map of {', '.join(without)}; they do of {', '.join(countries)}")
    return [product for product in products if product.country in areas]
