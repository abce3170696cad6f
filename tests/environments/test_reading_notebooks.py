"""Notebooks that no run of `ceiba` covers: the first that a newcomer opens, and the proof of a deployment."""

from pathlib import Path

import papermill
import pytest

ROOT = Path(__file__).resolve().parents[2]
START = ROOT / "notebooks" / "00_start" / "01_explore_products.ipynb"
HEALTH = ROOT / "environments" / "health" / "01_check_deployment.ipynb"


@pytest.fixture
def execute(store, tmp_path):
    """A function that runs a notebook on the session's store and returns what it showed."""

    def run(path: Path, **parameters):
        done = papermill.execute_notebook(
            path, tmp_path / path.name, parameters=parameters, progress_bar=False, cwd=tmp_path
        )
        return "\n".join(
            str(output.get("data", {}).get("text/plain", ""))
            for cell in done.cells
            if cell.cell_type == "code"
            for output in cell.outputs
        )

    return run


@pytest.mark.slow
def test_first_notebook_runs_before_anything_was_made(execute):
    shown = execute(START, area="simulated", product="s2_l2a_scenes")
    for word in ("mexico", "colombia", "s2_l2a_scenes", "datasets, all areas"):
        assert word in shown


@pytest.mark.slow
def test_deployment_of_this_machine_is_healthy(execute, store):
    execute(HEALTH, area="simulated")
    assert not list(store.glob("health-check*"))


@pytest.mark.slow
def test_deployment_with_a_gateway_is_healthy(execute, local_gateway, monkeypatch):
    for name, value in local_gateway.environment.items():
        monkeypatch.setenv(name, value)
    execute(HEALTH, cluster="gateway")


@pytest.mark.slow
def test_unhealthy_deployment_is_told(execute, monkeypatch):
    monkeypatch.setenv("CEIBA_DB_URL", "postgresql://nobody@127.0.0.1:9/none")
    with pytest.raises(papermill.PapermillExecutionError, match="refused|OperationalError"):
        execute(HEALTH)
