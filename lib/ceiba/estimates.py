"""What a plan will cost, unit by unit and before anything runs: scenes, time, memory, storage and money."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from odc.geo.geom import lonlat_bounds

from ceiba.grids import Period, Tile
from ceiba.holdings import Holdings
from ceiba.missions import load_missions
from ceiba.plan import Snapshot, Unit, select, take_snapshot
from ceiba.prices import Prices, load_prices, processing_units
from ceiba.products import ProductDefinition, load_definitions

KERNEL_CPU_S = 6.0  # starting a kernel and importing the libraries
MEASURED_LOOKS = 25
"""``cpu_s_per_mpx`` of a product that reads scenes stands for so many looks at a pixel: the stack that the benchmarks measure."""
COMPRESSION = 0.6  # deflate on reflectance and indices, measured on the sample
BYTES_PER_GB = 1e9
DONE, READY, REJECTED, WAITING, EMPTY = "done", "ready", "rejected", "waiting", "empty"
STATES = (DONE, READY, REJECTED, WAITING, EMPTY)


@dataclass(frozen=True)
class Scenes:
    """Scenes of one product on one tile and period.

    Attributes
    ----------
    count
        Number of scenes that touch the tile: as the cube holds them, else as expected of the missions.
    reads
        Times that a pixel of the tile is read.
    in_cube
        Whether the cube holds them.
    """

    product: str
    tile: Tile
    period: Period
    count: float
    reads: float
    in_cube: bool


@dataclass(frozen=True)
class Estimate:
    """A unit of a plan: its state and what it costs where it is not done.

    Attributes
    ----------
    state
        "done", "ready", "rejected" (ready to be made again, since a review rejected it), "waiting" (an input is missing) or
        "empty" (the years lie before or after the satellites that it needs).
    cpu_s, memory_mb, storage_bytes, cost
        CPU time [s], peak memory [MB], size of its products [bytes], money in the currency of the prices.
    """

    unit: Unit
    state: str
    reason: str
    scenes: tuple[Scenes, ...]
    cpu_s: float
    memory_mb: float
    storage_bytes: float
    cost: float

    @property
    def clear_looks(self) -> float:
        """Looks without cloud that can be expected at a pixel, of all sensors that the unit reads."""
        sizes, share = load_missions().scenes, load_missions().clear_share(self.unit.place.country)
        return sum(each.reads / sizes[each.product].reads_per_look for each in self.scenes) * share


@dataclass(frozen=True)
class Budget:
    """Sums of a plan.

    Attributes
    ----------
    scenes_gb, scenes_units, scenes_cost
        Size [GB], Sentinel Hub processing units and cost of the scenes that the cube does not hold yet.
    """

    prices: Prices
    limit: float | None
    units_cost: float
    scenes_count: float
    scenes_gb: float
    scenes_units: float
    scenes_cost: float

    @property
    def total(self) -> float:
        """Cost of units and scenes."""
        return self.units_cost + self.scenes_cost

    @property
    def is_exceeded(self) -> bool:
        """Whether the plan costs more than its budget."""
        return self.limit is not None and self.total > self.limit


@dataclass
class Estimator:
    """Estimates units against what the cube holds at this moment."""

    holdings: Holdings = field(default_factory=Holdings)
    prices: Prices = field(default_factory=load_prices)

    def estimate(self, unit: Unit) -> Estimate:
        """State and cost of a unit; a unit that is done costs nothing."""
        snapshot = take_snapshot(unit, find=self.holdings.find, rejected=self.holdings.rejected)
        state, reason = self.state(unit, snapshot)
        scenes = tuple(scenes_of(unit, name, snapshot) for name in scene_inputs(unit))
        if state == WAITING and any(is_impossible(unit, each) for each in scenes):
            state = EMPTY
        if state in (DONE, EMPTY):
            return Estimate(unit, state, reason, scenes, 0.0, 0.0, 0.0, 0.0)
        cpu_s, memory_mb, storage = unit_cost(unit, sum(each.reads for each in scenes))
        cost = self.prices.unit_cost(
            cpu_h=cpu_s / 3600, memory_gb=memory_mb / 1000, storage_gb=storage / BYTES_PER_GB
        )
        return Estimate(unit, state, reason, scenes, cpu_s, memory_mb, storage, cost)

    def state(self, unit: Unit, snapshot: Snapshot) -> tuple[str, str]:
        """The state of a unit but for "empty", and why it waits or is made again."""
        if snapshot.missing:
            return WAITING, "; ".join(snapshot.missing)
        if all(self.holdings.has(definition, snapshot.ids[definition.name]) for definition in unit.products):
            return DONE, ""
        reviews = dict.fromkeys(f"{review.reviewer}: {review.reason}" for review in snapshot.rejected.values())
        return (REJECTED if reviews else READY), "; ".join(reviews)


def estimate_chains(
    chains: Mapping[tuple[str, str], list[list[Unit]]], estimator: Estimator | None = None
) -> list[list[Estimate]]:
    """An estimate for every unit of a plan, by notebook and place.

    A unit that waits for the product of an earlier notebook of the same plan counts as waiting.
    """
    estimator = estimator or Estimator()
    return [[estimator.estimate(unit) for unit in units] for notebooks in chains.values() for units in notebooks]


def scene_inputs(unit: Unit) -> list[str]:
    """Inputs of a unit that are scenes."""
    definitions = load_definitions()
    return [name for name in unit.input_rules if name in definitions and definitions[name].per == "scene"]


def scenes_of(unit: Unit, name: str, snapshot: Snapshot) -> Scenes:
    """Scenes of an input: as many as the cube holds, else as the missions let expect."""
    missions, period = load_missions(), select(unit, unit.input_rules[name]).period
    left, bottom, right, top = unit.tile.bounds
    size = missions.scenes.get(name)
    share = size.share_of_tile((right - left) / 1000, (top - bottom) / 1000) if size else 1.0
    held = len(snapshot.found[name].ids) if name in snapshot.found else 0
    if held:
        return Scenes(name, unit.tile, period, held, held * share, True)
    if size is None:
        return Scenes(name, unit.tile, period, 0.0, 0.0, False)
    reads = missions.expected_looks(name, unit.place.country, period, latitude(unit.tile)) * size.reads_per_look
    return Scenes(name, unit.tile, period, reads / share, reads, False)


def is_impossible(unit: Unit, scenes: Scenes) -> bool:
    """Whether a unit needs scenes that neither the cube holds nor any satellite took."""
    return unit.input_rules[scenes.product].required and scenes.count == 0 and scenes.product in load_missions().scenes


@functools.cache
def latitude(tile: Tile) -> float:
    """Latitude of the middle of a tile [degrees]."""
    box = lonlat_bounds(tile.extent)
    return (box.bottom + box.top) / 2


def unit_cost(unit: Unit, reads: float) -> tuple[float, float, float]:
    """CPU time [s], peak memory [MB] and storage [bytes] of a unit whose pixels are read so often, by the ``cost`` of its products.

    Time grows with the reads where a product is made from scenes. Nothing of the cost of a kernel depends on the size of a tile.
    """
    cpu, memory, storage = KERNEL_CPU_S, 0.0, 0.0
    left, bottom, right, top = unit.tile.bounds
    for definition in unit.products:
        size = definition.resolution_m or setting_resolution_m(unit, definition)
        megapixels = (right - left) * (top - bottom) / size**2 / 1e6 if size else 0.0
        stack = reads / MEASURED_LOOKS if reads and reads_scenes(definition) else 1.0
        cpu += definition.cost.get("cpu_s", 0) + definition.cost.get("cpu_s_per_mpx", 0) * megapixels * stack
        memory = max(
            memory, definition.cost.get("memory_mb", 500) + definition.cost.get("memory_mb_per_mpx", 0) * megapixels
        )
        for band in definition.measurements:
            width = {"uint8": 1, "int16": 2, "uint16": 2}.get(band.dtype, 4)
            storage += megapixels * 1e6 * width * COMPRESSION
        storage += definition.cost.get("storage_mb", 0) * 1e6
    return cpu, memory, storage


def setting_resolution_m(unit: Unit, definition: ProductDefinition) -> float:
    """Pixel size of a product that takes it from the settings of the place, 0 of one without pixels or of a whole place."""
    names = [name for name in unit.settings if name.endswith("resolution_m")] if definition.per.startswith("tile") else []
    return float(unit.settings[names[0]]) if names else 0.0


def reads_scenes(definition: ProductDefinition) -> bool:
    """Whether a product is made from scenes, so that its time grows with their number."""
    definitions = load_definitions()
    return any(rule.name in definitions and definitions[rule.name].per == "scene" for rule in definition.inputs)


def sum_budget(estimates: Iterable[Iterable[Estimate]], limit: float | None = None) -> Budget:
    """Sums of a plan, held against ``limit`` or, where it is None, the budget of the prices.

    Scenes are counted once for each tile and year, whatever number of notebooks reads them.
    """
    prices, sizes = load_prices(), load_missions().scenes
    all_units = [estimate for of_notebook in estimates for estimate in of_notebook]
    wanted: dict[tuple[str, Tile, int], float] = {}
    for estimate in all_units:
        for scenes in estimate.scenes if estimate.state in (READY, REJECTED, WAITING) else ():
            if not scenes.in_cube:
                # A widened year shares its scenes with the years beside it.
                a_year = scenes.reads / len(scenes.period.years)
                for year in scenes.period.years:
                    key = (scenes.product, scenes.tile, year)
                    wanted[key] = max(wanted.get(key, 0.0), a_year)
    count = gb = units = 0.0
    for (product, tile, _), reads in wanted.items():
        size = sizes[product]
        left, bottom, right, top = tile.bounds
        area_m2 = (right - left) * (top - bottom)
        count += reads * area_m2 / (size.size_km[0] * size.size_km[1] * 1e6)
        gb += reads * area_m2 * size.bytes_per_m2 * COMPRESSION / BYTES_PER_GB
        units += processing_units(reads / size.reads_per_look * area_m2 / size.resolution_m**2, size.bands)
    return Budget(
        prices,
        prices.budget if limit is None else limit,
        sum(estimate.cost for estimate in all_units),
        count,
        gb,
        units,
        prices.scenes_cost(gb=gb, units=units),
    )
