"""The embedded PostgreSQL: shared by processes, and up again after being killed."""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ceiba import cube
from ceiba.config import Config
from ceiba.errors import StoreError

CONNECT = "from ceiba import cube; print(len(list(cube.connect().index.products.get_all())))"


def connect_elsewhere(store) -> int:
    """Number of products that another process sees."""
    environment = os.environ | {"CEIBA_STORE": str(store), "CEIBA_DB_URL": ""}
    done = subprocess.run([sys.executable, "-c", CONNECT], env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


def postmaster(store) -> psutil.Process:
    return psutil.Process(int((store / "database" / "postmaster.pid").read_text().split()[0]))


def test_killed_servers_and_stale_files_recover_by_themselves(bare_store):
    products = connect_elsewhere(bare_store)
    assert products > 5
    holder = subprocess.Popen(
        [sys.executable, "-c", CONNECT + "; import time; time.sleep(600)"],
        env=os.environ | {"CEIBA_STORE": str(bare_store)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert int(holder.stdout.readline()) == products
    # a second process shares the server
    assert connect_elsewhere(bare_store) == products
    # the client and the server are both killed, the files of both stay behind
    server = postmaster(bare_store)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    server.kill()
    server.wait(30)
    assert connect_elsewhere(bare_store) == products
    # the process number of a server that is gone belongs to somebody else now, and the list of clients is torn
    (bare_store / "database" / "postmaster.pid").write_text(f"{os.getpid()}\n{bare_store}/database\n")
    (bare_store / "database" / ".handle_pids.json").write_text("[12")
    assert connect_elsewhere(bare_store) == products


def test_the_server_stops_with_its_last_user_even_after_a_client_was_killed(bare_store):
    connect_elsewhere(bare_store)
    clients = bare_store / "database" / ".handle_pids.json"
    clients.write_text(json.dumps([2**22 - 3]))
    connect_elsewhere(bare_store)
    time.sleep(0.5)
    assert not (bare_store / "database" / "postmaster.pid").exists()


def test_a_set_up_that_was_killed_half_way_is_begun_anew(bare_store):
    (bare_store / "database" / "global").mkdir(parents=True)
    (bare_store / "database" / "PG_VERSION").write_text("18\n")
    assert connect_elsewhere(bare_store) > 5


def test_another_server_is_taken_by_its_address():
    config = Config(store="/nowhere", local="/nowhere", db_url="postgresql://someone@db.example/ceiba")
    assert cube.database_url(config) == "postgresql+psycopg2://someone@db.example/ceiba"


def test_a_store_inside_a_repository_is_refused(monkeypatch, tmp_path):
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("CEIBA_STORE", str(tmp_path / "store"))
    with pytest.raises(StoreError, match="git repository"):
        Config.from_environment()


def test_other_addresses_of_a_store_are_refused(monkeypatch):
    monkeypatch.setenv("CEIBA_STORE", "ftp://somewhere/x")
    with pytest.raises(StoreError, match="s3://"):
        Config.from_environment()
