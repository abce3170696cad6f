"""From archives into the cube: planned scenes are fetched, what fails is named, and a second run continues."""

import logging
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pandas as pd
from tqdm.auto import tqdm

from ceiba import cube as index
from ceiba.ard.downloads import download
from ceiba.ard.fetch_plans import (
    BY_REFERENCE,
    BYTES_PER_GB,
    DOWNLOAD,
    INDEX,
    INDEXED,
    LEFT_OUT,
    NOT_ARRIVED,
    NOTHING,
    PROCESS,
    REFUSED,
    Step,
    list_scenes,
    plan_fetch,
)
from ceiba.ard.offers import COPY, Offer
from ceiba.ard.references import (
    Gathered,
    check_dark_pixels,
    check_grids,
    read_copies,
    read_headers,
    save_offer,
)
from ceiba.ard.scenes import index_scene
from ceiba.config import Config
from ceiba.errors import InputError, SceneError, TransferError
from ceiba.tasks import Task

log = logging.getLogger(__name__)


def fetch_scenes(
    task: Task,
    steps: Sequence[Step],
    *,
    mode: str = "auto",
    max_gb: float = 0.0,
    max_processing_units: float = 0.0,
    connections: int = 4,
) -> tuple[pd.DataFrame, list[str]]:
    """Bring planned scenes into the cube: what fails is named, the rest goes on, and a second call continues where this one ended.

    Parameters
    ----------
    steps, mode, max_gb, max_processing_units
        From, and as given to, :func:`~ceiba.ard.fetch_plans.plan_fetch`. A file that turns out to be no COG is
        downloaded where ``mode`` is "auto" and what is left of ``max_gb`` allows it.
    connections
        Scenes that are asked for at a time.

    Returns
    -------
    inventory : pd.DataFrame
        One row a scene: ``source``, ``scene``, ``time``, ``sensor``, ``platform``, ``action``, ``status``, ``reason``,
        ``cloud_cover`` [%] as the archive tells it, ``clear_share`` [1] from the pixels of a local scene and else from the cloud
        cover, ``megabytes`` of its files as the archive tells it, ``dataset_id``.
    failures : list of str
        One sentence for each scene that is refused for good, naming its file.

    Raises
    ------
    InputError
        Where there is something to fetch and no scene at all is indexed in the end.
    """
    ended: list[Step] = [step for step in steps if step.action == NOTHING]
    units_left = max_processing_units
    for step in tqdm([step for step in steps if step.action in (INDEX, PROCESS)], desc="scenes", unit="scene", mininterval=1):
        if step.action == PROCESS:
            step.scene.archive.units_left = units_left
        ended.append(_index_whole(task, step))
        units_left = step.scene.archive.units_left if step.action == PROCESS else units_left
    ended += _fetch_offers(task, [step for step in steps if step.offer and step.action != NOTHING], mode, max_gb, connections)
    inventory = pd.DataFrame([step.row() for step in sorted(ended, key=_order)])
    failures = [step.reason for step in ended if step.status == REFUSED]
    if not (inventory["status"] == INDEXED).any():
        ended.sort(key=lambda step: (REFUSED, NOT_ARRIVED, LEFT_OUT).index(step.status))
        reasons = [step.reason for step in ended]
        raise InputError(f"no scene for {task.unit} can be used: {reasons[0]} ({len(reasons)} of {len(ended)} scenes)")
    return inventory, failures


def _order(step: Step) -> tuple:
    row = step.row()
    return row["time"], row["scene"], row["source"], row["reason"]


def _index_whole(task: Task, step: Step) -> Step:
    try:
        row = index_scene(task, step.scene)
    except SceneError as error:
        log.error("%s", error)
        return replace(step, status=NOT_ARRIVED if isinstance(error, TransferError) else REFUSED, reason=str(error))
    if step.action == PROCESS:
        shutil.rmtree(step.scene.staging, ignore_errors=True)
    return replace(step, status=INDEXED, dataset_id=UUID(row["dataset_id"]), clear_share=row["clear_share"])


class _Budget:
    """What is left of a bound for files found to need a download only when their headers were read; one thread asks at a time."""

    def __init__(self, steps: Iterable[Step], max_gb: float):
        planned = sum(step.bytes_to_fetch for step in steps if step.action == DOWNLOAD and step.bytes_to_fetch > 0)
        self.left = max_gb * BYTES_PER_GB - planned if max_gb else math.inf

    def take(self, count: float) -> bool:
        """Whether ``count`` bytes fit; they are taken off then."""
        if math.isinf(self.left):  # no bound; files of unknown size are fetched all the same
            return True
        fits = count <= self.left
        self.left -= count if fits else 0
        return fits


