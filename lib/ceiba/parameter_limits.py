"""What the values of notebook parameters may be, from ``catalogs/parameters.yml``: a wrong one is refused before any work."""

import datetime
import functools
from collections.abc import Mapping

import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError, ParameterError

BOUNDS = {
    "from": ("at least {}", lambda value, bound: value >= bound),
    "above": ("above {}", lambda value, bound: value > bound),
    "to": ("at most {}", lambda value, bound: value <= bound),
    "below": ("below {}", lambda value, bound: value < bound),
}
KEYS = ("one_of", *BOUNDS, "odd", "date", "each")


@functools.cache
def load_limits() -> dict[str, dict[str, dict[str, object]]]:
    """Limits by notebook and parameter; raises :class:`CatalogError` naming a limit of another kind than :data:`KEYS`."""
    limits = yaml.safe_load((project_root() / "catalogs" / "parameters.yml").read_text("utf-8"))
    for notebook, parameters in limits.items():
        for name, limit in parameters.items():
            strange = sorted({*limit, *limit.get("each", {})} - set(KEYS))
            if strange:
                raise CatalogError(
                    f"parameters.yml: {notebook}: {name} has {', '.join(strange)}; allowed are {', '.join(KEYS)}"
                )
    return limits


def check_limits(notebook: str, values: Mapping[str, object]) -> None:
    """Raise :class:`ParameterError` on the first of ``values`` beyond its limits, naming what was given and what is allowed."""
    for name, limit in load_limits().get(notebook, {}).items():
        given = values[name]
        each = limit.get("each")
        allowed = describe_limit(each or limit, values)
        kept = all(_keeps(value, each, values) for value in given) if each else _keeps(given, limit, values)
        if not kept:
            what = "each of them must be" if each else "allowed is"
            raise ParameterError(f"{notebook}: parameter {name} is {given!r}; {what} {allowed}")


def describe_limit(limit: Mapping[str, object], values: Mapping[str, object]) -> str:
    """What is allowed in words, "an odd number at least 1 and at most 31"."""
    if "one_of" in limit:
        return "one of " + ", ".join(map(str, limit["one_of"]))
    if "date" in limit:
        return "a day as YYYY-MM-DD, or nothing"
    bounds = []
    for key, (words, _) in BOUNDS.items():
        if key in limit:
            bound = limit[key]
            bounds.append(words.format(f"{bound} ({values[bound]})" if isinstance(bound, str) else bound))
    return f"{'an odd number' if limit.get('odd') else 'a number'} {' and '.join(bounds)}"


def _keeps(value: object, limit: Mapping[str, object], values: Mapping[str, object]) -> bool:
    if "one_of" in limit:
        return value in limit["one_of"]
    if "date" in limit:
        return value == "" or _is_day(value)
    if not isinstance(value, int | float) or (limit.get("odd") and value % 2 != 1):
        return False
    bounds = {key: limit[key] for key in BOUNDS if key in limit}
    return all(
        BOUNDS[key][1](value, values[bound] if isinstance(bound, str) else bound) for key, bound in bounds.items()
    )


def _is_day(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
