"""No acknowledged vote is lost: servers killed under load, several processes on one database, migrations on each."""

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from ceiba.config import Config
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.api import NAMES
from ceiba.react2eo.reactions.publication import publish
from ceiba.react2eo.reactions.published import read_units
from ceiba.react2eo.reactions.votes import LIKE, Vote, Votes
from ceiba.react2eo.subjects import Subject

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER))
from vote_load import Record, offer  # noqa: E402

ROUNDS = int(os.environ.get("CEIBA_KILL_ROUNDS", "2"))
SUBJECT = Subject("land", "ndvi", "2018", "2020", "8745ae2c3ffffff")


@pytest.fixture(params=["sqlite", "embedded", "debian"])
def database(request, tmp_path) -> str:
    """Address of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'reactions.sqlite'}"
    if request.param == "debian":
        return request.getfixturevalue("debian_postgresql").replace("postgresql://", "postgresql+psycopg2://")
    request.getfixturevalue("gallery")
    from ceiba.cube import database_url

    server = sa.make_url(database_url(Config.from_environment()))
    name = f"reactions_{tmp_path.name.replace('-', '_')}".lower()[:60]
    connection = psycopg2.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f'create database "{name}"')
    connection.close()
    return server.set(database=name).render_as_string(hide_password=False)


def test_a_database_of_each_kind_goes_up_and_down_and_serves_several_processes(database, request):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    engine = store.open_database(database)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), store.tables) == []
    store.migrate(engine, revision="base")
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
    store.migrate(engine)
    store.migrate(engine)  # twice does nothing
    votes = Votes(database)
    for device in range(5):
        votes.put(Vote(SUBJECT.key, LIKE, device=f"device {device}", subject=SUBJECT, request=f"request {device}"))
        votes.put(Vote(SUBJECT.key, LIKE, device=f"device {device}", subject=SUBJECT, request=f"request {device}"))
    votes.put(Vote(SUBJECT.key, 0, device="device 9"))
    assert publish(votes.engine, roll_up=True) == 1
    assert [figures.likes for figures in read_units(votes.engine).values()] == [5]
    store.forget(votes.engine)
    votes.close()
    store.migrate(engine, revision="base")
    store.migrate(engine)
    engine.dispose()
    if "embedded" not in request.node.name:  # one PostgreSQL is enough
        check_several_processes_at_once(database)


WRITER = """
import sys
from ceiba.react2eo.subjects import Subject
from ceiba.react2eo.reactions.votes import Vote, Votes
votes, subject = Votes(sys.argv[1]), Subject("land", "ndvi", "2018", "2020", "8745ae2c3ffffff")
waiting = [
    votes.offer(Vote(subject.key, 1 - 2 * (n % 2), device=f"device {n * 7 % 60}", subject=subject, request=f"request {n % 400}"))
    for n in (range(800) if sys.argv[2] == "up" else reversed(range(800)))
]
[each.result(60) for each in waiting]
votes.close()
"""


def check_several_processes_at_once(database):
    """Two processes write the same votes in opposite orders."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, database, way]) for way in ("up", "down")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    engine = store.open_database(database)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(store.votes)) == 60
        # A request has an id of its device and number: 400 numbers, each with one device.
        assert connection.scalar(sa.select(sa.func.count()).select_from(store.requests)) == len(
            {(n * 7 % 60, n % 400) for n in range(800)}
        )
        assert connection.scalar(sa.select(sa.func.count()).select_from(store.keys)) == 1
    engine.dispose()


def test_votes_sent_at_once_are_written_together_and_a_refused_database_is_told(tmp_path):
    votes = Votes(f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    waiting = [votes.offer(Vote(SUBJECT.key, LIKE, device=f"device {number}", subject=SUBJECT)) for number in range(3000)]
    assert {future.result(30).reaction for future in waiting} == {LIKE}
    assert votes.find("device 2999", SUBJECT.key).reaction == LIKE
    votes.close()
    from ceiba.errors import StoreError

    with pytest.raises(StoreError, match="cannot be opened"):
        Votes("postgresql+psycopg2://nobody@127.0.0.1:1/none").put(Vote(SUBJECT.key, LIKE, device="x", subject=SUBJECT))


@pytest.mark.parametrize("round", range(ROUNDS))
def test_a_killed_server_loses_no_acknowledged_vote(request, tmp_path, round):
    """1,000 votes a second are offered to a real server, which is killed at a random moment; then the database is read.

    The server of reactions alone starts fast; ``CEIBA_KILL_SERVER=whole`` takes the whole one on the gallery.
    """
    chance = random.Random(round)
    url = f"sqlite:///{tmp_path / 'reactions.sqlite'}"
    whole = os.environ.get("CEIBA_KILL_SERVER") == "whole"
    server, port = start_server(url, request.getfixturevalue("gallery_environment") if whole else None)
    record = Record()
    killer = threading.Thread(target=kill_later, args=(server, record, chance.uniform(0.0, 1.2)))
    killer.start()
    asyncio.run(offer(port, record, per_s=1000, seconds=60, seed=round))
    killer.join()
    assert server.wait(10) == -signal.SIGKILL
    votes = Votes(url)
    lost = {}
    for device, reaction in record.known.items():
        kept = NAMES[votes.find(device, record.subject).reaction]
        # A vote that was sent later and not answered may have been written or not.
        if kept not in {reaction, record.unknown.get(device, reaction)}:
            lost[device] = (reaction, kept)
    votes.close()
    told = f"{record.offered} offered, {record.acknowledged} acknowledged, {record.refused} refused, {len(lost)} lost"
    print(told)
    assert not lost and record.acknowledged >= 100 and not record.refused, told


def kill_later(server: subprocess.Popen, record: Record, after_s: float) -> None:
    """Kill a server some time after it has acknowledged its first hundred votes."""
    while record.acknowledged < 100 and server.poll() is None:
        time.sleep(0.01)
    time.sleep(after_s)
    server.kill()


def start_server(url: str, store_settings: dict[str, str] | None = None) -> tuple[subprocess.Popen, int]:
    """A server on a free port, ready; the whole one where the settings of a store are given."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if store_settings is None:
        server = subprocess.Popen([sys.executable, str(FOLDER / "vote_server.py"), str(port), url])
    else:
        limits = {"CEIBA_REACTIONS_URL": url, "CEIBA_LIMITS": "reactions=100000000 device=100000000"}
        command = [sys.executable, "-m", "ceiba.cli", "serve", "--port", str(port), "--no-dashboards"]
        server = subprocess.Popen(command, env=os.environ | store_settings | limits)
    for _ in range(1800):
        try:
            # The list of products takes the snapshot that votes need.
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{'api/products' if store_settings else 'health'}", timeout=60):
                return server, port
        except OSError:
            assert server.poll() is None, "the server ended"
            time.sleep(0.1)
    server.kill()
    pytest.fail("the server did not start")
