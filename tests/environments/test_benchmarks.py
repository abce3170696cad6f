"""The script behind `make bench` keeps what it measured, and one failing stage costs the others nothing."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "run_benchmarks.py"


@pytest.fixture
def runner(tmp_path, monkeypatch):
    specification = importlib.util.spec_from_file_location("run_benchmarks", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "PUBLISHED", tmp_path / "published")
    (tmp_path / "bench_broken.py").write_text("def main():\n    raise ValueError('no data')\n")
    (tmp_path / "bench_mosaics.py").write_text(
        "import numpy as np\n\ndef main():\n"
        "    return {'accuracy [1]': {'blue': np.float32(0.5), 'red': 1e-5}, 'ratio [1]': 3}\n"
    )
    return module


def test_figures_are_written_and_the_failure_is_told(runner, tmp_path, capsys):
    assert runner.main([]) == 1
    assert "failed: broken" in capsys.readouterr().err
    table = (tmp_path / "published" / "mosaics.md").read_text()
    assert "| accuracy [1], blue | 0.5 |" in table
    assert "| accuracy [1], red | 1e-05 |" in table
    figures = json.loads((tmp_path / "published" / "mosaics.json").read_text())
    assert figures == {"accuracy [1], blue": 0.5, "accuracy [1], red": 1e-5, "ratio [1]": 3}
    assert not (tmp_path / "published" / "broken.md").exists()


def test_one_stage_by_name(runner, tmp_path):
    assert runner.main(["mosaics"]) == 0
    with pytest.raises(SystemExit):
        runner.main(["mosaic"])


def test_arrays_stay_readable(runner):
    assert dict(runner.flatten({"n": np.int64(2)})) == {"n": 2}
    assert runner.show("a|b") == "a\\|b"
