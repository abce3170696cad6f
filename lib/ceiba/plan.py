"""What would run: units of work, their inputs, and which of them are done."""

import functools
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from uuid import UUID

from ceiba import cube as index
from ceiba import store
from ceiba.catalog import find_source, list_sources
from ceiba.errors import AreaError, InputError, ParameterError
from ceiba.grids import Area, Period, Place, Tile, find_area
from ceiba.input_years import load_product_tables
from ceiba.neighbors import add_neighbors
from ceiba.notebooks import UNIT_PARAMETERS, check_parameters, list_notebooks, notebook_path
from ceiba.products import InputRule, ProductDefinition, load_definitions, product_id
from ceiba.review import Review, find_rejected, revise
from ceiba.samples import is_reachable
from ceiba.sources import Found, ProductSource, Selection, dataset_period, made_from

log = logging.getLogger(__name__)

FALLBACK_AREA = "simulated"


@dataclass(frozen=True)
class Unit:
    """One notebook on one tile and period: the unit of batch work."""

    notebook: str
    area: Area
    place: Place
    tile: Tile
    period: Period
    per: str
    parameters: Mapping[str, object]

    @property
    def stage(self) -> str:
        """Stage of the notebook, from its folder."""
        return notebook_stage(self.notebook)

    @property
    def products(self) -> list[ProductDefinition]:
        """Definitions of the products that the notebook writes with these parameters."""
        return products_of(self.notebook, self.parameters)

    @property
    def settings(self) -> Mapping[str, object]:
        """Settings of the place for this stage."""
        return self.place.settings.get(self.stage, {})

    @property
    def input_rules(self) -> dict[str, InputRule]:
        """What the notebook reads, by name: the inputs of all its products."""
        rules: dict[str, InputRule] = {}
        for definition in self.products:
            for rule in definition.inputs:
                rules.setdefault(rule.name, rule)
        return rules

    @property
    def widened(self) -> dict[str, Period]:
        """Inputs whose scenes are looked up in more years than the unit's own, since that is too thin."""
        periods = {rule.name: input_period(self, rule) for rule in self.input_rules.values()}
        return {name: period for name, period in periods.items() if period != self.period}

    @property
    def own_parameters(self) -> dict[str, object]:
        """Parameters other than area, tile and years."""
        return {name: value for name, value in self.parameters.items() if name not in UNIT_PARAMETERS}

    def run_parameters(self) -> dict[str, object]:
        """Every parameter with the area, tile and years of this unit."""
        known = {
            "area": self.area.name,
            "tile": self.tile.name,
            "year": self.period.last_year,
            "first_year": self.period.first_year,
            "last_year": self.period.last_year,
        }
        return {name: known.get(name, value) for name, value in self.parameters.items()}

    def folder(self, definition: ProductDefinition) -> str:
        """Where a product of this unit lies below the store, without its id."""
        return f"products/{definition.name}/{definition.version}/{self.tile.region_code}/{self.period}"

    def __str__(self) -> str:
        return f"{self.notebook} {self.tile.region_code} {self.period}"


@dataclass(frozen=True)
class Snapshot:
    """The inputs of a unit at one moment, and the ids that its products then have.

    Attributes
    ----------
    found
        Input name to what its source holds.
    missing
        For each required input without data, a sentence that says so.
    ids
        Product name to id; empty where inputs are missing.
    rejected
        Product name to the review that rejected what was made before: it is to be made again, under a new id.
    """

    found: Mapping[str, Found]
    missing: tuple[str, ...] = ()
    ids: Mapping[str, UUID] = field(default_factory=dict)
    rejected: Mapping[str, Review] = field(default_factory=dict)

    def is_done(self) -> bool:
        """Whether every product with these inputs is indexed."""
        connection = index.connect()
        return bool(self.ids) and all(index.get_dataset(connection, dataset_id) for dataset_id in self.ids.values())


def notebook_stage(notebook: str) -> str:
    """Stage of a notebook, "mosaics" for "02_mosaics/01_make_geomedian"."""
    return notebook.partition("/")[0].partition("_")[2]


