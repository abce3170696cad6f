"""What computing, storage and scenes cost, from ``catalogs/prices.yml``."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError

NAMES = ("cpu_hour", "memory_gb_hour", "storage_gb_month", "transfer_gb", "processing_unit")
ORIGINS = ("same_region", "copy", "sentinel_hub")
PU_PIXELS = 512 * 512
PU_BANDS = 3


@dataclass(frozen=True)
class Prices:
    """Prices in one currency; ``budget`` is None where there is none."""

    currency: str
    budget: float | None
    storage_months: float
    scenes_from: str
    cpu_hour: float
    memory_gb_hour: float
    storage_gb_month: float
    transfer_gb: float
    processing_unit: float

    def unit_cost(self, *, cpu_h: float, memory_gb: float, storage_gb: float) -> float:
        """Cost of a unit that computes on one core, holds its memory as long, and keeps its products."""
        compute = cpu_h * (self.cpu_hour + memory_gb * self.memory_gb_hour)
        return compute + storage_gb * self.storage_months * self.storage_gb_month

    def scenes_cost(self, *, gb: float, units: float) -> float:
        """Cost of bringing scenes: ``gb`` copied, or processing ``units``, by where they come from."""
        return {"same_region": 0.0, "copy": gb * self.transfer_gb, "sentinel_hub": units * self.processing_unit}[
            self.scenes_from
        ]


def processing_units(pixels: float, bands: int) -> float:
    """Sentinel Hub processing units of requests over ``pixels`` in all with so many bands of 8 or 16 bits.

    One unit is 512 x 512 pixels of three bands of one date; no request is so small here that the least charge counts.
    Source: Sentinel Hub, Processing Unit definition, https://docs.sentinel-hub.com/api/latest/api/overview/processing-unit/
    """
    return pixels / PU_PIXELS * bands / PU_BANDS


@functools.cache
def load_prices() -> Prices:
    """The prices of ``catalogs/prices.yml``; raises :class:`CatalogError` saying what is wrong."""
    path = project_root() / "catalogs" / "prices.yml"
    return read_prices(yaml.safe_load(path.read_text("utf-8")), path.name)


def read_prices(entry: Mapping, name: str) -> Prices:
    """Check the content of a file of prices; raises :class:`CatalogError`."""
    try:
        unknown = sorted(set(entry["prices"]) - set(NAMES))
        missing = [each for each in NAMES if each not in entry["prices"]]
        if unknown or missing:
            wrong = f"has no price {', '.join(missing)}" if missing else f"does not know {', '.join(unknown)}"
            raise CatalogError(f"{name} {wrong}; prices are {', '.join(NAMES)}")
        for each in NAMES:
            if not entry["prices"][each].get("source") or not entry["prices"][each].get("date"):
                raise CatalogError(f"{name}: price {each} needs a source and a date")
        values = {each: float(entry["prices"][each]["price"]) for each in NAMES}
        budget = entry.get("budget")
        prices = Prices(
            currency=str(entry["currency"]),
            budget=None if budget is None else float(budget),
            storage_months=float(entry["storage_months"]),
            scenes_from=str(entry["scenes_from"]),
            **values,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"{name} is malformed: {error!r}") from error
    if prices.scenes_from not in ORIGINS:
        raise CatalogError(f"{name}: scenes_from is {prices.scenes_from!r}; allowed are {', '.join(ORIGINS)}")
    amounts = [*values.values(), prices.storage_months, prices.budget or 0.0]
    if not all(math.isfinite(amount) and amount >= 0 for amount in amounts):
        raise CatalogError(f"{name}: prices, months and budget must be numbers of 0 or more; found {amounts}")
    return prices
