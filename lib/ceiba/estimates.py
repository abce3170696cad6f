"""What a plan will cost: time, memory and storage, from the product definitions."""

from collections.abc import Mapping

from rich.table import Table

from ceiba.grids import load_areas
from ceiba.plan import Unit, take_snapshot

KERNEL_CPU_S = 6.0  # starting a kernel and importing the libraries
COMPRESSION = 0.6  # deflate on reflectance and indices, measured on the sample
BYTES_PER_GB = 1e9


def unit_cost(unit: Unit) -> tuple[float, float, float]:
    """CPU time [s], peak memory [MB] and storage [bytes] of a unit, by the ``cost`` of its products."""
    cpu, memory, storage = KERNEL_CPU_S, 0.0, 0.0
    left, bottom, right, top = unit.tile.bounds
    for definition in unit.products:
        size = definition.resolution_m
        megapixels = (right - left) * (top - bottom) / size**2 / 1e6 if size else 0.0
        cpu += definition.cost.get("cpu_s", 0) + definition.cost.get("cpu_s_per_mpx", 0) * megapixels
        memory = max(
            memory, definition.cost.get("memory_mb", 500) + definition.cost.get("memory_mb_per_mpx", 0) * megapixels
        )
        for band in definition.measurements:
            width = {"uint8": 1, "int16": 2, "uint16": 2}.get(band.dtype, 4)
            storage += megapixels * 1e6 * width * COMPRESSION
        storage += definition.cost.get("storage_mb", 0) * 1e6
    return cpu, memory, storage


def plan_table(chains: Mapping[tuple[str, str], list[list[Unit]]]) -> Table:
    """A row a notebook and place: units that are done, ready or waiting for inputs, and the cost of those not done.

    A unit that waits for the product of an earlier notebook of the same plan counts as waiting.
    """
    table = Table(
        "notebook",
        "area",
        "tiles",
        "periods",
        "done",
        "ready",
        "waiting",
        "CPU hours",
        "memory GB",
        "storage GB",
        title="ceiba plan",
    )
    total_cpu = total_storage = total_units = 0.0
    for notebooks in chains.values():
        for units in notebooks:
            counts = {"done": 0, "ready": 0, "waiting": 0}
            cpu = memory = storage = 0.0
            empty = has_no_scenes(units[0])
            for unit in units:
                state = "waiting" if empty else unit_state(unit)
                counts[state] += 1
                if state != "done":
                    cost = unit_cost(unit)
                    cpu, memory, storage = cpu + cost[0], max(memory, cost[1]), storage + cost[2]
            tiles, periods = {unit.tile.name for unit in units}, sorted({str(unit.period) for unit in units})
            table.add_row(
                units[0].notebook,
                units[0].area.name,
                str(len(tiles)),
                periods[0] if len(periods) == 1 else f"{periods[0]} .. {periods[-1]}",
                *(str(counts[state]) for state in ("done", "ready", "waiting")),
                f"{cpu / 3600:.2f}",
                f"{memory / 1000:.1f}",
                f"{storage / BYTES_PER_GB:.2f}",
            )
            total_cpu, total_storage, total_units = total_cpu + cpu, total_storage + storage, total_units + len(units)
    table.add_section()
    table.add_row(
        "total",
        "",
        "",
        "",
        f"{total_units:.0f} units",
        "",
        "",
        f"{total_cpu / 3600:.2f}",
        "",
        f"{total_storage / BYTES_PER_GB:.2f}",
    )
    return table


def unit_state(unit: Unit) -> str:
    """ "done", "ready" or "waiting" (an input is missing)."""
    snapshot = take_snapshot(unit)
    if snapshot.missing:
        return "waiting"
    return "done" if snapshot.is_done() else "ready"


def has_no_scenes(unit: Unit) -> bool:
    """Whether an area has nothing in the cube at all, so that asking for each of its tiles and years can be spared."""
    from ceiba import cube as index
    from ceiba.products import load_definitions

    if unit.area.name not in load_areas() or len(unit.place.tiles) < 20:
        return False
    connection = index.connect()
    for definition in load_definitions().values():
        if definition.per != "scene" and any(
            dataset.metadata_doc["properties"]["ceiba:area"] == unit.area.name
            for dataset in index.find_datasets(connection, definition.name)
        ):
            return False
    return True
