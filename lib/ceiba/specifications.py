"""Specifications that a set of products is held against, from ``catalogs/specifications.yml``, and what a program can check of them."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import rasterio
import yaml

from ceiba import store
from ceiba.config import project_root
from ceiba.errors import CatalogError, InputError, ReviewError
from ceiba.review import ProductSet
from ceiba.sources import dataset_period

CHECKS = ("mean_at_least", "without_data_at_most", "complete_at_least", "files_unchanged", "by_expert")
OF_BAND = ("mean_at_least", "without_data_at_most")
BY_EXPERT = "by_expert"
WORST_NAMED = 20
"""So many products that fail are named; a whole country that fails would fill the review."""


@dataclass(frozen=True)
class Criterion:
    """One line of a specification: ``check`` is one of :data:`CHECKS`, ``limit`` its bound, ``band`` where it asks one."""

    name: str
    title: Mapping[str, str]
    check: str
    limit: float = 0.0
    band: str = ""


@dataclass(frozen=True)
class Specification:
    """A named list of criteria."""

    name: str
    title: Mapping[str, str]
    products: tuple[str, ...]
    source: Mapping[str, str]
    criteria: tuple[Criterion, ...]


@dataclass(frozen=True)
class Finding:
    """How a set meets a criterion.

    Attributes
    ----------
    value
        The set's worst product, or its share; None where a program cannot tell.
    passed
        None where an expert decides, or where no product has the band.
    failing
        Products that do not meet it, at most :data:`WORST_NAMED`, "tile period: value".
    """

    criterion: Criterion
    value: float | None
    passed: bool | None
    failing: tuple[str, ...] = ()

    def record(self) -> dict[str, object]:
        """For the review, in JSON types."""
        return {
            "criterion": self.criterion.name,
            "title": dict(self.criterion.title),
            "check": self.criterion.check,
            "limit": self.criterion.limit,
            "value": self.value,
            "passed": self.passed,
            "failing": list(self.failing),
        }


@functools.cache
def load_specifications() -> dict[str, Specification]:
    """Specifications by name; raises :class:`CatalogError` saying what is wrong with the file."""
    path = project_root() / "catalogs" / "specifications.yml"
    return read_specifications(yaml.safe_load(path.read_text("utf-8")), path.name)


def read_specifications(entry: Mapping, name: str) -> dict[str, Specification]:
    """Check the content of a file of specifications; raises :class:`CatalogError`."""
    found = {}
    for key, values in entry.items():
        try:
            criteria = tuple(
                Criterion(
                    each, dict(line["title"]), line["check"], float(line.get("limit", 0.0)), str(line.get("band", ""))
                )
                for each, line in values["criteria"].items()
            )
            titles = [values["title"], values["source"], *(criterion.title for criterion in criteria)]
            found[key] = Specification(
                key, dict(values["title"]), tuple(values["products"]), dict(values["source"]), criteria
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CatalogError(f"{name}, {key}: malformed, {error!r}") from error
        if any(set(title) != {"es", "en"} for title in titles):
            raise CatalogError(f"{name}, {key}: every title and source is in es and en")
        for criterion in criteria:
            if criterion.check not in CHECKS:
                raise CatalogError(
                    f"{name}, {key}, {criterion.name}: no check {criterion.check!r}; there are {', '.join(CHECKS)}"
                )
            if bool(criterion.band) != (criterion.check in OF_BAND):
                raise CatalogError(f"{name}, {key}, {criterion.name}: {', '.join(OF_BAND)} ask a band, the others none")
    return found


def find_specification(name: str, product: str) -> Specification:
    """A specification by name; where the name is empty the first that is meant for a product.

    Raises :class:`ReviewError` where there is none, or where it is meant for other products.
    """
    specifications = load_specifications()
    if not name:
        return next(each for each in specifications.values() if not each.products or product in each.products)
    if name not in specifications:
        raise ReviewError(f"no specification {name!r}; catalogs/specifications.yml has {', '.join(specifications)}")
    found = specifications[name]
    if found.products and product not in found.products:
        raise ReviewError(f"specification {name} is for {', '.join(found.products)}, not for {product}")
    return found


def check_set(products: ProductSet, specification: Specification) -> list[Finding]:
    """Hold a set against every criterion; an expert's own stay open (``passed`` None)."""
    return [check_criterion(products, criterion) for criterion in specification.criteria]


