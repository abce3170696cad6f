"""Work that is killed at any moment: a plain rerun gives the same products, with nothing half-written and nothing twice.

``CEIBA_KILLS`` sets how many random moments are tried (100 for the full proof).
"""

import os
import random
import signal
import sys
import time
import traceback
import uuid
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from ceiba import cube as index
from ceiba import store as storage
from ceiba.config import Config

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import describe_store, make_ard  # noqa: E402

KILLS = int(os.environ.get("CEIBA_KILLS", "12"))
DATES = ("2019-01-10", "2019-05-10")


def in_child(work, *, kill_after_s: float | None = None) -> int:
    """Run ``work`` in a forked process, killed after some seconds where asked; its exit status, or minus the signal."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Trials:
    """Fresh stores of one server: a database copied from a template and an empty folder each."""

    def __init__(self, base: Path, server: str, archive: Path, add_area):
        self.base, self.server, self.archive, self.add_area = base, server, archive, add_area

    def fresh(self, monkeypatch) -> Path:
        """Set the environment to a new, empty store and return its folder."""
        name = f"trial_{uuid.uuid4().hex[:12]}"
        with closing(psycopg2.connect(self.server.replace("+psycopg2", ""))) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"create database {name} template ceiba_template")
        folder = self.base / name / "store"
        self.add_area(folder, self.archive)
        monkeypatch.setenv("CEIBA_STORE", str(folder))
        monkeypatch.setenv("CEIBA_LOCAL", "")
        monkeypatch.setenv("CEIBA_DB_URL", self.server.replace("/postgres?", f"/{name}?"))
        return folder


@pytest.fixture
def trials(store, write_archive, add_tiny_area, tmp_path, monkeypatch) -> Trials:
    """A server with a template of an initialised cube."""
    server = index.database_url(Config.from_environment())
    with closing(psycopg2.connect(server.replace("+psycopg2", ""))) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute("select 1 from pg_database where datname = 'ceiba_template'")
        exists = cursor.fetchone()
        if not exists:
            cursor.execute("create database ceiba_template")
    made = Trials(tmp_path, server, write_archive(tmp_path / "archive", dates=DATES), add_tiny_area)
    if not exists:
        monkeypatch.setenv("CEIBA_DB_URL", server.replace("/postgres?", "/ceiba_template?"))
        assert in_child(index.connect) == 0
    return made


def boundaries_passed(work, path: Path) -> int:
    """How many write boundaries the work passes."""

    def counted():
        storage.boundary = lambda name: path.open("a").write(f"{name}\n")
        work()

    assert in_child(counted) == 0
    return len(path.read_text().splitlines())


def rerun_and_describe(folder: Path, path: Path):
    """A plain rerun in a new process, then what the store holds."""

    def work():
        storage.sweep()
        make_ard("tiny")
        path.write_text(repr(describe_store(folder, "tiny")))

    assert in_child(work) == 0
    assert not list(folder.rglob("*.partial")), "a half-written folder is left"
    return eval(path.read_text())  # noqa: S307 - our own repr of dicts and strings


def test_killed_at_every_write_boundary(trials, tmp_path, monkeypatch):
    folder = trials.fresh(monkeypatch)
    count = boundaries_passed(lambda: make_ard("tiny"), tmp_path / "boundaries.txt")
    assert count > 20
    expected = rerun_and_describe(folder, tmp_path / "expected.txt")
    assert len(expected[0]["s2_l2a_scenes"]) == len(DATES)
    for number in range(1, count + 1):
        folder = trials.fresh(monkeypatch)
        passed = [0]

        def boundary(name, number=number, passed=passed):
            passed[0] += 1
            if passed[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

        def work(boundary=boundary):
            storage.boundary = boundary
            make_ard("tiny")

        assert in_child(work) == -signal.SIGKILL
        assert rerun_and_describe(folder, tmp_path / "found.txt") == expected, f"boundary {number}"


def test_killed_at_random_moments(trials, tmp_path, monkeypatch):
    folder = trials.fresh(monkeypatch)
    began = time.monotonic()
    assert in_child(lambda: make_ard("tiny")) == 0
    duration_s = time.monotonic() - began
    expected = rerun_and_describe(folder, tmp_path / "expected.txt")
    moments = random.Random(20261122)
    killed = 0
    for _ in range(KILLS):
        folder = trials.fresh(monkeypatch)
        status = in_child(lambda: make_ard("tiny"), kill_after_s=moments.uniform(0, duration_s))
        killed += status == -signal.SIGKILL
        assert rerun_and_describe(folder, tmp_path / "found.txt") == expected
    assert killed >= KILLS // 2, f"only {killed} of {KILLS} runs were still at work when killed"
