"""What ``catalogs/recipes.yml`` declares: recipes, their parts, and name, unit and title of each feature."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError
from ceiba.legends import load_legend
from ceiba.spectral_indices import SPECTRAL_INDICES


@dataclass(frozen=True)
class Feature:
    """One number that a classifier sees of a pixel.

    Attributes
    ----------
    name, units
        Of the variable.
    title
        Language ("es", "en") to its title.
    quantity, statistic
        Names in ``catalogs/recipes.yml``.
    kind, source
        What it is read from: "band" and its name, "index" and its name, "ground" and the layer, "radar" and the
        polarization, or "dates" and nothing.
    """

    name: str
    units: str
    title: Mapping[str, str]
    quantity: str
    statistic: str
    kind: str
    source: str


@dataclass(frozen=True)
class Part:
    """Features that one function computes.

    Attributes
    ----------
    name, function
        Of the part, and of the function in :mod:`ceiba.classification.features.recipes`.
    features
        In the order in which the function gives them.
    bands
        Band of a formula to the band of the scenes that stands for it, as ``nir`` to ``nir_narrow``.
    reads
        Bands that the function reads besides those of its features.
    options
        What the function is told besides, as its seasons.
    """

    name: str
    function: str
    features: tuple[Feature, ...]
    bands: Mapping[str, str] = field(default_factory=dict)
    reads: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Bands of the scenes that are needed, each once."""
        needed: list[str] = list(self.reads)
        for feature in self.features:
            if feature.kind == "band":
                needed.append(feature.source)
            elif feature.kind == "index":
                needed.extend(SPECTRAL_INDICES[feature.source].bands)
        return tuple(dict.fromkeys(self.bands.get(band, band) for band in needed))

    def sources(self, kind: str) -> tuple[str, ...]:
        """What its features read of a kind, "ground" or "radar", each once."""
        return tuple(dict.fromkeys(feature.source for feature in self.features if feature.kind == kind))


@functools.cache
def read_catalog() -> Mapping[str, Mapping]:
    """``catalogs/recipes.yml`` as it stands."""
    return yaml.safe_load((project_root() / "catalogs" / "recipes.yml").read_text(encoding="utf-8"))


def part_groups(name: str) -> list[Mapping]:
    """The groups of features of a part, as ``catalogs/recipes.yml`` has them."""
    return _entry(read_catalog(), "parts", name)["features"]


@functools.cache
def find_part(name: str) -> Part:
    """A part of ``catalogs/recipes.yml``, with ``part:legend`` of another legend.

    Raises :class:`CatalogError` where it, or what it names, is not there.
    """
    catalog = read_catalog()
    plain, _, legend = name.partition(":")
    entry = _entry(catalog, "parts", plain)
    features: list[Feature] = []
    options = {key: value for key, value in entry.items() if key not in ("function", "features", "bands", "reads", "units")}
    for group in entry["features"]:
        if "legend" in group:
            options["legend"] = legend or group["legend"]
        quantities = group["quantities"] if "quantities" in group else _classes(entry["layer"], options["legend"])
        for statistic in group["statistics"]:
            features += [_feature(catalog, quantity, statistic, entry, group) for quantity in quantities]
    names = [feature.name for feature in features]
    if len(set(names)) != len(names):
        raise CatalogError(f"part {name!r} of catalogs/recipes.yml gives a feature twice: {', '.join(sorted(names))}")
    return Part(name, entry["function"], tuple(features), entry.get("bands", {}), tuple(entry.get("reads", ())), options)


def _feature(catalog: Mapping, quantity: str | tuple, statistic: str, entry: Mapping, group: Mapping) -> Feature:
    if isinstance(quantity, tuple):
        layer, code, words = quantity
        return Feature(f"{layer}_{code}", "1", words, f"{layer}_{code}", statistic, "ground", layer)
    about, counted = _entry(catalog, "quantities", quantity), _entry(catalog, "statistics", statistic)
    kind = next((kind for kind in ("band", "index", "ground", "radar") if kind in about), "dates")
    units = group.get("units") or counted.get("units") or about.get("units") or entry.get("units") or "1"
    words = {language: text.format(quantity=about["title"][language]) for language, text in counted["title"].items()}
    name = counted.get("name", "{quantity}_{statistic}").format(quantity=quantity, statistic=statistic)
    return Feature(name, units, words, quantity, statistic, kind, about.get(kind, ""))


def _classes(layer: str, legend: str) -> list[tuple[str, int, dict[str, str]]]:
    """A quantity for each class of a legend: the layer, the code, and the names of the class."""
    return [
        (layer, member.code, {language: member.label(language) for language in ("es", "en")})
        for member in load_legend(legend).classes
    ]


def _entry(catalog: Mapping, kind: str, name: str) -> Mapping:
    if name not in catalog[kind]:
        raise CatalogError(f"catalogs/recipes.yml has no {name!r} under {kind}; there are {', '.join(catalog[kind])}")
    return catalog[kind][name]