def check_criterion(products: ProductSet, criterion: Criterion) -> Finding:
    """Hold a set against one criterion; every product of the set has to meet it."""
    if criterion.check == BY_EXPERT:
        return Finding(criterion, None, None)
    if criterion.check == "complete_at_least":
        return check_complete(products, criterion)
    if criterion.check == "files_unchanged":
        changed = [name_of(dataset) for dataset in products.datasets if store.verify(dataset.uri)]
        share = 1 - len(changed) / len(products.datasets)
        return Finding(criterion, share, share >= criterion.limit, tuple(changed[:WORST_NAMED]))
    if criterion.band not in {band.name for band in products.definition.measurements}:
        return Finding(criterion, None, None)
    measure, worst, sign = (mean_of, min, 1) if criterion.check == "mean_at_least" else (share_without_data, max, -1)
    values, failing = [], []
    for dataset in products.datasets:
        try:
            value = measure(dataset, criterion.band)
        except InputError:
            # A file that cannot be read is a finding: its product must not escape the review.
            failing.append(f"{name_of(dataset)}: cannot be read")
            continue
        if np.isfinite(value):
            values.append(value)
        if not sign * value >= sign * criterion.limit:
            failing.append(f"{name_of(dataset)}: {value:.4g}")
    return Finding(criterion, worst(values, default=None), not failing, tuple(failing[:WORST_NAMED]))


def check_complete(products: ProductSet, criterion: Criterion) -> Finding:
    """Share of the tiles, and of the years where a product is annual, that have a product."""
    annual = products.definition.per == "tile year"
    periods = [str(year) for year in products.period.years] if annual else [""]
    wanted = {f"{tile} {period}".strip() for tile in products.tiles for period in periods}
    there = {name_of(dataset) if annual else tile_of(dataset) for dataset in products.datasets}
    missing = sorted(wanted - there)
    share = 1 - len(missing) / len(wanted)
    return Finding(criterion, share, share >= criterion.limit, tuple(missing[:WORST_NAMED]))


def tile_of(dataset) -> str:
    """Name of a product's tile."""
    return dataset.metadata_doc["properties"]["ceiba:tile"]


def name_of(dataset) -> str:
    """Tile and period of a product, as a person reads them."""
    return f"{tile_of(dataset)} {dataset_period(dataset)}"


def mean_of(dataset, band: str) -> float:
    """Mean of a band over a product's pixels, NaN where it has none; no data of a count, 0, is no observation and counts."""
    total, count = 0.0, 0
    for values, has_data, nodata in read_blocks(dataset, band):
        counted = np.ones_like(has_data) if nodata == 0 else has_data
        total += float(values[counted].sum(dtype="float64"))
        count += int(counted.sum())
    return total / count if count else float("nan")


def share_without_data(dataset, band: str) -> float:
    """Share [1] of a product's pixels without data in a band."""
    empty = count = 0
    for _, has_data, _ in read_blocks(dataset, band):
        empty += int((~has_data).sum())
        count += has_data.size
    return empty / count


def read_blocks(dataset, band: str) -> Iterator[tuple[np.ndarray, np.ndarray, float | None]]:
    """A band of a stored product block by block: values, where they are data, and the no-data value.

    Raises :class:`InputError` where it cannot be read.
    """
    address = f"{dataset.uri.rsplit('/', 1)[0]}/{dataset.measurements[band]['path']}"
    try:
        with rasterio.open(address) as file:
            for _, window in file.block_windows(1):
                values = file.read(1, window=window)
                nodata = file.nodata
                missing = np.isnan(values) if nodata is None or np.isnan(nodata) else values == nodata
                yield values, ~missing, nodata
    except rasterio.errors.RasterioError as error:
        raise InputError(f"{address} cannot be read: {error}") from error
