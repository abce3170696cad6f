"""A plan as tables: what a person reads on the console, and every unit in a file."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.table import Column, Table

from ceiba.errors import StoreError
from ceiba.estimates import BYTES_PER_GB, STATES, Budget, Estimate

UNIT_COLUMNS = (
    "notebook", "area", "tile", "period", "input_years", "state", "reason", "scenes", "scenes_in_cube", "clear_looks",
    "cpu_hours", "memory_gb", "storage_gb", "cost",
)  # fmt: skip
MOST_UNITS_SHOWN = 200


def notebook_table(estimates: Sequence[Sequence[Estimate]], budget: Budget) -> Table:
    """A row a notebook and area: units by state, and what those that are not done cost."""
    columns = ("area", "tiles", "periods", *STATES, "scenes a unit", "CPU hours", "memory GB", "storage GB")
    table = Table(Column("notebook", no_wrap=True), *columns, budget.prices.currency, title="ceiba plan")
    for units in estimates:
        tiles = {each.unit.tile.name for each in units}
        periods = sorted({str(each.unit.period) for each in units})
        table.add_row(
            units[0].unit.notebook,
            units[0].unit.area.name,
            str(len(tiles)),
            periods[0] if len(periods) == 1 else f"{periods[0]} .. {periods[-1]}",
            *_figures(units),
        )
    table.add_section()
    every = [each for units in estimates for each in units]
    table.add_row("total", "", "", f"{len(every)} units", *_figures(every))
    return table


def area_table(estimates: Sequence[Sequence[Estimate]], budget: Budget) -> Table:
    """A row an area, and one with the scenes to bring and the sum against the budget."""
    columns = ("area", "tiles", *STATES, "scenes a unit", "CPU hours", "memory GB", "storage GB")
    table = Table(*columns, budget.prices.currency, title="by area")
    by_area: dict[str, list[Estimate]] = {}
    for each in (each for units in estimates for each in units):
        by_area.setdefault(each.unit.area.name, []).append(each)
    for area, units in by_area.items():
        table.add_row(area, str(len({each.unit.tile.name for each in units})), *_figures(units))
    return table


def _figures(units: Sequence[Estimate]) -> list[str]:
    """Units by state, mean scenes, CPU hours, largest memory, storage and cost."""
    reading = [each for each in units if each.scenes]
    scenes = sum(scenes.count for each in reading for scenes in each.scenes)
    return [
        *(str(sum(each.state == state for each in units)) for state in STATES),
        f"{scenes / len(reading):.0f}" if reading else "",
        f"{sum(each.cpu_s for each in units) / 3600:.2f}",
        f"{max((each.memory_mb for each in units), default=0) / 1000:.1f}",
        f"{sum(each.storage_bytes for each in units) / BYTES_PER_GB:.2f}",
        f"{sum(each.cost for each in units):.2f}",
    ]


def budget_lines(budget: Budget) -> list[str]:
    """What scenes cost, and whether the plan stays within its budget."""
    prices = budget.prices
    origin = {
        "same_region": "read in their own cloud region, without charge",
        "copy": f"copied at {prices.transfer_gb:g} {prices.currency} a GB",
        "sentinel_hub": f"from Sentinel Hub at {prices.processing_unit:g} {prices.currency} a unit",
    }[prices.scenes_from]
    lines = [
        f"Scenes not in the cube yet: about {budget.scenes_count:,.0f}, {budget.scenes_gb:,.0f} GB, "
        f"{budget.scenes_units:,.0f} Sentinel Hub processing units; {origin}: {budget.scenes_cost:,.2f} {prices.currency}",
        f"Storage is counted for {prices.storage_months:g} months; prices, sources and dates in catalogs/prices.yml, "
        "expected scenes in catalogs/missions.yml",
        f"Total {budget.total:,.2f} {prices.currency}",
    ]
    if budget.limit is not None:
        verdict = "EXCEEDS" if budget.is_exceeded else "is within"
        lines[-1] += f", which {verdict} the budget of {budget.limit:,.2f} {prices.currency}"
    return lines


def unit_rows(estimates: Iterable[Iterable[Estimate]]) -> list[dict[str, object]]:
    """Every unit of a plan as a row of :data:`UNIT_COLUMNS`."""
    return [
        {
            "notebook": each.unit.notebook,
            "area": each.unit.area.name,
            "tile": each.unit.tile.name,
            "period": str(each.unit.period),
            "input_years": "; ".join(f"{name} {period}" for name, period in each.unit.widened.items()),
            "state": each.state,
            "reason": each.reason,
            "scenes": round(sum(scenes.count for scenes in each.scenes), 1),
            "scenes_in_cube": sum(int(scenes.count) for scenes in each.scenes if scenes.in_cube),
            "clear_looks": round(each.clear_looks, 1),
            "cpu_hours": round(each.cpu_s / 3600, 4),
            "memory_gb": round(each.memory_mb / 1000, 2),
            "storage_gb": round(each.storage_bytes / BYTES_PER_GB, 4),
            "cost": round(each.cost, 4),
        }
        for units in estimates
        for each in units
    ]


def unit_table(estimates: Iterable[Iterable[Estimate]]) -> Table:
    """The units of a plan, the first of them where they are many."""
    rows = unit_rows(estimates)
    table = Table(Column("notebook", no_wrap=True), *UNIT_COLUMNS[1:], title=f"{min(len(rows), MOST_UNITS_SHOWN)} of {len(rows)} units")
    for row in rows[:MOST_UNITS_SHOWN]:
        table.add_row(*(str(row[name]) for name in UNIT_COLUMNS))
    return table


def write_units(path: Path, estimates: Iterable[Iterable[Estimate]]) -> int:
    """Write every unit of a plan as CSV; returns their number. Raises :class:`StoreError` where it cannot be written."""
    rows = unit_rows(estimates)
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, UNIT_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}") from error
    return len(rows)
