"""What experts say of sets of products: accepted or rejected, by whom, why, and against which specification.

A review is a dataset of the cube like any other: written beside its place, moved in whole, then indexed in one transaction. None
is ever archived, so that the history stays. The state of a product is what the last review says that names its id; a product that
no review names is a draft.

A rejected product is not done: its unit takes the id of the rejecting review into the ids of its products (:func:`revise`), as a
parameter of its own. So the work has a new id, the same on every machine that knows the same reviews, and nothing else changes:
work whose inputs, parameters or version change has another id anyway, which nobody has rejected.
"""

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from ceiba import cube as index
from ceiba import store
from ceiba.config import Config
from ceiba.errors import InputError, ReviewError
from ceiba.grids import Area, Period, Place, find_area
from ceiba.locks import exclusive
from ceiba.products import NAMESPACE, ProductDefinition, eo3_document, find_definition, period_times
from ceiba.sources import dataset_period

PRODUCT = "product_review"
DRAFT, ACCEPTED, REJECTED = "draft", "accepted", "rejected"
VERDICTS = (ACCEPTED, REJECTED)


@dataclass(frozen=True)
class ProductSet:
    """Products that are reviewed together: those of one definition on some tiles of an area, within a period.

    Attributes
    ----------
    tiles
        Names of the tiles that were asked for.
    datasets
        Those of the cube, by tile and period.
    """

    definition: ProductDefinition
    area: Area
    place: Place
    tiles: tuple[str, ...]
    period: Period
    datasets: tuple

    def __str__(self) -> str:
        where = "all tiles" if len(self.tiles) == len(self.place.tiles) else ", ".join(self.tiles)
        return f"{self.definition.name} {self.definition.version}, {self.area.name} ({where}), {self.period}"


@dataclass(frozen=True)
class Review:
    """One verdict on one set.

    Attributes
    ----------
    number
        How many reviews of the area were there before: the order of verdicts.
    findings
        The specification's criteria as they turned out, in JSON types.
    datasets
        Ids of the products that it speaks of.
    """

    number: int
    verdict: str
    product: str
    version: str
    area: str
    tiles: tuple[str, ...]
    period: str
    reviewer: str
    reason: str
    date: str
    specification: str
    findings: tuple[Mapping[str, object], ...]
    datasets: tuple[str, ...]
    id: UUID

    def content(self) -> dict[str, object]:
        """Everything but the id, in JSON types."""
        return {name: value for name, value in asdict(self).items() if name != "id"}


def find_set(
    product: str, area: str, *, tiles: Sequence[str] = (), period: Period | None = None, version: str = ""
) -> ProductSet:
    """The products of an area's tiles (all where none is named) within a period (all years where None).

    Raises :class:`InputError` where there is none, and :class:`ReviewError` where the product is none that is reviewed.
    """
    definition = find_definition(product)
    if definition.per in ("scene", "review"):
        raise ReviewError(f"{product} is not reviewed: reviews are of what notebooks make, not of scenes or reviews")
    found_area = find_area(area)
    place = found_area.place(definition.stage)
    chosen = tuple(place.tile(name).name for name in tiles) or tuple(tile.name for tile in place.tiles)
    if definition.per == "area span":
        chosen = (place.whole.name,)
    wanted, period = version or definition.version, period or place.years
    datasets = [
        dataset
        for dataset in index.find_datasets(index.connect(), product)
        if is_of(dataset.metadata_doc["properties"], found_area.name, chosen, wanted)
        and period.first_year <= dataset_period(dataset).first_year
        and dataset_period(dataset).last_year <= period.last_year
    ]
    if not datasets:
        raise InputError(f"no {product} {wanted} of area {area} for {period} in the cube; 'ceiba status' shows what there is")
    datasets.sort(key=lambda each: (each.metadata_doc["properties"]["odc:region_code"], str(dataset_period(each))))
    return ProductSet(definition, found_area, place, chosen, period, tuple(datasets))


def is_of(properties: Mapping[str, object], area: str, tiles: Sequence[str], version: str) -> bool:
    """Whether a product's document is of an area, one of the tiles and a version."""
    return (
        properties.get("ceiba:area") == area
        and properties.get("ceiba:tile") in tiles
        and properties.get("odc:dataset_version") == version
    )


