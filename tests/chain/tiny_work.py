"""What the ARD notebooks do, without kernels: quick enough to be killed a hundred times."""

import hashlib
import io
from pathlib import Path

import ceiba
from ceiba import ard
from ceiba import cube as index
from ceiba.errors import InputError
from ceiba.plan import adopt_finished, make_unit, take_snapshot
from ceiba.products import load_definitions

CLEAR = ["vegetation", "not_vegetated", "water", "unclassified"]
BOUNDS = {
    "sources": ["scene_archive"], "max_cloud_cover": 80.0, "max_gb": 20.0, "max_processing_units": 0.0, "mode": "auto",
    "connections": 4,
}  # fmt: skip
INDEX = ("01_ard/01_fetch_scenes", {"tile": "", "first_year": 0, "last_year": 0} | BOUNDS)
COUNT = (
    "01_ard/02_count_clear_observations",
    {"tile": "", "year": 0, "clear_classes": CLEAR, "min_clear_share": 0.0, "misregistered": "shift", "grow_cloud_m": 0.0},
)


def is_done(notebook: str, parameters: dict) -> bool:
    """The runner's own question before it starts a unit."""
    unit = make_unit(notebook, parameters)
    snapshot = take_snapshot(unit)
    return not snapshot.missing and (snapshot.is_done() or adopt_finished(unit, snapshot))


def make_ard(area: str) -> list[str]:
    """Index the scenes of an area and count its clear observations; returns the scenes that were refused."""
    failures: list[str] = []
    notebook, parameters = INDEX
    if not is_done(notebook, parameters | {"area": area}):
        task = ceiba.begin(notebook, area=area, **parameters)
        inventory, failures = ard.index_archive(task)
        task.write({"scene_inventory": inventory}, notes={"failures": failures})
    notebook, parameters = COUNT
    if not is_done(notebook, parameters | {"area": area}):
        task = ceiba.begin(notebook, area=area, **parameters)
        counts, scenes = ard.count_clear(task, clear_classes=CLEAR, min_clear_share=0.0, resolution_m=10)
        table = io.BytesIO()
        scenes.to_parquet(table, index=False)
        task.write({"clear_observations": (counts, {"scenes.parquet": table.getvalue()})})
    return failures


def describe_store(store: Path, area: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Ids in the cube by product, and the SHA-256 of every file of the store, by path."""
    connection = index.connect()
    ids = {}
    for name in load_definitions():
        found = [str(dataset.id) for dataset in index.find_datasets(connection, name)]
        if found:
            ids[name] = sorted(found)
    files = {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in ("products", "scenes")
        for path in sorted((store / folder).rglob("*"))
        if path.is_file()
    }
    if not ids:
        raise InputError(f"nothing of area {area} is in the cube")
    return ids, files
