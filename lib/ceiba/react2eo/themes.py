"""Themes: which contents a deployment offers, with which words and colors, from ``catalogs/themes.yml``."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ceiba import labels
from ceiba.config import Config, project_root
from ceiba.errors import CatalogError, CeibaError, NotFoundError
from ceiba.legends import LandCoverClass, Legend
from ceiba.mosaics.display import COMPOSITES
from ceiba.mosaics.styles import Style, find_style, read_styles
from ceiba.products import find_definition
from ceiba.react2eo.maps.external_catalog import ExternalLayer, read_external

NAME = re.compile(r"[a-z][a-z0-9_]*")
Words = Mapping[str, str]


@dataclass(frozen=True)
class Origin:
    """One product that a content can be drawn from.

    Attributes
    ----------
    bands
        Measurements: three for a composite, else one.
    composite
        Name in :data:`ceiba.mosaics.display.COMPOSITES`, or empty.
    style
        Colors of a measurement; None for composites and classes.
    legend
        Classes of a categorical measurement that has few of its own; None where a file or the place tells them.
    limits
        Values shown as darkest and brightest, a pair a band; empty where they follow from the data.
    """

    product: str
    bands: tuple[str, ...]
    composite: str = ""
    style: Style | None = None
    legend: Legend | None = None
    limits: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Content:
    """What a tab shows: words in Spanish and English, and the products it can be drawn from, the best first.

    Attributes
    ----------
    low, high
        What the lowest and the highest color of a scale mean; None where it has classes or is a composite.
    """

    name: str
    title: Words
    short: Words
    text: Words
    origins: tuple[Origin, ...]
    low: Words | None = None
    high: Words | None = None


@dataclass(frozen=True)
class Theme:
    """Contents in order, with title, text and color; ``region`` opens first, the first with data where empty."""

    name: str
    title: Words
    text: Words
    color: str
    contents: tuple[str, ...]
    region: str = ""


@dataclass(frozen=True)
class Themes:
    """All contents, themes and external layers of a deployment, by name; the first theme is the default."""

    contents: Mapping[str, Content]
    themes: Mapping[str, Theme]
    external: Mapping[str, ExternalLayer] = field(default_factory=dict)

    def find(self, name: str) -> Theme:
        """Theme by name, the first where empty; raises :class:`NotFoundError` naming those that exist."""
        if not name:
            return next(iter(self.themes.values()))
        if name not in self.themes:
            raise NotFoundError(f"no theme {name!r}; there are {', '.join(self.themes)}")
        return self.themes[name]


def load_themes() -> Themes:
    """Themes of this deployment: ``themes.yml`` of the store, else that of the catalogue; raises :class:`CatalogError`."""
    own = Config.from_environment().local / "themes.yml"
    path = own if own.exists() else project_root() / "catalogs" / "themes.yml"
    return _load_cached(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _load_cached(path: Path, _changed: int) -> Themes:
    try:
        return read_themes(yaml.safe_load(path.read_text("utf-8")))
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CatalogError(f"{path} is malformed: {error!r}") from error


def read_themes(document: Mapping) -> Themes:
    """Check the content of a file of themes; raises :class:`CatalogError` that says what is wrong."""
    contents = {name: _read_content(name, entry) for name, entry in document["contents"].items()}
    themes = {}
    for name, entry in document["themes"].items():
        unknown = [each for each in entry["contents"] if each not in contents]
        if unknown or not entry["contents"]:
            raise CatalogError(f"theme {name!r}: no content {', '.join(unknown) or 'at all'}; there are {', '.join(contents)}")
        if not re.fullmatch("#[0-9a-f]{6}", entry["color"]):
            raise CatalogError(f"theme {name!r}: color {entry['color']!r}; write #rrggbb in small letters")
        themes[_checked(name)] = Theme(
            name, _words(name, entry, "title"), _words(name, entry, "text"), entry["color"], tuple(entry["contents"]),
            entry.get("region", ""),
        )  # fmt: skip
    if not themes:
        raise CatalogError("a file of themes needs one theme at least")
    external = {
        name: read_external(_checked(name), entry, title=_words(name, entry, "title"))
        for name, entry in document.get("external", {}).items()
    }
    return Themes(contents, themes, external)


def _read_content(name: str, entry: Mapping) -> Content:
    words = {key: _words(name, entry, key) for key in ("title", "short", "text")}
    words |= {key: _words(name, entry, key) for key in ("low", "high") if key in entry}
    return Content(_checked(name), **words, origins=tuple(_read_origin(name, origin) for origin in entry["from"]))


def _read_origin(name: str, entry: Mapping) -> Origin:
    unknown = sorted(set(entry) - {"product", "composite", "measurement", "style", "legend", "limits"})
    if unknown or ("composite" in entry) == ("measurement" in entry):
        raise CatalogError(f"content {name!r}: give product and either composite or measurement; not known: {', '.join(unknown) or 'none'}")
    try:
        definition = find_definition(entry["product"])
    except CeibaError as error:
        raise CatalogError(f"content {name!r}: {error}") from error
    composite = entry.get("composite", "")
    if composite and composite not in COMPOSITES:
        raise CatalogError(f"content {name!r}: no composite {composite!r}; there are {', '.join(COMPOSITES)}")
    bands = COMPOSITES[composite] if composite else (entry["measurement"],)
    known = {band.name: band for band in definition.measurements}
    missing = [band for band in bands if band not in known]
    if missing:
        raise CatalogError(f"content {name!r}: {definition.name} has no {', '.join(missing)}; it has {', '.join(known)}")
    limits = tuple((float(low), float(high)) for low, high in entry.get("limits", ()))
    if limits and len(limits) != len(bands):
        raise CatalogError(f"content {name!r}: {len(limits)} limits for {len(bands)} bands")
    style, legend = None, None
    if "legend" in entry:
        classes = (LandCoverClass(int(code), each["es"], each["en"], each["color"]) for code, each in entry["legend"].items())
        legend = Legend(f"{definition.name}_{bands[0]}", tuple(classes))
    elif not composite and known[bands[0]].units != "class":
        style = _read_style(name, entry["style"]) if "style" in entry else find_style(definition.name, bands[0])
    return Origin(definition.name, bands, composite, style, legend, limits)


def _read_style(name: str, entry: Mapping) -> Style:
    ramps = yaml.safe_load((project_root() / "catalogs" / "styles" / "mosaics.yml").read_text("utf-8"))["ramps"]
    style = {"ramp": entry["ramp"], "range": entry["range"], "label": ""}
    return read_styles({"ramps": ramps, "styles": {name: style}})[name]


def _words(name: str, entry: Mapping, key: str) -> Words:
    words = entry.get(key)
    if not isinstance(words, Mapping) or set(words) != set(labels.LANGUAGES) or not all(words.values()):
        raise CatalogError(f"{name!r} needs {key} in {' and '.join(labels.LANGUAGES)}; it has {words!r}")
    return words


def _checked(name: str) -> str:
    # Names stand in addresses.
    if not NAME.fullmatch(name):
        raise CatalogError(f"name {name!r}: use small letters, digits and _, a letter first")
    return name