def products_of(notebook: str, parameters: Mapping[str, object] | None = None) -> list[ProductDefinition]:
    """Definitions of the products that a notebook writes, in the order of their file.

    Only those that it writes with ``parameters``; all that it can write where they are None. Raises :class:`ParameterError` where it
    can write some, but none with these parameters.
    """
    every = [each for each in load_definitions().values() if each.notebook == notebook and each.per != "scene"]
    written = [each for each in every if parameters is None or each.is_written(parameters)]
    if every and not written:
        # Several products may be written with the same parameters.
        allowed = dict.fromkeys(", ".join(f"{name}={value!r}" for name, value in each.when.items()) for each in every)
        given = ", ".join(
            f"{name}={parameters.get(name)!r}" for name in dict.fromkeys(name for each in every for name in each.when)
        )
        raise ParameterError(f"{notebook} writes no product with {given}; allowed are {' or '.join(allowed)}")
    return written


def written_by(notebook: str) -> list[ProductDefinition]:
    """What a notebook puts into the cube: its products and, where its definition names it, scenes."""
    return [definition for definition in load_definitions().values() if definition.notebook == notebook]


def choose_notebooks(targets: Iterable[str]) -> list[str]:
    """Notebooks that write products, for stages ("mosaics", "02_mosaics") or notebooks by name; all where none is named.

    Those whose products are all made on request only are left out unless they are named themselves.

    Raises :class:`ParameterError` naming what exists. The order is that of the stages and numbers, which is that of the inputs.
    """
    writing = [notebook for notebook in list_notebooks() if products_of(notebook)]
    usual = [notebook for notebook in writing if not all(each.on_request for each in products_of(notebook))]
    targets = list(targets)
    if not targets:
        return usual
    chosen = []
    for target in targets:
        target = target.removesuffix(".ipynb").removeprefix("notebooks/")
        matches = [name for name in usual if target in (name.partition("/")[0], notebook_stage(name))]
        matches += [name for name in writing if target == name]
        if not matches:
            stages = list(dict.fromkeys(notebook_stage(name) for name in writing))
            raise ParameterError(
                f"no stage or notebook {target!r}; stages are {', '.join(stages)}; notebooks are {', '.join(writing)}"
            )
        chosen += matches
    return [notebook for notebook in writing if notebook in chosen]


def resolve_area(area: str, stage: str) -> tuple[Area, Place]:
    """The area and its place for a stage; the simulated area where the place's samples are not on this machine."""
    found = find_area(area)
    place = found.place(stage)
    missing = [sample for sample in place.needs if not is_reachable(sample)]
    if missing and area != FALLBACK_AREA:
        log.warning("stage %s of area %s runs on the simulated area: %s not reachable", stage, area, ", ".join(missing))
        return resolve_area(FALLBACK_AREA, stage)
    return found, place


def find_lacking(notebook: str, place: Place, parameters: Mapping[str, object] | None = None) -> list[str]:
    """Inputs without which a notebook cannot be, and of which a place has no data.

    Those that ``grids.yml`` names under ``lacks``, and what a source has not got that is often empty, like reactions of people.
    """
    needed = dict.fromkeys(
        rule.name for definition in products_of(notebook, parameters) for rule in definition.inputs if rule.required
    )
    return [name for name in needed if name in place.lacks or _is_empty(place, name)]


def _is_empty(place: Place, name: str) -> bool:
    """Whether a source that is often empty is so for the whole of a place."""
    if not find_source(find_area(FALLBACK_AREA), name).often_empty:
        return False
    area = find_area(place.area)
    if name not in list_sources(area):  # an area of one's own, whose catalogue is older than the source
        return True
    whole = Selection(area, place, place.whole, place.years, scope="area")
    return not find_source(area, name).find(whole).ids


def find_unused_sensor(unit: Unit) -> str:
    """Scenes that a unit cannot be made without and of which its place has none, though it has those of another sensor.

    A place need not have every sensor: what the others are needed for is then not asked of it. Empty where the place has
    them all, or no scenes at all.
    """
    needed, reads = set(), list(unit.products)
    seen = {definition.name for definition in reads}
    while reads:
        for rule in (rule for rule in reads.pop().inputs if rule.required):
            for name in made_from(find_source(unit.area, rule.name)) - seen:
                seen.add(name)
                definition = load_definitions()[name]
                needed |= {name} if definition.per == "scene" else set()
                reads.append(definition)
    scenes = [name for name, definition in load_definitions().items() if definition.per == "scene"]
    whole = Selection(unit.area, unit.place, unit.place.whole, unit.place.years, scope="area")
    empty = {name for name in scenes if not ProductSource(product=name).has_scenes(whole)}
    return "" if len(empty) == len(scenes) else ", ".join(sorted(needed & empty))


