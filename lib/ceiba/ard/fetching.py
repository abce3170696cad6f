"""From archives into the cube: what they offer is listed first, then fetched within bounds, and what fails is named."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from ceiba import cube as index
from ceiba.ard.archives import ArchivedScene, ArchiveSource
from ceiba.ard.downloads import Beginning, download, read_beginning
from ceiba.ard.offers import COPY, REFERENCE, Offer, OfferedBand, choose_newest
from ceiba.ard.references import (
    Gathered,
    check_dark_pixels,
    check_grids,
    read_copies,
    read_headers,
    save_offer,
    why_copied,
)
from ceiba.ard.scenes import index_scene
from ceiba.ard.stac_archives import NetworkArchive
from ceiba.config import Config
from ceiba.errors import InputError, ParameterError, SceneError, TransferError
from ceiba.plan import select
from ceiba.tasks import Task

log = logging.getLogger(__name__)

MODES = ("auto", "reference", "download")
BYTES_PER_GB = 1e9
INDEX, BY_REFERENCE, DOWNLOAD, NOTHING = "index", "reference", "download", "nothing"
INDEXED, REFUSED, NOT_ARRIVED, LEFT_OUT = "indexed", "refused", "not arrived", "left out"


@dataclass(frozen=True)
class Step:
    """What is to be done with a scene.

    Attributes
    ----------
    action
        "index" (a scene of a local archive), "reference", "download" or "nothing".
    status
        How it ended: "indexed", "refused", "not arrived" or "left out"; empty before.
    bytes_to_fetch
        What a download takes [bytes], NaN where it is not known.
    """

    source: str
    scene: Offer | ArchivedScene | SceneError
    action: str
    status: str = ""
    reason: str = ""
    bytes_to_fetch: float = 0.0
    dataset_id: UUID | None = None
    clear_share: float = math.nan

    @property
    def offer(self) -> Offer | None:
        """The offer, None for a local scene or an error."""
        return self.scene if isinstance(self.scene, Offer) else None

    def row(self) -> dict[str, object]:
        """Row of the inventory."""
        described = not isinstance(self.scene, SceneError)
        offer = self.offer
        return {
            "source": self.source,
            "scene": self.scene.name if described else "",
            "time": self.scene.time if described else "",
            "sensor": self.scene.sensor.name if described else "",
            "platform": self.scene.platform if described else "",
            "action": self.action,
            "status": self.status,
            "reason": self.reason,
            "cloud_cover": offer.cloud_cover if offer else math.nan,
            "clear_share": self.clear_share if offer is None else 1 - offer.cloud_cover / 100,
            "megabytes": (offer.size_bytes if offer else math.nan) / 1e6,
            "dataset_id": str(self.dataset_id or ""),
        }


def list_scenes(task: Task, sources: Sequence[str]) -> list[tuple[str, Offer | ArchivedScene | SceneError]]:
    """What the archives named ``sources`` hold for a task, by source; nothing is fetched.

    Raises
    ------
    InputError
        Where a source has no address, does not answer, or none holds anything.
    """
    found = []
    for name in sources:
        source = task.source(name)
        if not task.has(name):
            rule = next(rule for definition in task.unit.products for rule in definition.inputs if rule.name == name)
            source.find(select(task.unit, rule))  # it says why
            raise InputError(f"source {name} of area {task.area.name} holds nothing")
        if isinstance(source, NetworkArchive):
            found += [(name, scene) for scene in source.search(task.tile.extent, task.period)]
        elif isinstance(source, ArchiveSource):
            found += [(name, scene) for scene in source.list_scenes()]
        else:
            raise InputError(f"source {name} of area {task.area.name} is no archive of scenes")
    if not found:
        raise InputError(
            f"source {', '.join(sources) or '(none named)'} of area {task.area.name} holds no scene for {task.tile.name}, {task.period}"
        )
    return found


def plan_fetch(
    scenes: Iterable[tuple[str, Offer | ArchivedScene | SceneError]],
    *,
    mode: str = "auto",
    max_cloud_cover: float = 100.0,
    max_gb: float = 0.0,
) -> list[Step]:
    """Say of each scene what will be done with it; only sizes that the archive does not tell are asked of its servers.

    Parameters
    ----------
    scenes
        From :func:`list_scenes`.
    mode
        "auto" (by reference where the files can be read where they lie), "reference" or "download".
    max_cloud_cover
        A scene that the archive says has more cloud [%] is left out.
    max_gb
        Bound of what is downloaded [GB], the least cloudy scenes first; 0 for none.

    Raises
    ------
    ParameterError
        On another mode, or bounds that are none.
    """
    if mode not in MODES or not 0 <= max_cloud_cover <= 100 or max_gb < 0:
        raise ParameterError(
            f"mode {mode!r}, max_cloud_cover {max_cloud_cover}, max_gb {max_gb}: mode is one of {', '.join(MODES)}, "
            "max_cloud_cover 0 to 100, max_gb not below 0"
        )
    scenes = list(scenes)
    sources = {id(scene): source for source, scene in scenes}
    steps = []
    for source, scene in scenes:
        if isinstance(scene, SceneError):
            steps.append(Step(source, scene, NOTHING, REFUSED, str(scene)))
        elif not isinstance(scene, Offer):
            steps.append(Step(source, scene, INDEX))
    newest, older = choose_newest(scene for _, scene in scenes if isinstance(scene, Offer))
    steps += [
        Step(sources[id(offer)], offer, NOTHING, LEFT_OUT, f"{other.provider.name} {other.name} is the same acquisition")
        for offer, other in older
    ]
    steps += _bound([_plan_offer(sources[id(offer)], offer, mode, max_cloud_cover) for offer in newest], max_gb)
    return steps


def _plan_offer(source: str, offer: Offer, mode: str, max_cloud_cover: float) -> Step:
    if offer.cloud_cover > max_cloud_cover:
        return Step(source, offer, NOTHING, LEFT_OUT, f"cloud cover {offer.cloud_cover:.0f} %")
    if not offer.is_identified:
        try:
            offer = replace(offer, versions=tuple(_ask(offer, band).version for band in offer.files.values()))
        except TransferError as error:
            return Step(source, offer, NOTHING, NOT_ARRIVED, f"{offer.name}: {error}")
        except SceneError as error:
            return Step(source, offer, NOTHING, REFUSED, f"{offer.name}: {error}")
    there = find_indexed(offer, mode)
    if there is not None:
        return Step(source, offer, NOTHING, INDEXED, "indexed before", dataset_id=there)
    other = find_newer(offer)
    if other:
        return Step(source, offer, NOTHING, LEFT_OUT, other)
    reason = why_copied(offer)
    if mode == "reference" and reason:
        return Step(source, offer, NOTHING, REFUSED, f"{offer.name} cannot be read where it lies: {reason}")
    if mode == "download" or reason:
        return Step(source, offer, DOWNLOAD, reason=reason, bytes_to_fetch=_ask_size(offer))
    return Step(source, offer, BY_REFERENCE)


def find_indexed(offer: Offer, mode: str) -> UUID | None:
    """Id of the dataset that an offer is in the cube as, in a kind that ``mode`` allows; None where it is not."""
    kinds = {"auto": (COPY, REFERENCE), "reference": (REFERENCE,), "download": (COPY,)}[mode]
    connection = index.connect()
    ids = [offer.dataset_id(kind) for kind in kinds]
    return next((dataset_id for dataset_id in ids if index.get_dataset(connection, dataset_id)), None)


def find_newer(offer: Offer) -> str:
    """Why an offer is not wanted: its acquisition is in the cube from another item in the same or a newer processing."""
    for dataset in index.find_datasets(index.connect(), offer.sensor.product, region_code=offer.acquisition):
        properties = dataset.metadata_doc["properties"]
        item = properties.get("ceiba:item", "")
        if item != f"{offer.collection}/{offer.name}" and tuple(properties.get("ceiba:processing", ())) >= offer.processing:
            return f"{properties.get('ceiba:provider')} {item}, the same acquisition, is in the cube"
    return ""


def _ask_size(offer: Offer) -> float:
    total = offer.size_bytes
    if not math.isnan(total):
        return total
    try:
        sizes = [
            band.size_bytes or _ask(offer, band).size_bytes for band in offer.files.values()
        ]
    except SceneError as error:
        log.warning("%s: its size cannot be asked: %s", offer.name, error)
        return math.nan
    return math.nan if None in sizes else float(sum(sizes))


def _ask(offer: Offer, band: OfferedBand) -> Beginning:
    return read_beginning(band.href, 1, access=offer.provider.access, patience=offer.provider.patience)


def _bound(steps: list[Step], max_gb: float) -> list[Step]:
    """Leave out the downloads that do not fit, the cloudiest first."""
    if not max_gb:
        return steps
    left = max_gb * BYTES_PER_GB
    by_cloud = sorted(range(len(steps)), key=lambda at: (np.nan_to_num(_cloud(steps[at]), nan=100.0), at))
    bounded = list(steps)
    for at in by_cloud:
        step = steps[at]
        if step.action != DOWNLOAD:
            continue
        if math.isnan(step.bytes_to_fetch):
            reason = "its size is not known; max_gb=0 fetches it all the same"
        elif step.bytes_to_fetch > left:
            reason = f"{step.bytes_to_fetch / BYTES_PER_GB:.3g} GB do not fit into max_gb {max_gb:g} any more"
        else:
            left -= step.bytes_to_fetch
            continue
        bounded[at] = replace(step, action=NOTHING, status=LEFT_OUT, reason=reason)
    return bounded


def _cloud(step: Step) -> float:
    return step.offer.cloud_cover if step.offer else math.nan


def fetch_scenes(
    task: Task, steps: Sequence[Step], *, mode: str = "auto", max_gb: float = 0.0, connections: int = 4
) -> tuple[pd.DataFrame, list[str]]:
    """Bring planned scenes into the cube: what fails is named, the rest goes on, and a second call continues where this one ended.

    Parameters
    ----------
    steps, mode, max_gb
        From, and as given to, :func:`plan_fetch`. A file that turns out to be no COG is downloaded where ``mode`` is "auto" and
        what is left of ``max_gb`` allows it.
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
    for step in tqdm([step for step in steps if step.action == INDEX], desc="scenes", unit="scene", mininterval=1):
        ended.append(_index_local(task, step))
    ended += _fetch_offers(task, [step for step in steps if step.offer and step.action != NOTHING], mode, max_gb, connections)
    inventory = pd.DataFrame([step.row() for step in sorted(ended, key=_order)])
    failures = [step.reason for step in ended if step.status == REFUSED]
    if not (inventory["status"] == INDEXED).any():
        reasons = [step.reason for step in ended if step.reason]
        raise InputError(f"no scene for {task.unit} can be used: {reasons[0]} ({len(reasons)} of {len(ended)} scenes)")
    return inventory, failures


