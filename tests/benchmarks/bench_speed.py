"""How work grows with workers, what is serial in it, and how long the plan of two countries takes.

The same units run with 1, 2 and 4 workers on this machine. What the scheduler, the runner and the index do one after the other is
measured apart; with it and the time of a national unit, Amdahl's law says what 1,000 workers would give. No machine of that size
is at hand: those rows are a model, and say so.
"""

import os
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import shapely
from odc.geo.geom import lonlat_bounds

from ceiba import cube as index
from ceiba import store
from ceiba.cluster import open_cluster
from ceiba.estimates import estimate_chains, sum_budget
from ceiba.grids import Period, find_area
from ceiba.path_rows import path_rows_within
from ceiba.plan import choose_notebooks, make_unit, take_snapshot
from ceiba.products import document_bytes, eo3_document, find_definition, period_times
from ceiba.review import PRODUCT as REVIEW
from ceiba.run import plan_chains, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "chain"))
from many_scenes import register  # noqa: E402

UNITS = "01_ard/02_count_clear_observations"
WORKERS = (1, 2, 4)
ON_PAPER = (10, 100, 1000)
YEARS = Period(1996, 2025)
LANDSAT_SCENES, SENTINEL_SCENES = 120_000, 20_000
REPEATS = 20
TASKS = 1000


def main(*, landsat: int = LANDSAT_SCENES, sentinel: int = SENTINEL_SCENES, workers: tuple[int, ...] = WORKERS) -> dict:
    """Figures of planning, of units with several workers, and of the model."""
    with own_store():
        empty, cost = plan_countries()
        planning = {"tiles x years x notebooks planned [units]": cost["units"], "empty cube [s]": empty}
        national_cpu_s = cost["mean CPU of a unit of the mosaics [s]"]
        register(path_rows_of_countries(), landsat)
        register(path_rows_of_countries(), sentinel, product="s2_l2a_scenes")
        planning[f"cube with {landsat:,} Landsat and {sentinel:,} Sentinel-2 footprints [s]"] = plan_countries()[0]
    with own_store():
        with open_cluster(jobs=1) as cluster:
            check(run(plan_chains(choose_notebooks(["ard"])[:1], ["simulated"]), cluster=cluster))
        measured = {number: run_with(number, position) for position, number in enumerate(workers)}
        serial = measure_serial()
    alone = measured[workers[0]]
    for row in measured.values():
        row["speed-up"] = alone["wall [s]"] / row["wall [s]"]
    serial_s = sum(serial.values())
    model = {
        f"{number} workers": speedup(number, serial=serial_s, parallel=national_cpu_s) for number in (*workers, *ON_PAPER)
    }
    return {
        "plan of Mexico and Colombia, 1996 to 2025, all mosaics": planning,
        f"{UNITS}, simulated area": {f"{number} workers": row for number, row in measured.items()},
        "one after the other in each unit [s]": serial | {"sum": serial_s},
        "model, not measured: speed-up by Amdahl's law": {"mean CPU of a national unit [s]": national_cpu_s} | model,
    }


def speedup(workers: int, *, serial: float, parallel: float) -> float:
    """Speed-up by Amdahl's law: how much faster ``workers`` do what takes one ``serial`` plus ``parallel`` [s].

    Amdahl 1967, doi 10.1145/1465482.1465560. What workers cost each other (the coherence of Gunther's law) is not in it: two
    cores do not show it. Units share no data, so that only the scheduler and the index, which are in ``serial``, could.
    """
    return (serial + parallel) / (serial + parallel / workers)


@contextmanager
def own_store() -> Iterator[Path]:
    """An empty store with its own database for the time of a measurement."""
    before = {name: os.environ.get(name) for name in ("CEIBA_STORE", "CEIBA_LOCAL", "CEIBA_DB_URL")}
    with tempfile.TemporaryDirectory(prefix="ceiba-speed-", ignore_cleanup_errors=True) as folder:
        # The embedded database runs as a system user of its own where the benchmark runs as root.
        Path(folder).chmod(0o755)
        os.environ |= {"CEIBA_STORE": f"{folder}/store", "CEIBA_LOCAL": "", "CEIBA_DB_URL": ""}
        try:
            index.connect()
            yield Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                os.environ |= {name: value} if value is not None else {}


