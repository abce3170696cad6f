"""A real Dask Gateway on loopback: a cluster is made, computes and is gone; nothing is left behind."""

import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import dask
import psutil
import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "environments" / "local" / "start_gateway.py"


def listens(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.slow
def test_cluster_computes_and_is_shut_down(local_gateway):
    from dask_gateway import Gateway

    options = {"gateway.cluster.options": {"environment": {"CEIBA_STORE": "a store of this cluster"}}}
    with dask.config.set(local_gateway.settings | options), Gateway() as gateway:
        with gateway.new_cluster(shutdown_on_close=True) as cluster:
            cluster.scale(1)
            with cluster.get_client() as client:
                client.wait_for_workers(1, timeout=120)
                assert client.submit(lambda a, b: a + b, 1, 1).result(timeout=60) == 2
                # The worker is a process of its own, with the settings of this one.
                assert client.submit(os.getpid).result(timeout=60) != os.getpid()
                samples = client.submit(os.getenv, "CEIBA_SAMPLES").result(timeout=60)
                assert samples == os.environ.get("CEIBA_SAMPLES")
                store = client.submit(os.getenv, "CEIBA_STORE").result(timeout=60)
                assert store == "a store of this cluster"
        assert gateway.list_clusters() == []


def test_a_client_without_the_password_is_refused(local_gateway):
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{local_gateway.address}/api/v1/clusters/", timeout=10)


def test_a_stranger_with_a_wrong_password_is_refused(local_gateway):
    from dask_gateway import BasicAuth, Gateway

    with Gateway(local_gateway.address, auth=BasicAuth(password="wrong")) as gateway:
        with pytest.raises(Exception, match="[Uu]nauthorized|Authentication"):
            gateway.list_clusters()


@pytest.mark.slow
def test_the_script_tells_its_settings_and_leaves_nothing_behind():
    with subprocess.Popen([sys.executable, SCRIPT], stdout=subprocess.PIPE, text=True) as process:
        lines = [process.stdout.readline().strip() for _ in range(5)]
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.communicate(timeout=60)
    address = lines[1].removeprefix("export DASK_GATEWAY__ADDRESS=")
    assert lines[-1] == "ceiba run --cluster gateway"
    assert address.startswith("http://127.0.0.1:")
    assert not listens(address)
    assert len(family) >= 2, "server and proxy should have been running"
    assert not [each for each in family if each.is_running()]