def _order(step: Step) -> tuple:
    row = step.row()
    return row["time"], row["scene"], row["source"], row["reason"]


def _index_local(task: Task, step: Step) -> Step:
    try:
        row = index_scene(task, step.scene)
    except SceneError as error:
        log.error("%s", error)
        return replace(step, status=REFUSED, reason=str(error))
    return replace(step, status=INDEXED, dataset_id=UUID(row["dataset_id"]), clear_share=row["clear_share"])


class _Budget:
    """What is left of a bound for files found to need a download only when their headers were read; one thread asks at a time."""

    def __init__(self, steps: Iterable[Step], max_gb: float):
        planned = sum(step.bytes_to_fetch for step in steps if step.action == DOWNLOAD and step.bytes_to_fetch > 0)
        self.left = max_gb * BYTES_PER_GB - planned if max_gb else math.inf

    def take(self, count: float) -> bool:
        """Whether ``count`` bytes fit; they are taken off then."""
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


def plan_table(steps: Sequence[Step]) -> pd.DataFrame:
    """Scenes, bytes and cloud by source, sensor and action: what is shown before anything is fetched."""
    rows = [
        step.row() | {"gigabytes": step.bytes_to_fetch / BYTES_PER_GB, "action": step.action if not step.status else step.status}
        for step in steps
    ]
    table = pd.DataFrame(rows).groupby(["source", "sensor", "action"], as_index=False)
    return table.agg(
        scenes=("scene", "size"), gigabytes=("gigabytes", "sum"), offered_megabytes=("megabytes", "sum"),
        median_cloud_cover=("cloud_cover", "median"), first=("time", "min"), last=("time", "max"),
    )  # fmt: skip


def index_archive(task: Task, name: str = "scene_archive", **bounds: object) -> tuple[pd.DataFrame, list[str]]:
    """List, plan and fetch one archive in a call, ``bounds`` as in :func:`plan_fetch`; for scripts and tests."""
    steps = plan_fetch(list_scenes(task, [name]), **bounds)
    return fetch_scenes(task, steps, mode=str(bounds.get("mode", "auto")))

