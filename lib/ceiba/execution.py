"""Running one notebook in a kernel of its own, by papermill, with its time and peak memory."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from nbconvert import HTMLExporter
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError

from ceiba.notebooks import notebook_path
from ceiba.warm_kernels import WarmKernelManager, kernel_pid

START_TIMEOUT_S = 300


class MeasuringEngine(NBClientEngine):
    """papermill's own engine, which also notes the peak memory of the kernel."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man,
        kernel_name,
        log_output=False,
        stdout_file=None,
        stderr_file=None,
        start_timeout=START_TIMEOUT_S,
        execution_timeout=None,
        **kwargs,
    ):
        """Execute the cells; after each the kernel's peak memory is written to the notebook's metadata."""
        peak = {"mb": 0.0}

        def note_memory(cell, cell_index, **_):
            peak["mb"] = max(peak["mb"], _peak_memory_mb(client.km))

        client = PapermillNotebookClient(
            nb_man,
            timeout=execution_timeout,
            startup_timeout=start_timeout,
            kernel_name=kernel_name,
            log_output=False,
            extra_arguments=["--log-level=50"],
            kernel_manager_class=WarmKernelManager,
            on_cell_complete=note_memory,
            resources={"metadata": {"path": kwargs.get("cwd") or "."}},
        )
        try:
            return client.execute()
        finally:
            nb_man.nb.metadata["ceiba_peak_memory_mb"] = round(peak["mb"], 1)


papermill_engines.register("ceiba", MeasuringEngine)


def _peak_memory_mb(kernel_manager) -> float:
    """Peak resident memory of a kernel [MB], 0 where the system does not tell."""
    process = kernel_pid(kernel_manager)
    status = Path(f"/proc/{process}/status")
    if not process or not status.exists():
        return 0.0
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    return int(peak[1]) / 1024 if peak else 0.0


@dataclass(frozen=True)
class Execution:
    """How a notebook ended: ``error`` is empty where it ran through."""

    error: str
    peak_memory_mb: float


def execute(notebook: str, parameters: Mapping[str, object], output: Path) -> Execution:
    """Run a notebook with parameters and keep it, with its outputs, at ``output`` (``.ipynb``) and beside it as HTML.

    A notebook that fails is kept too, up to the cell that failed.
    """
    path = notebook_path(notebook)
    output.parent.mkdir(parents=True, exist_ok=True)
    error = ""
    try:
        papermill.execute_notebook(
            str(path),
            str(output),
            parameters=dict(parameters),
            engine_name="ceiba",
            kernel_name="python3",
            cwd=str(path.parent),
            progress_bar=False,
            log_output=False,
            start_timeout=START_TIMEOUT_S,
        )
    except PapermillExecutionError as failure:
        error = f"{failure.ename}: {failure.evalue}"
    executed = nbformat.read(output, as_version=4)
    output.with_suffix(".html").write_text(to_html(executed, title=f"{notebook} {parameters.get('tile', '')}"), "utf-8")
    return Execution(error, float(executed.metadata.get("ceiba_peak_memory_mb", 0)))


def to_html(notebook: nbformat.NotebookNode, *, title: str) -> str:
    """A notebook as one HTML page that asks nothing of other hosts."""
    exporter = HTMLExporter(mathjax_url="", require_js_url="", jquery_url="", mermaid_js_url="", widget_renderer_url="")
    notebook.metadata["title"] = title
    return exporter.from_notebook_node(notebook)[0]