def make_unit(notebook: str, given: Mapping[str, object]) -> Unit:
    """The unit that a notebook with these parameters stands for; raises on parameters that do not fit it."""
    notebook_path(notebook)
    parameters = check_parameters(notebook, given)
    stage = notebook_stage(notebook)
    area, place = resolve_area(str(parameters["area"]), stage)
    lacking = find_lacking(notebook, place, parameters)
    if lacking and area.name != FALLBACK_AREA:
        log.warning("%s runs on the simulated area: %s has no %s", notebook, place.name, ", ".join(lacking))
        area, place = resolve_area(FALLBACK_AREA, stage)
    fell_back = area.name != parameters["area"]
    definitions = products_of(notebook, parameters)
    per = definitions[0].per if definitions else "area span"
    tile = place.whole if per == "area span" else place.tile("" if fell_back else str(parameters["tile"]))
    if "year" in parameters:
        year = 0 if fell_back else parameters["year"]
        period = Period(year or place.years.last_year, year or place.years.last_year)
    else:
        first, last = (0, 0) if fell_back else (parameters.get("first_year", 0), parameters.get("last_year", 0))
        period = Period(first or place.years.first_year, last or place.years.last_year)
    if not (place.years.first_year <= period.first_year and period.last_year <= place.years.last_year):
        raise AreaError(f"{notebook}: {place.name} of area {area.name} has data for {place.years}, not for {period}")
    return Unit(notebook, area, place, tile, period, per, parameters)


def list_units(
    notebook: str,
    area: str,
    *,
    tiles: Iterable[str] = (),
    years: Period | None = None,
    settings: Mapping[str, object] | None = None,
) -> list[Unit]:
    """Units of a notebook on an area: its tiles times its years (or one span), with ``settings`` as parameters.

    There are none where the place has no data of what the notebook cannot do without (:func:`find_lacking`).
    Raises :class:`AreaError` where no year of the place is left.
    """
    parameters = check_parameters(notebook, {"area": area} | dict(settings or {}))
    stage = notebook_stage(notebook)
    found_area, place = resolve_area(area, stage)
    lacking = find_lacking(notebook, place, parameters)
    if lacking:
        log.warning("%s is left out on %s: %s has no %s", notebook, area, place.name, ", ".join(lacking))
        return []
    definitions = products_of(notebook, parameters)
    per = definitions[0].per
    fell_back = found_area.name != area
    wanted = place.years if years is None or fell_back else years
    first, last = max(wanted.first_year, place.years.first_year), min(wanted.last_year, place.years.last_year)
    if first > last:
        raise AreaError(f"{notebook}: {area} has data for {place.years}, not for {wanted}")
    span = Period(first, last)
    periods = [Period(year, year) for year in span.years] if per == "tile year" else [span]
    names = [] if fell_back else list(tiles)
    chosen = (
        [place.whole] if per == "area span" else ([place.tile(name) for name in names] if names else list(place.tiles))
    )
    return [Unit(notebook, found_area, place, tile, period, per, parameters) for tile in chosen for period in periods]


def input_period(unit: Unit, rule: InputRule) -> Period:
    """Years in which an input is looked up: those of the unit, more for what ``product_tables.yml`` gives input years."""
    if rule.input_years:
        return Period(map_years(unit, rule, unit.period.first_year)[0], unit.period.last_year)
    definition = load_definitions().get(rule.name)
    is_scenes = definition is not None and definition.per == "scene"
    if not is_scenes or unit.per != "tile year" or not unit.place.country:
        return unit.period
    return load_product_tables().input_years(unit.place.country, rule.name, unit.period)


def map_years(unit: Unit, rule: InputRule, year: int) -> tuple[int, ...]:
    """Years of an input that the map of one year is made of, by the owner's tables; the year itself where they say nothing."""
    if not rule.input_years or not unit.place.country:
        return (year,)
    return load_product_tables().mosaic_years(rule.input_years, unit.place.country, year)


