"""``ceiba run --cluster gateway``: the units run on workers of a real Dask Gateway on loopback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import describe_store  # noqa: E402


@pytest.mark.slow
def test_units_run_on_gateway_workers(local_gateway, own_store, tmp_path, write_archive, add_tiny_area):
    add_tiny_area(own_store, write_archive(tmp_path / "archive"))
    own = {"CEIBA_STORE": str(own_store), "CEIBA_REPORTS": os.environ["CEIBA_REPORTS"]}
    options = {"environment": own}
    environment = os.environ | local_gateway.environment | own | {"DASK_GATEWAY__CLUSTER__OPTIONS": repr(options)}
    done = subprocess.run(
        [sys.executable, "-m", "ceiba.cli", "run", "ard", "--area", "tiny", "--cluster", "gateway", "--jobs", "1"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ids, _ = describe_store(own_store, "tiny")
    assert len(ids["s2_l2a_scenes"]) == 4 and len(ids["clear_observations"]) == 1


def test_a_gateway_without_an_address_is_a_clear_error(store):
    done = subprocess.run(
        [sys.executable, "-m", "ceiba.cli", "run", "ard", "--area", "sample", "--cluster", "gateway"],
        env=os.environ | {"DASK_GATEWAY__ADDRESS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2 and "DASK_GATEWAY__ADDRESS" in done.stderr