def plan_countries() -> tuple[float, Mapping[str, float]]:
    """Wall time [s] of the plan of both countries, and what it says of their units."""
    began = time.perf_counter()
    estimates = estimate_chains(plan_chains(["mosaics"], ["mexico", "colombia"], years=YEARS))
    sum_budget(estimates)
    seconds = time.perf_counter() - began
    costing = [each.cpu_s for units in estimates for each in units if each.cpu_s]
    return seconds, {"units": sum(map(len, estimates)), "mean CPU of a unit of the mosaics [s]": statistics.mean(costing)}


def path_rows_of_countries() -> list:
    """Path-rows that touch a tile of either country."""
    found = {}
    for name in ("mexico", "colombia"):
        place = find_area(name).place("ard")
        tiles = shapely.union_all([tile.extent.to_crs("EPSG:4326").geom for tile in place.tiles])
        box = lonlat_bounds(place.whole.extent, resolution="auto").bbox
        found |= {str(each): each for each in path_rows_within(box) if each.outline.intersects(tiles)}
    return list(found.values())


def run_with(workers: int, position: int) -> dict[str, float]:
    """Wall and CPU time [s] of the same units with so many workers.

    ``position`` enters a threshold that changes nothing here, so that the units have new ids and are work again.
    """
    chains = plan_chains([UNITS], ["simulated"], settings={"min_clear_share": f"{position * 1e-9}"})
    cpu = cpu_seconds()
    with open_cluster(jobs=workers) as cluster:
        # What starting workers and importing libraries takes is paid once, not by each unit.
        cluster.client.submit(os.getpid, pure=False).result()
        began = time.perf_counter()
        results = check(run(chains, cluster=cluster))
        wall = time.perf_counter() - began
    return {"units": len(results), "wall [s]": wall, "CPU, with starting the workers [s]": cpu_seconds() - cpu}


def check(results: list) -> list:
    """The results, where all units were made; raises ``RuntimeError`` with the first reason else."""
    bad = [result for result in results if result.status != "made"]
    if bad:
        raise RuntimeError(f"{bad[0].unit} ended as {bad[0].status}: {bad[0].reason}")
    return results


def cpu_seconds() -> float:
    """CPU time [s] of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure_serial() -> dict[str, float]:
    """Seconds of each unit that no other unit can use: the scheduler's, the runner's look-up and the write to the index."""
    unit = make_unit(UNITS, {"area": "simulated"})
    with open_cluster(jobs=1) as cluster:
        client = cluster.client
        client.submit(os.getpid, pure=False).result()
        began = time.perf_counter()
        client.gather([client.submit(int, number, pure=False) for number in range(TASKS)])
        scheduler = (time.perf_counter() - began) / TASKS
    return {
        "scheduler": scheduler,
        "look-up of inputs": median_time(lambda: take_snapshot(unit)),
        "store and index": median_time(lambda: write_small(unit)),
    }


def median_time(work: Callable[[], object]) -> float:
    """Median wall time [s] of a call."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def write_small(unit) -> None:
    """Write and index a dataset of a few bytes: what the store and the index add to a unit's own data."""
    dataset_id = uuid.uuid4()

    def write(folder: Path) -> Mapping:
        (folder / "review.json").write_bytes(document_bytes({"made_by": "bench_speed"}))
        return eo3_document(
            dataset_id=dataset_id,
            definition=find_definition(REVIEW),
            region_code="bench/speed",
            period=period_times(unit.period),
            geobox=unit.tile.geobox(1000),
            measurements={},
            accessories={"review": "review.json"},
            lineage={},
            properties={},
        )

    store.save_dataset(dataset_id, f"products/{REVIEW}/bench", write)