def write_review(
    products: ProductSet,
    verdict: str,
    *,
    reviewer: str,
    reason: str,
    specification: str,
    findings: Sequence[Mapping[str, object]] = (),
) -> Review:
    """Write a verdict on a set, whole or not at all.

    The id follows from the content without the date: a review that was killed before it was indexed is taken up by the next
    attempt. Raises :class:`ReviewError` on an unknown verdict, or without a reviewer and a reason.
    """
    if verdict not in VERDICTS:
        raise ReviewError(f"verdict {verdict!r}: allowed are {', '.join(VERDICTS)}")
    if not reviewer.strip() or not reason.strip():
        raise ReviewError("a review needs the name of the reviewer and a reason")
    area = products.area.name
    with exclusive(Config.from_environment().local / "locks" / f"reviews-{area}.lock"):
        content: dict[str, object] = {
            "number": len(list_reviews(area)),
            "verdict": verdict,
            "product": products.definition.name,
            "version": products.definition.version,
            "area": area,
            "tiles": list(products.tiles),
            "period": str(products.period),
            "reviewer": reviewer.strip(),
            "reason": reason.strip(),
            "specification": specification,
            "findings": [dict(finding) for finding in findings],
            "datasets": [str(dataset.id) for dataset in products.datasets],
        }
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        review_id = uuid.uuid5(NAMESPACE, f"review {text}")
        content["date"] = datetime.now(UTC).isoformat(timespec="seconds")
        folder = f"products/{PRODUCT}/{find_definition(PRODUCT).version}/{area}/{products.period}"
        store.save_dataset(review_id, folder, lambda path: _write_files(path, products, review_id, content))
    written = index.get_dataset(index.connect(), review_id)
    return read_review(review_id, written.metadata_doc["properties"])


def _write_files(folder: Path, products: ProductSet, review_id: UUID, content: Mapping[str, object]) -> dict:
    (folder / "review.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    whole = products.place.whole
    left, bottom, right, top = whole.bounds
    return eo3_document(
        dataset_id=review_id,
        definition=find_definition(PRODUCT),
        region_code=region_code(products.area.name),
        period=period_times(products.period),
        geobox=whole.geobox(max(right - left, top - bottom)),
        measurements={},
        accessories={"review": "review.json", "checksums": store.CHECKSUMS_NAME},
        lineage={},
        properties={
            "ceiba:area": products.area.name,
            "ceiba:period": str(products.period),
            "ceiba:simulated": products.area.simulated,
            "ceiba:review": dict(content),
        },
    )


def region_code(area: str) -> str:
    """Under which the cube knows the reviews of an area."""
    return f"{area}/reviews"


def list_reviews(area: str) -> list[Review]:
    """Every review of an area, in the order in which they were made."""
    found = index.find_datasets(index.connect(), PRODUCT, region_code=region_code(area))
    reviews = [read_review(dataset.id, dataset.metadata_doc["properties"]) for dataset in found]
    return sorted(reviews, key=lambda review: (review.number, review.date, str(review.id)))


def read_review(review_id: UUID, properties: Mapping[str, object]) -> Review:
    """A review from the properties of its document."""
    content = dict(properties["ceiba:review"])
    for name in ("tiles", "datasets", "findings"):
        content[name] = tuple(content[name])
    return Review(**content, id=review_id)


def latest_reviews(reviews: Sequence[Review]) -> dict[UUID, Review]:
    """For each product that a review names, the last of them."""
    return {UUID(dataset_id): review for review in reviews for dataset_id in review.datasets}


def state_of(dataset_id: UUID, latest: Mapping[UUID, Review]) -> str:
    """ "draft", "accepted" or "rejected"."""
    return latest[dataset_id].verdict if dataset_id in latest else DRAFT


def find_rejected(area: str) -> dict[UUID, Review]:
    """Products of an area whose last review rejects them."""
    latest = latest_reviews(list_reviews(area))
    return {dataset_id: review for dataset_id, review in latest.items() if review.verdict == REJECTED}


def revise(make_id: Callable[[str], UUID], rejected: Mapping[UUID, Review]) -> tuple[UUID, Review | None]:
    """The id that a product has after its rejections, and the review that asked for it last.

    ``make_id`` gives the id for a revision: "" at first, then the id of the review that rejected the one before.
    """
    dataset_id, last = make_id(""), None
    while dataset_id in rejected:
        last = rejected[dataset_id]
        dataset_id = make_id(str(last.id))
    return dataset_id, last
