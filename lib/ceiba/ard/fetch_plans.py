"""What archives hold for a task, and what will be done with it: shown and bounded before anything is fetched."""

import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from ceiba import cube as index
from ceiba.ard.archives import ArchivedScene, ArchiveSource
from ceiba.ard.downloads import Beginning, read_beginning
from ceiba.ard.offers import COPY, REFERENCE, Offer, OfferedBand, choose_newest
from ceiba.ard.references import why_copied
from ceiba.ard.sentinel_hub import ProcessedScene
from ceiba.ard.stac_archives import NetworkArchive
from ceiba.errors import InputError, ParameterError, SceneError, TransferError
from ceiba.plan import select
from ceiba.prices import load_prices
from ceiba.tasks import Task

log = logging.getLogger(__name__)

MODES = ("auto", "reference", "download")
BYTES_PER_GB = 1e9
INDEX, BY_REFERENCE, DOWNLOAD, PROCESS, NOTHING = "index", "reference", "download", "process", "nothing"
INDEXED, REFUSED, NOT_ARRIVED, LEFT_OUT = "indexed", "refused", "not arrived", "left out"


@dataclass(frozen=True)
class Step:
    """What is to be done with a scene.

    Attributes
    ----------
    action
        "index" (a scene of a local archive), "reference", "download", "process" (by Sentinel Hub) or "nothing".
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

    @property
    def footprint(self) -> BaseGeometry | None:
        """Outline in EPSG:4326, None where it is known only when the scene is read."""
        return getattr(self.scene, "footprint", None)

    @property
    def cloud_cover(self) -> float:
        """What the archive tells [%], NaN where it does not."""
        return getattr(self.scene, "cloud_cover", math.nan)

    @property
    def processing_units(self) -> float:
        """What is to be spent [processing units]."""
        return self.scene.processing_units if self.action == PROCESS else 0.0

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
            "cloud_cover": self.cloud_cover,
            "clear_share": 1 - self.cloud_cover / 100 if math.isnan(self.clear_share) else self.clear_share,
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
            found += [(name, scene) for scene in source.search(task.tile, task.period)]
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
    max_processing_units: float = 0.0,
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
    max_processing_units
        Most that Sentinel Hub may be paid [processing units]; a plan that takes more is refused as a whole.

    Raises
    ------
    ParameterError
        On another mode, bounds that are none, or a plan that takes more processing units than it may.
    """
    # Written so that NaN, which is never above a bound, is refused and not taken for no bound.
    if mode not in MODES or not (0 <= max_cloud_cover <= 100 and max_gb >= 0 and max_processing_units >= 0):
        raise ParameterError(
            f"mode {mode!r}, max_cloud_cover {max_cloud_cover}, max_gb {max_gb}, max_processing_units {max_processing_units}: "
            f"mode is one of {', '.join(MODES)}, max_cloud_cover 0 to 100, the others not below 0"
        )
    scenes = list(scenes)
    sources = {id(scene): source for source, scene in scenes}
    steps = []
    for source, scene in scenes:
        if isinstance(scene, SceneError):
            steps.append(Step(source, scene, NOTHING, REFUSED, str(scene)))
        elif isinstance(scene, ProcessedScene):
            steps.append(_plan_processed(source, scene, max_cloud_cover))
        elif not isinstance(scene, Offer):
            steps.append(Step(source, scene, INDEX))
    newest, older = choose_newest(scene for _, scene in scenes if isinstance(scene, Offer))
    steps += [
        Step(sources[id(offer)], offer, NOTHING, LEFT_OUT, f"{other.provider.name} {other.name} is the same acquisition")
        for offer, other in older
    ]
    _refuse_spending(steps, max_processing_units)
    steps += _bound([_plan_offer(sources[id(offer)], offer, mode, max_cloud_cover) for offer in newest], max_gb)
    return steps


def _plan_processed(source: str, scene: ProcessedScene, max_cloud_cover: float) -> Step:
    if scene.cloud_cover > max_cloud_cover:
        return Step(source, scene, NOTHING, LEFT_OUT, f"cloud cover {scene.cloud_cover:.0f} %")
    there = index.find_datasets(index.connect(), scene.sensor.product, region_code=scene.name)
    if there:
        return Step(source, scene, NOTHING, INDEXED, "indexed before", dataset_id=there[0].id)
    return Step(source, scene, PROCESS)


def _refuse_spending(steps: Iterable[Step], max_processing_units: float) -> None:
    wanted = [step for step in steps if step.action == PROCESS]
    units = sum(step.processing_units for step in wanted)
    if units > max_processing_units:
        prices = load_prices()
        raise ParameterError(
            f"{len(wanted)} scenes would take about {units:.1f} processing units of Sentinel Hub ({units * prices.processing_unit:.2f} "
            f"{prices.currency} at the price of catalogs/prices.yml), max_processing_units allows {max_processing_units:g}; raise it, or "
            "lower max_cloud_cover or the years. Nothing was spent"
        )


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
    by_cloud = sorted(range(len(steps)), key=lambda at: (np.nan_to_num(steps[at].cloud_cover, nan=100.0), at))
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



def plan_table(steps: Sequence[Step]) -> pd.DataFrame:
    """Scenes, bytes, cloud and cost of processing units by source, sensor and action: what is shown before anything is fetched."""
    rows = [
        step.row()
        | {
            "gigabytes": step.bytes_to_fetch / BYTES_PER_GB,
            "action": step.status or step.action,
            "processing_units": step.processing_units,
        }
        for step in steps
    ]
    table = pd.DataFrame(rows).groupby(["source", "sensor", "action"], as_index=False)
    told = table.agg(
        scenes=("scene", "size"), gigabytes=("gigabytes", "sum"), offered_megabytes=("megabytes", "sum"),
        processing_units=("processing_units", "sum"), median_cloud_cover=("cloud_cover", "median"), first=("time", "min"),
        last=("time", "max"),
    )  # fmt: skip
    prices = load_prices()
    return told.assign(**{f"cost_{prices.currency.lower()}": told["processing_units"] * prices.processing_unit})
