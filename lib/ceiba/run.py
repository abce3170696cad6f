"""The runner: every unit that is not done, in the order of the inputs, on a Dask cluster."""

import functools
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from ceiba import cube as index
from ceiba import provenance, store
from ceiba.catalog import find_source
from ceiba.cluster import Cluster
from ceiba.config import Config
from ceiba.errors import CeibaError, ParameterError
from ceiba.grids import Period
from ceiba.neighbors import warn_of_missing
from ceiba.notebooks import read_parameters
from ceiba.plan import (
    Snapshot,
    Unit,
    adopt_finished,
    choose_notebooks,
    find_unused_sensor,
    list_units,
    notebook_stage,
    take_snapshot,
    written_by,
)
from ceiba.sources import made_from

log = logging.getLogger(__name__)

DONE, MADE, SKIPPED, FAILED, BLOCKED = "done", "made", "skipped", "failed", "blocked"


@dataclass(frozen=True)
class Result:
    """How a unit ended.

    Attributes
    ----------
    status
        "done" (nothing to do), "made", "skipped" (the place has no scenes of the sensor that it is about), "failed" (its
        notebook raised, or wrote what it could and listed failures) or "blocked" (an input is missing).
    reason
        For a person: why it failed or is blocked.
    """

    unit: Unit
    status: str
    seconds: float = 0.0
    reason: str = ""
    ids: Mapping[str, UUID] | None = None
    peak_memory_mb: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether the products are there and nothing was left out."""
        return self.status in (DONE, MADE, SKIPPED) and not self.reason


def plan_chains(
    targets: Iterable[str],
    areas: Iterable[str],
    *,
    tiles: Iterable[str] = (),
    years: Period | None = None,
    settings: Mapping[str, object] | None = None,
) -> dict[tuple[str, str], list[list[Unit]]]:
    """Units by place and then by notebook, in the order in which they must run.

    Places share nothing, so their chains run beside each other; within one the notebooks follow their inputs. A unit that
    two areas come to (where a sample falls back to the simulated area) stands once.
    """
    chains: dict[tuple[str, str], list[list[Unit]]] = {}
    seen = set()
    notebooks = choose_notebooks(targets)
    settings = dict(settings or {})
    declared = {notebook: read_parameters(notebook) for notebook in notebooks}
    unknown = sorted(name for name in settings if not any(name in parameters for parameters in declared.values()))
    if unknown:
        known = sorted({name for parameters in declared.values() for name in parameters})
        raise ParameterError(f"no chosen notebook has a parameter {', '.join(unknown)}; they have {', '.join(known)}")
    for notebook in notebooks:
        own = {name: value for name, value in settings.items() if name in declared[notebook]}
        by_place: dict[tuple[str, str], list[Unit]] = {}
        for area in areas:
            for unit in list_units(notebook, area, tiles=tiles, years=years, settings=own):
                if str(unit) not in seen:
                    seen.add(str(unit))
                    by_place.setdefault((unit.area.name, unit.place.name), []).append(unit)
        for place, units in by_place.items():
            chains.setdefault(place, []).append(units)
    return chains


def run(
    chains: Mapping[tuple[str, str], list[list[Unit]]],
    *,
    cluster: Cluster,
    started: Callable[[Unit], None] = lambda unit: None,
    ended: Callable[[Result], None] = lambda result: None,
) -> list[Result]:
    """Run the chains of :func:`plan_chains`; one failing unit stops no other. Results in the order of the chains."""
    store.sweep()
    # The kernels use this process's database server instead of starting their own.
    os.environ["CEIBA_DB_URL"] = index.database_url(Config.from_environment())
    index.connect()

    # A thread a notebook: most of them wait, for the notebooks that make their inputs or for the cluster.
    notebooks = [(chain, units) for chain in chains.values() for units in chain]
    with ThreadPoolExecutor(max(1, len(notebooks))) as pool:
        ends: dict[int, Future] = {}
        for chain, units in notebooks:
            before = [ends[id(earlier)] for earlier in find_earlier(chain, units)]
            ends[id(units)] = pool.submit(run_after, before, units, cluster, started, ended)
        return [result for _, units in notebooks for result in ends[id(units)].result()]


def find_earlier(chain: list[list[Unit]], units: list[Unit]) -> list[list[Unit]]:
    """Notebooks of a chain, before that of ``units``, which make one of its inputs."""
    wanted: set[str] = set()
    for definition in units[0].products:
        for rule in definition.inputs:
            wanted |= made_from(find_source(units[0].area, rule.name))
    earlier = chain[: next(position for position, other in enumerate(chain) if other is units)]
    return [other for other in earlier if wanted & {product.name for product in written_by(other[0].notebook)}]


def run_after(
    before: Iterable[Future],
    units: list[Unit],
    cluster: Cluster,
    started: Callable[[Unit], None],
    ended: Callable[[Result], None],
) -> list[Result]:
    """Run the units of a notebook when those that make its inputs have ended."""
    wait(before)
    return run_units(units, cluster, started, ended)


def run_units(
    units: Sequence[Unit], cluster: Cluster, started: Callable[[Unit], None], ended: Callable[[Result], None]
) -> list[Result]:
    """Run the units of one notebook and place that are not done, all at once on the cluster."""
    results, waiting = [], []
    # asked once for all of them: what came before has ended, so that no more scenes arrive
    unused_sensor = functools.cache(lambda: find_unused_sensor(units[0]))
    for unit in units:
        try:
            snapshot = take_snapshot(unit)
            if snapshot.missing:
                result = end_without_inputs(unit, snapshot, unused_sensor())
            elif snapshot.is_done() or adopt_finished(unit, snapshot):
                # What was left out when it was made is told at every run, until the input is mended or removed.
                result = Result(unit, DONE, reason="; ".join(left_out(snapshot)), ids=snapshot.ids)
            else:
                warn_of_missing(unit.place, unit.tile, unit.input_rules.values(), snapshot.found)
                started(unit)
                waiting.append(cluster.submit(run_unit, unit, snapshot))
                continue
        except (CeibaError, OSError) as error:
            result = Result(unit, FAILED, reason=str(error))
        ended(result)
        results.append(result)
    for result in cluster.gather(waiting):
        ended(result)
        results.append(result)
    return results


def end_without_inputs(unit: Unit, snapshot: Snapshot, unused_sensor: str) -> Result:
    """A unit whose inputs are missing: skipped where its place works with another sensor, else blocked."""
    if unused_sensor:
        log.info("%s is skipped: the place has no %s", unit, unused_sensor)
        return Result(unit, SKIPPED)
    return Result(unit, BLOCKED, reason="; ".join(snapshot.missing))


def run_unit(unit: Unit, snapshot: Snapshot) -> Result:
    """Run one unit in a kernel and write its record; never raises, so that one unit cannot stop the others."""
    from ceiba.execution import execute

    folder = record_folder(snapshot)
    began, started_at = time.monotonic(), provenance.now()
    try:
        execution = execute(unit.notebook, unit.run_parameters(), folder / "notebook.ipynb")
        reason, peak = execution.error, execution.peak_memory_mb
        made = take_snapshot(unit)
        if not reason and not made.is_done():
            reason = "the notebook ran through but its products are not in the cube"
    except Exception as error:  # noqa: BLE001 - whatever goes wrong with one unit must not stop the others
        log.exception("%s", unit)
        made, reason, peak = snapshot, f"{type(error).__name__}: {error}", 0.0
    failures = [] if reason else left_out(made)
    seconds = time.monotonic() - began
    status = FAILED if reason or failures else MADE
    reason = reason or "; ".join(failures)
    folder.mkdir(parents=True, exist_ok=True)
    provenance.write_record(
        folder / "provenance.json",
        {
            "notebook": unit.notebook,
            "area": unit.area.name,
            "place": unit.place.name,
            "tile": unit.tile.name,
            "period": str(unit.period),
            "parameters": unit.run_parameters(),
            "settings": dict(unit.settings),
            "seeds": {name: value for name, value in unit.parameters.items() if "seed" in name},
            "inputs": {name: list(found.ids) for name, found in made.found.items()},
            "products": {name: str(dataset_id) for name, dataset_id in made.ids.items()},
            "status": status,
            "reason": reason,
            "started_at": started_at,
            "seconds": round(seconds, 2),
            "peak_memory_mb": peak,
        },
    )
    log.log(logging.INFO if status == MADE else logging.ERROR, "%s: %s in %.1f s %s", unit, status, seconds, reason)
    return Result(unit, status, seconds, reason, made.ids, peak)


def left_out(snapshot: Snapshot) -> list[str]:
    """What a notebook could not use, from the ``failures`` in the notes of its products."""
    failures: list[str] = []
    for dataset_id in snapshot.ids.values():
        dataset = index.get_dataset(index.connect(), dataset_id)
        failures += dataset.metadata_doc["properties"].get("ceiba:notes", {}).get("failures", []) if dataset else []
    return list(dict.fromkeys(failures))


def record_folder(snapshot: Snapshot) -> Path:
    """Folder of a unit's run record: the executed notebook, its HTML and ``provenance.json``."""
    first = next(iter(snapshot.ids.values()))
    return Config.from_environment().local / "records" / str(first)


def stage_of(result: Result) -> str:
    """Stage of a result."""
    return notebook_stage(result.unit.notebook)
