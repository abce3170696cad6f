"""Where the scenes of a plan lie, drawn before anything is fetched."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Polygon

from ceiba import labels
from ceiba.ard.fetch_plans import NOTHING, Step
from ceiba.grids import Tile

PLAIN_COLOR, TILE_COLOR = "#9e9e9e", "#d95f02"
MARGIN = 0.15


def draw_footprints(axes: Axes, steps: Sequence[Step], tile: Tile) -> None:
    """Draw the outlines of the offered scenes, in the color of their cloud cover [%], over the tile (EPSG:4326, degrees).

    Scenes that the plan leaves out are grey and dashed. Scenes of local archives tell their outline only when they are read.
    """
    place = tile.extent.to_crs("EPSG:4326")
    offers = [step for step in steps if step.footprint is not None]
    wanted = [step for step in offers if step.action != NOTHING or step.dataset_id]
    left_out = [step for step in offers if step not in wanted]
    axes.add_collection(
        PatchCollection(_patches(left_out), facecolor="none", edgecolor=PLAIN_COLOR, linestyle="--", linewidth=0.7)
    )
    patches, cloud = _patches(wanted), _cloud(wanted)
    collection = PatchCollection(patches, alpha=0.35, edgecolor="black", linewidth=0.6, cmap="viridis")
    collection.set_array(cloud)
    collection.set_clim(0, 100)
    axes.add_collection(collection)
    axes.add_collection(PatchCollection(_outlines(place.geom), facecolor="none", edgecolor=TILE_COLOR, linewidth=1.6))
    if patches:
        axes.figure.colorbar(collection, ax=axes, label=labels.both("ard.cloud_cover"), shrink=0.8)
    bounds = np.array([place.boundingbox.bbox] + [step.footprint.bounds for step in offers])
    left, bottom, right, top = *bounds[:, :2].min(axis=0), *bounds[:, 2:].max(axis=0)
    across, up = MARGIN * (right - left), MARGIN * (top - bottom)
    axes.set(xlim=(left - across, right + across), ylim=(bottom - up, top + up), aspect="equal")
    axes.set(xlabel=labels.both("ard.longitude"), ylabel=labels.both("ard.latitude"))
    axes.set_title(labels.both("ard.footprints_title" if offers else "ard.tile_title"))


def _outlines(geometry) -> list[Polygon]:
    parts = getattr(geometry, "geoms", [geometry])
    return [Polygon(np.asarray(part.exterior.coords)[:, :2], closed=True) for part in parts]


def _patches(steps: Sequence[Step]) -> list[Polygon]:
    return [patch for step in steps for patch in _outlines(step.footprint)]


def _cloud(steps: Sequence[Step]) -> np.ma.MaskedArray:
    shares = [step.cloud_cover for step in steps for _ in _outlines(step.footprint)]
    return np.ma.masked_invalid(np.array(shares, dtype="float64"))