def _fetch_offers(task: Task, steps: list[Step], mode: str, max_gb: float, connections: int) -> Iterator[Step]:
    """Headers and files come over several connections; documents are written here, one after the other."""
    budget = _Budget(steps, max_gb)
    total = sum(step.bytes_to_fetch for step in steps if step.bytes_to_fetch > 0)
    with (
        ThreadPoolExecutor(max(1, connections)) as pool,
        tqdm(total=len(steps), desc="scenes", unit="scene", mininterval=1, disable=not steps) as scenes,
        tqdm(total=total or None, desc="bytes", unit="B", unit_scale=True, mininterval=1, disable=not total) as arrived,
    ):
        waiting = [(step, pool.submit(_gather, step, arrived.update)) for step in steps]
        try:
            for step, future in waiting:
                yield _end_offer(task, step, future, mode, budget, arrived.update)
                scenes.update()
        finally:
            for _, future in waiting:
                future.cancel()


def _end_offer(
    task: Task, step: Step, future: Future, mode: str, budget: _Budget, arrived: Callable[[int], object]
) -> Step:
    try:
        gathered = _copy_after_all(step, future.result(), mode, budget, arrived)
        return _index_offer(task, step, gathered)
    except SceneError as error:
        status = NOT_ARRIVED if isinstance(error, TransferError) else REFUSED
        log.error("%s: %s", step.scene.name, error)
        return replace(step, status=status, reason=f"{step.scene.name}: {error}")


def _gather(step: Step, arrived: Callable[[int], object]) -> Gathered:
    if step.action == BY_REFERENCE:
        return Gathered(read_headers(step.offer))
    return _download(step.offer, arrived)


def _download(offer: Offer, arrived: Callable[[int], object]) -> Gathered:
    folder = staging_folder(offer)
    copies = {}
    for href, band in offer.files.items():
        copies[href] = download(
            href,
            folder / f"{band.name}{_suffix(href)}",
            access=offer.provider.access,
            patience=offer.provider.patience,
            size_bytes=band.size_bytes,
            checksum=band.checksum,
            arrived=arrived,
        )
    return Gathered(read_copies(offer, copies), copies)


def staging_folder(offer: Offer) -> Path:
    """Where the files of an offer arrive; what lies there is continued by the next run."""
    return Config.from_environment().local / "downloads" / str(offer.dataset_id(COPY))


def _suffix(href: str) -> str:
    return Path(href.partition("?")[0]).suffix[:8]


def _copy_after_all(
    step: Step, gathered: Gathered, mode: str, budget: _Budget, arrived: Callable[[int], object]
) -> Gathered:
    reasons = [header.why_copied for header in gathered.headers.values() if header.why_copied]
    if gathered.copies or not reasons:
        return gathered
    if mode == "reference":
        raise SceneError(f"it cannot be read where it lies: {reasons[0]}")
    sizes = [header.size_bytes for header in gathered.headers.values()]
    if not budget.take(math.inf if None in sizes else sum(sizes)):
        raise SceneError(f"it must be downloaded ({reasons[0]}), which does not fit into max_gb any more")
    return _download(step.offer, arrived)


def _index_offer(task: Task, step: Step, gathered: Gathered) -> Step:
    offer = step.offer
    check_grids(offer, gathered.headers, task.unit.place)
    check_dark_pixels(offer, gathered.headers)
    dataset_id = offer.dataset_id(gathered.kind)

    def find_replaced() -> list[UUID]:
        # The same acquisition under another id: another kind, an older processing, or an item that changed since.
        found = index.find_datasets(index.connect(), offer.sensor.product, region_code=offer.acquisition)
        return [dataset.id for dataset in found if dataset.id != dataset_id]

    save_offer(offer, gathered, dataset_id, simulated=task.simulated, find_replaced=find_replaced)
    for path in gathered.copies.values():
        path.unlink(missing_ok=True)
    if gathered.copies:
        folder = staging_folder(offer)
        if folder.exists() and not any(folder.iterdir()):
            folder.rmdir()
    action = DOWNLOAD if gathered.copies else BY_REFERENCE
    return replace(step, action=action, status=INDEXED, dataset_id=dataset_id)


def check_arrived(inventory: pd.DataFrame) -> None:
    """Raise :class:`InputError` naming the scenes that did not arrive: a run that goes on without them would never ask again."""
    missing = inventory[inventory["status"] == NOT_ARRIVED]
    if len(missing):
        told = "; ".join(missing["reason"].head(5)) + ("; ..." if len(missing) > 5 else "")
        raise InputError(
            f"{len(missing)} of {len(inventory)} scenes did not arrive: {told}. Run again: what is indexed is not fetched again, "
            "and files that broke off are continued"
        )


def index_archive(task: Task, name: str = "scene_archive", **bounds: object) -> tuple[pd.DataFrame, list[str]]:
    """List, plan and fetch one archive in a call, ``bounds`` as in :func:`~ceiba.ard.fetch_plans.plan_fetch`; for scripts and tests."""
    steps = plan_fetch(list_scenes(task, [name]), **bounds)
    return fetch_scenes(task, steps, mode=str(bounds.get("mode", "auto")))

