"""Reactions: votes acknowledged a second, servers killed while 1,000 a second are offered, and the time of a publication."""

import asyncio
import importlib.util
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import h3
import numpy as np

from ceiba.react2eo.reactions.api import NAMES
from ceiba.react2eo.reactions.publication import publish
from ceiba.react2eo.reactions.published import read_units
from ceiba.react2eo.reactions.terms import Keys
from ceiba.react2eo.reactions.votes import Vote, Votes, write
from ceiba.react2eo.subjects import Subject

TESTS = Path(__file__).resolve().parents[1] / "react2eo"
ROUNDS, PER_S, SECONDS = 20, 1000, 20
VOTES, CELLS = 100_000, 5_000


def load_module(name: str):
    """A module of the tests."""
    specification = importlib.util.spec_from_file_location(name, TESTS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


load = load_module("vote_load")
durable = load_module("test_votes_durable")


def measure_rate(folder: Path) -> dict[str, float]:
    """Offer votes to a server of reactions for a while, on SQLite as it is by default (WAL, synchronous=FULL)."""
    server, port = durable.start_server(f"sqlite:///{folder / 'rate.sqlite'}")
    record = load.Record()
    start = time.perf_counter()
    try:
        asyncio.run(load.offer(port, record, per_s=PER_S, seconds=SECONDS))
    finally:
        server.terminate()
        server.wait(20)
    return {
        "offered [1/s]": PER_S,
        "acknowledged [1/s]": record.acknowledged / (time.perf_counter() - start),
        "refused": record.refused,
        "from due to acknowledged, median [ms]": 1e3 * float(np.median(record.latency_s)),
        "from due to acknowledged, 95 % [ms]": 1e3 * float(np.percentile(record.latency_s, 95)),
    }


def measure_kills(folder: Path) -> dict[str, int]:
    """Kill a server at random moments under that load; count acknowledged votes that the database does not hold."""
    acknowledged = lost = 0
    for number in range(ROUNDS):
        url = f"sqlite:///{folder / f'kill_{number}.sqlite'}"
        server, port = durable.start_server(url)
        record = load.Record()
        killer = threading.Timer(random.Random(number).uniform(0.3, 3.0), server.send_signal, [signal.SIGKILL])
        killer.start()
        asyncio.run(load.offer(port, record, per_s=PER_S, seconds=10, seed=number))
        killer.join()
        server.wait(10)
        votes = Votes(url)
        for device, reaction in record.known.items():
            kept = NAMES[votes.find(device, record.subject).reaction]
            lost += kept not in {reaction, record.unknown.get(device, reaction)}
        votes.close()
        acknowledged += record.acknowledged
    return {"servers killed": ROUNDS, "votes acknowledged before": acknowledged, "of these lost": lost}


def measure_publication(folder: Path) -> dict[str, float]:
    """Publish many votes of many cells at once, then again with nothing new."""
    votes = Votes(f"sqlite:///{folder / 'publication.sqlite'}")
    random_numbers = np.random.default_rng(1)
    cells = sorted(h3.grid_disk(h3.latlng_to_cell(20.0, -89.0, 7), 41))[:CELLS]
    given = []
    for number, cell in enumerate(random_numbers.choice(cells, VOTES)):
        subject = Subject("land", "ndvi", "2018", "2020", str(cell))
        given.append(Vote(subject.key, 1 - 2 * (number % 2), device=f"device {number}", subject=subject))
    start = time.perf_counter()
    write(votes.engine, Keys(), given)
    seconds = {"100,000 votes written in one transaction [s]": time.perf_counter() - start}
    for name in ("first publication [s]", "publication without news [s]"):
        start = time.perf_counter()
        publish(votes.engine, roll_up=True)
        seconds[name] = time.perf_counter() - start
    seconds["units"] = len(read_units(votes.engine))
    votes.close()
    return seconds


def main() -> dict:
    """Figures of all three."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "load": measure_rate(Path(folder)),
            "kills": measure_kills(Path(folder)),
            "publication": measure_publication(Path(folder)),
        }