def select(unit: Unit, rule: InputRule) -> Selection:
    """What a unit asks of one input."""
    tile = unit.place.whole if rule.scope == "area" else unit.tile
    scope = "area" if rule.scope == "area" or unit.per == "area span" else "tile"
    any_period = rule.period == "any"
    keep_time = (unit.per != "tile year" or bool(rule.input_years)) and not any_period
    period = input_period(unit, rule)
    return Selection(unit.area, unit.place, tile, period, scope=scope, any_period=any_period, keep_time=keep_time)


def find_live(area: Area, name: str, selection: Selection) -> Found:
    """Ask a source of an area, as the cube is at this moment."""
    return find_source(area, name).find(selection)


Find = Callable[[Area, str, Selection], Found]
Rejected = Callable[[str], Mapping[UUID, Review]]


def take_snapshot(unit: Unit, *, find: Find = find_live, rejected: Rejected = find_rejected) -> Snapshot:
    """Look up the inputs of a unit and compute the ids of its products.

    ``find`` answers what a source of the unit's area holds for a selection, ``rejected`` which products of an area a review
    rejected; plans of many units give those of one that has read the cube beforehand (:class:`ceiba.holdings.Holdings`).
    """
    found, missing = {}, []
    for rule in unit.input_rules.values():
        selection = select(unit, rule)
        try:
            found[rule.name] = find(unit.area, rule.name, selection)
            if rule.neighbors:
                around = unit.place.neighbors(unit.tile)
                beside = [find(unit.area, rule.name, replace(selection, tile=tile)) for tile in around]
                found[rule.name] = add_neighbors(found[rule.name], beside)
            reason = f"no {rule.name} for tile {unit.tile.region_code}, {selection.period}"
        except InputError as error:
            found[rule.name], reason = Found(), str(error)
        if rule.required and not found[rule.name].ids:
            missing.append(reason)
    if missing:
        return Snapshot(found, tuple(missing))
    ids, reviews, of_area = {}, {}, rejected(unit.area.name)
    for definition in unit.products:
        make_id = functools.partial(unit_product_id, unit, definition, found)
        ids[definition.name], review = revise(lambda revision, make_id=make_id: make_id(revision=revision), of_area)
        if review is not None:
            reviews[definition.name] = review
    return Snapshot(found, (), ids, reviews)


def unit_product_id(
    unit: Unit, definition: ProductDefinition, found: Mapping[str, Found], *, revision: str = ""
) -> UUID:
    """Id of one product of a unit with the inputs ``found``.

    Input years that differ from the unit's own enter it, since the product's document tells them, and so does the ``revision``:
    the id of the review that rejected the product before.
    """
    widened = widened_inputs(unit, definition)
    more = ({"input_years": widened} if widened else {}) | ({"revision": revision} if revision else {})
    return product_id(
        definition,
        unit.tile,
        unit.period,
        parameters=unit.own_parameters | more,
        settings=unit.settings,
        inputs={rule.name: list(found[rule.name].ids) for rule in definition.inputs},
        files=definition.file_hashes(unit.own_parameters, unit.settings),
    )


def widened_inputs(unit: Unit, definition: ProductDefinition) -> dict[str, str]:
    """Inputs of a product with the years of their scenes, where these are more than the unit's own."""
    names = {rule.name for rule in definition.inputs}
    return {name: str(period) for name, period in unit.widened.items() if name in names}


def find_replaced(unit: Unit, definition: ProductDefinition, new: UUID) -> list[UUID]:
    """Datasets of the same product, tile and period under other ids."""
    datasets = index.find_datasets(index.connect(), definition.name, region_code=unit.tile.region_code)
    return [dataset.id for dataset in datasets if dataset_period(dataset) == unit.period and dataset.id != new]


def adopt_finished(unit: Unit, snapshot: Snapshot) -> bool:
    """Index products that a killed run had moved into place; says whether the unit is done now."""
    connection = index.connect()
    for definition in unit.products:
        dataset_id = snapshot.ids[definition.name]
        if index.get_dataset(connection, dataset_id) is None:
            replaced = find_replaced(unit, definition, dataset_id)
            if not store.adopt(dataset_id, unit.folder(definition), find_replaced=lambda replaced=replaced: replaced):
                return False
    return True
