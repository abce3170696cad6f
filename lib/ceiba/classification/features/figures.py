"""Tables and maps of the features of a recipe, worded in both languages."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from ceiba import labels
from ceiba.classification.features.recipes import Recipe
from ceiba.mosaics.display import extent_m, thin

SHOWN_PERCENT = (2, 98)  # percentiles of a feature that are its first and last color
COLUMNS = 3


def definition_table(recipe: Recipe) -> pd.DataFrame:
    """The declared schema with headings in both languages, one row a feature."""
    headings = {"feature": "feature", "units": "units", "part": "recipe_part"}
    table = recipe.table().rename(columns={"es": "Español", "en": "English"})
    return table.rename(columns={name: labels.both(f"classification.{key}") for name, key in headings.items()})


def value_table(features: xr.Dataset) -> pd.DataFrame:
    """Lowest, middle and highest value of each feature, and its share of pixels without a value [1]."""
    rows = []
    for name, layer in features.data_vars.items():
        known = layer.values[np.isfinite(layer.values)]
        low, middle, high = np.percentile(known, [0, 50, 100]) if known.size else [np.nan] * 3
        rows.append([name, layer.attrs.get("units", ""), low, middle, high, 1 - known.size / layer.size])
    keys = ("feature", "units", "lowest", "middle", "highest", "unknown_share")
    return pd.DataFrame(rows, columns=[labels.both(f"classification.{key}") for key in keys])


def draw_features(features: xr.Dataset, recipe: Recipe, names: Sequence[str]) -> Figure:
    """A map a feature, each from its 2nd to its 98th percentile; grey is no data. Dims ``(y, x)``, coordinates [m]."""
    known = {feature.name: feature for feature in recipe.features}
    rows = -(-len(names) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 3.6 * rows), squeeze=False, layout="constrained")
    for place, name in zip(axes.flat, names, strict=False):
        layer = thin(features[name]).compute()
        low, high = np.nanpercentile(layer, SHOWN_PERCENT) if layer.notnull().any() else (0, 1)
        place.set_facecolor("0.75")
        image = place.imshow(layer, extent=extent_m(features[name]), cmap="viridis", vmin=low, vmax=high, interpolation="nearest")
        figure.colorbar(image, ax=place, shrink=0.8).set_label(f"{name} [{known[name].units}]", fontsize=8)
        place.set_title("\n".join(known[name].title[language] for language in labels.LANGUAGES), fontsize=8)
        place.set(xlabel=labels.both("classification.easting"), ylabel=labels.both("classification.northing"))
        place.ticklabel_format(style="plain", useOffset=False)
        place.locator_params(nbins=3)
        place.tick_params(labelsize=7)
    for place in axes.flat[len(names) :]:
        place.set_visible(False)
    return figure
