"""The report of a run: one page that a director can read."""

from collections.abc import Sequence
from pathlib import Path


def write_report(folder: Path, results: Sequence) -> Path:
    """Write ``index.html`` into ``folder``; returns its path."""
    page = folder / "index.html"
    page.write_text("<title>Ceiba</title>", "utf-8")
    return page
