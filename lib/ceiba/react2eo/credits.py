"""Where the data of a layer come from, and who is to be named where they are shown."""

import functools
from collections.abc import Iterator

from ceiba import labels
from ceiba.products import load_definitions
from ceiba.react2eo.layers import Layer

SCENES = {"s2_l2a_scenes": "react2eo.credit_sentinel", "landsat_scenes": "react2eo.credit_landsat"}
"""Archives whose owners ask to be named, and with which words."""


def source_line(layer: Layer, language: str) -> str:
    """Where the data come from, with "real" or "simulated", without the tile and year of the newest file."""
    period = layer.periods[-1]
    return layer.source[language].removesuffix(f", {layer.rasters[period][-1].tile.name}, {period}")


def credit_lines(layer: Layer, language: str) -> Iterator[str]:
    """Words that the owners of the scenes behind a layer ask for, and who drew the frames."""
    if not layer.region.simulated:
        lacking = set(layer.region.place.lacks)
        for name in sorted(_scenes_behind(layer.definition.name) - lacking):
            yield labels.text(SCENES[name], language)
    yield labels.text("react2eo.made_with", language)


@functools.cache
def _scenes_behind(product: str) -> frozenset[str]:
    definitions = load_definitions()
    rules = definitions[product].inputs
    # What an optional product was made from is not certain to be in this one; which scenes a place lacks is known.
    made = {rule.name for rule in rules if rule.required} & definitions.keys() - SCENES.keys()
    return frozenset(({rule.name for rule in rules} & SCENES.keys()).union(*(_scenes_behind(name) for name in made)))
