"""The model behind the table of speed."""

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "bench_speed.py"


@pytest.fixture(scope="module")
def bench():
    specification = importlib.util.spec_from_file_location("bench_speed", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["bench_speed"] = module
    specification.loader.exec_module(module)
    return module


def test_amdahls_law(bench):
    # 95 % parallel: 20 at most, 19.6 with a thousand workers; half parallel: 1.33 with two.
    assert bench.speedup(1000, serial=5, parallel=95) == pytest.approx(19.63, abs=0.005)
    assert bench.speedup(2, serial=1, parallel=1) == pytest.approx(4 / 3)
    assert bench.speedup(1, serial=3, parallel=9) == 1


def test_path_rows_of_both_countries_are_counted(bench):
    # About 4,000,000 km2 of tiles in scenes of 172 by 161 km, with those that reach in from outside.
    assert 150 < len(bench.path_rows_of_countries()) < 300
