"""Kernels forked from a warm process: as fresh as new ones, and gone with the run that asked for them."""

import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

from ceiba.warm_kernels import WarmKernelManager, warm_kernels

TELL = """
import json, os, sys
print(json.dumps({"pid": os.getpid(), "folder": os.getcwd(), "asked": os.environ.get("CEIBA_ASKED"),
    "warm": "datacube" in sys.modules, "leftover": globals().get("leftover")}))
leftover = 1
"""


def run_cells(folder, *sources: str) -> list[str]:
    """Printed text of cells run in one kernel."""
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=WarmKernelManager,
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in notebook.cells]


@pytest.mark.slow
def test_a_forked_kernel_is_fresh_and_takes_over_folder_and_environment(tmp_path, monkeypatch):
    with warm_kernels():
        told = []
        for asked in ("one", "two"):
            monkeypatch.setenv("CEIBA_ASKED", asked)
            told.append(json.loads(run_cells(tmp_path, TELL)[0]))
        figure = new_notebook(cells=[new_code_cell("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")])
        NotebookClient(figure, kernel_name="python3", kernel_manager_class=WarmKernelManager).execute()
    assert [entry["asked"] for entry in told] == ["one", "two"]
    assert all(entry["warm"] and entry["leftover"] is None and entry["folder"] == str(tmp_path) for entry in told)
    assert told[0]["pid"] != told[1]["pid"] and not any(psutil.pid_exists(entry["pid"]) for entry in told)
    assert "image/png" in nbformat.from_dict(figure).cells[0].outputs[-1].data
    # Without the warm process kernels start in the ordinary way.
    assert json.loads(run_cells(tmp_path, TELL)[0])["warm"] is False


@pytest.mark.slow
def test_nothing_outlives_a_run_that_was_killed():
    program = """
import sys, threading, time
from ceiba.warm_kernels import WarmKernelManager, warm_kernels
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
with warm_kernels():
    notebook = new_notebook(cells=[new_code_cell("import time; time.sleep(600)")])
    client = NotebookClient(notebook, kernel_name="python3", kernel_manager_class=WarmKernelManager)
    threading.Thread(target=client.execute, daemon=True).start()
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
    runner = psutil.Process(process.pid)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        children = runner.children(recursive=True)
        # the forking process, the launcher, and the kernel
        if len(children) >= 3:
            break
        time.sleep(0.5)
    assert len(children) >= 3
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
