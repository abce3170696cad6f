"""Maps of products, drawn in the CRS that they are stored in: nothing is fetched, nothing is reprojected."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import cartopy.crs as ccrs
import geoviews as gv
import geoviews.plotting.bokeh  # noqa: F401 - registers the backend without writing scripts into a notebook
import holoviews as hv
import numpy as np
import pyproj
import xarray as xr
from bokeh.models import CustomJSHover, HoverTool, Metric
from holoviews.plotting.util import process_cmap

from ceiba import labels
from ceiba.dashboards.available import Loaded
from ceiba.errors import LegendError
from ceiba.grids import Tile
from ceiba.legends import LandCoverClass, Legend, load_legend
from ceiba.products import Measurement, ProductDefinition

hv.Store.set_current_backend("bokeh")

COLORS = {
    "viridis": ("ndvi", "vegetation", "integrity"),
    "cividis": ("water", "ndwi", "ndbi", "bu", "count"),
    "magma": ("entropy", "uncertainty", "mad"),
    "inferno": ("change",),
}
SHARES = ("probability", "frequency", "integrity", "entropy", "uncertainty", "share")
OWN_CLASSES = {"change": {1: "#d9dedb", 2: "#d55e00"}}
COMPOSITES = {"natural_color": ("red", "green", "blue"), "cwbg": ("ndbi", "ndvi", "ndwi")}
"""Measurements shown as red, green and blue, where a product has all three."""
STRETCH = (2, 98)
TOOLBAR = ":host(.bk-inner) { left: auto; width: max-content; background: white; opacity: 0.85; }"
BACKGROUND = "#eef1ee"
SCALE_BAR = {"bar_length": 0.15, "padding": 4, "background_fill_alpha": 0.75}


@dataclass(frozen=True)
class Look:
    """How a measurement is drawn: a palette with limits, the colours of a legend, or three bands as one picture."""

    title: str
    units: str = ""
    palette: str = "viridis"
    limits: tuple[float, float] = (0.0, 1.0)
    legend: Legend | None = None
    composite: tuple[str, ...] = ()


def list_layers(definition: ProductDefinition, language: str) -> dict[str, str]:
    """Layers of a raster product, title to name: its composites and then its measurements."""
    names = {band.name for band in definition.measurements}
    composites = {
        labels.text(f"dashboards.composite_{name}", language): name
        for name, bands in COMPOSITES.items()
        if set(bands) <= names and (name != "cwbg" or definition.name == "cwbg")
    }
    return composites | {band.title.get(language, band.name): band.name for band in definition.measurements}


def measurements_of(layer: str) -> tuple[str, ...]:
    """Measurements that a layer is drawn from."""
    return COMPOSITES.get(layer, (layer,))


def choose_look(definition: ProductDefinition, layer: str, loaded: Loaded, *, language: str) -> Look:
    """Palette, limits and words of a layer, the same for every year that follows."""
    title = {name: text for text, name in list_layers(definition, language).items()}[layer]
    if layer in COMPOSITES:
        return Look(title, composite=COMPOSITES[layer])
    band = next(each for each in definition.measurements if each.name == layer)
    legend = find_legend(band, loaded.settings)
    if legend:
        return Look(title, legend=legend)
    palette = next((name for name, words in COLORS.items() if any(word in layer for word in words)), "viridis")
    units = "" if band.units in ("1", "class") else band.units
    return Look(title, units, palette, limits_of(layer, loaded.data[layer], band))


def find_legend(band: Measurement, settings: Mapping[str, object]) -> Legend | None:
    """Legend of a categorical measurement: its own, or that of the place; None where it has none."""
    if band.units != "class":
        return None
    if band.name in OWN_CLASSES:
        return own_legend(band.name)
    for name in (band.legend, str(settings.get("legend", ""))):
        if name and "{" not in name:
            try:
                return load_legend(name)
            except LegendError:  # codes without words are still a map
                continue
    return None


def own_legend(name: str) -> Legend:
    """Legend of a measurement whose few classes are told by labels, not by a legend file."""
    classes = []
    for code, color in OWN_CLASSES[name].items():
        spanish, english = (labels.text(f"dashboards.class_{name}_{code}", language) for language in labels.LANGUAGES)
        classes.append(LandCoverClass(code, spanish, english, color))
    return Legend(name, tuple(classes))


def limits_of(layer: str, raster: xr.DataArray, band: Measurement) -> tuple[float, float]:
    """0 to 1 for shares and probabilities, else all but the outermost two percent of the values."""
    if any(word in layer for word in SHARES):
        return 0.0, 1.0
    values = as_float(raster, band.nodata)
    if not np.isfinite(values).any():
        return 0.0, 1.0
    low, high = np.nanpercentile(values, STRETCH)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def as_float(raster: xr.DataArray, nodata: float) -> np.ndarray:
    """Values with NaN for no data, dims ``(y, x)``."""
    values = raster.values.astype("float64")
    return values if np.isnan(nodata) else np.where(values == nodata, np.nan, values)


def projection(tile: Tile) -> ccrs.Projection:
    """The CRS of a tile for plotting; those without a named area of use get the tile and its surroundings as limits."""
    made = ccrs.Projection(pyproj.CRS(tile.crs).to_wkt())
    if made.bounds is None:
        left, bottom, right, top = tile.bounds
        margin = max(right - left, top - bottom)
        made.bounds = (left - margin, right + margin, bottom - margin, top + margin)
    return made


def draw_map(loaded: Loaded, definition: ProductDefinition, layer: str, look: Look, tile: Tile) -> hv.Element:
    """One layer of one period as a GeoViews element, north up, one metre as long in both directions."""
    crs = projection(tile)
    data = loaded.data
    x, y = data["x"].values, data["y"].values
    if look.composite:
        element = gv.RGB((x, y, *stretch(data, look.composite)), crs=crs, vdims=["red", "green", "blue", "alpha"])
        return element.opts(**frame_options(crs, tile), tools=["tap"])
    band = next(each for each in definition.measurements if each.name == layer)
    if look.legend:
        return _draw_classes(data[layer], look.legend, (x, y), crs, tile)
    values = as_float(data[layer], band.nodata)
    element = gv.Image((x, y, values), kdims=["x", "y"], vdims=[hv.Dimension("value", label=look.title, unit=look.units or None)], crs=crs)
    hover = HoverTool(tooltips=[(look.title, "@image{0.000}")])
    return element.opts(
        **frame_options(crs, tile), cmap=look.palette, clim=look.limits, colorbar=False, tools=["tap", hover]
    )


def _draw_classes(raster: xr.DataArray, legend: Legend, axes: tuple, crs: ccrs.Projection, tile: Tile) -> hv.Element:
    """Classes by their place in the legend, so that each meets its own colour whatever classes a tile has."""
    places = {entry.code: position for position, entry in enumerate(legend.classes)}
    values = np.vectorize(lambda code: places.get(int(code), np.nan), otypes=[float])(raster.values)
    names = [f"{entry.name_es} | {entry.name_en}" for entry in legend.classes]
    words = CustomJSHover(args={"names": names}, code="return isFinite(value) ? names[Math.round(value)] : '';")
    hover = HoverTool(tooltips=[("", "@image{custom}")], formatters={"@image": words})
    element = gv.Image((*axes, values), kdims=["x", "y"], vdims=["class"], crs=crs)
    return element.opts(
        **frame_options(crs, tile), cmap=[entry.color for entry in legend.classes], clim=(-0.5, len(legend) - 0.5), colorbar=False,
        tools=["tap", hover],
    )  # fmt: skip


def frame_options(crs: ccrs.Projection, tile: Tile) -> dict[str, object]:
    """Options of every map. Nothing but the map is inside, so that its aspect is that of the ground; the scale of colours
    stands below, in words of the page."""
    left, bottom, right, top = tile.bounds
    aspect = (right - left) / (top - bottom)
    return {
        "projection": crs, "responsive": True, "aspect": aspect, "xaxis": None, "yaxis": None, "scalebar": True,
        "scalebar_unit": "m", "scalebar_tool": False, "scalebar_opts": SCALE_BAR,
        "default_tools": ["pan", "wheel_zoom", "reset"], "active_tools": [],
        "toolbar": "above", "bgcolor": BACKGROUND, "title": "", "framewise": True, "hooks": [functools.partial(_tidy, aspect=aspect)],
    }  # fmt: skip


def join_layers(layers: hv.Element, tile: Tile) -> hv.Element:
    """Layers over each other in one map, which keeps its size when a layer changes."""
    left, bottom, right, top = tile.bounds
    return layers.opts(responsive=True, hooks=[functools.partial(_tidy, aspect=(right - left) / (top - bottom))])


def _tidy(plot, element, *, aspect: float) -> None:
    """What no option of HoloViews reaches: tools inside the map, no margins, and metres or kilometres on the scale bar."""
    plot.state.toolbar_inner, plot.state.min_border, plot.state.toolbar.logo = True, 0, None
    plot.state.toolbar.stylesheets = [TOOLBAR]
    # HoloViews sets another sizing at each new year or point, under which the map loses its height.
    plot.state.sizing_mode, plot.state.aspect_ratio = "stretch_width", aspect
    if "scalebar" in plot.handles:
        plot.handles["scalebar"].dimensional = Metric(base_unit="m", include=["m", "km"])


def color_steps(palette: str) -> list[str]:
    """Colours of a palette from low to high, ``#rrggbb``."""
    return process_cmap(palette, 24)


def stretch(data: xr.Dataset, bands: tuple[str, ...]) -> list[np.ndarray]:
    """Three bands and an alpha band in 0 to 1; what lacks a band is transparent."""
    stacked = np.stack([data[band].values.astype("float64") for band in bands])
    seen = np.isfinite(stacked).all(axis=0)
    if not seen.any():
        return [np.zeros(seen.shape) for _ in range(4)]
    shown = []
    for plane in stacked:
        low, high = np.percentile(plane[seen], STRETCH)
        shown.append(np.clip(np.nan_to_num((plane - low) / max(high - low, 1e-9)), 0, 1))
    return [*shown, seen.astype("float64")]


def draw_point(x: float | None, y: float | None, tile: Tile) -> hv.Element:
    """A ring around the chosen point."""
    points = [] if x is None or y is None else [(x, y)]
    crs = projection(tile)
    return gv.Points(points, crs=crs).opts(size=14, fill_alpha=0, line_color="#d1007f", line_width=3, tools=[], **frame_options(crs, tile))


def count_classes(raster: xr.DataArray, legend: Legend) -> list[tuple[str, str, str, float]]:
    """Classes present, commonest first: Spanish name, English name, colour, share of the mapped pixels [1]."""
    codes, counts = np.unique(raster.values, return_counts=True)
    known = {entry.code: entry for entry in legend.classes}
    pairs = [(known[int(code)], count) for code, count in zip(codes, counts, strict=True) if int(code) in known]
    total = sum(count for _, count in pairs) or 1
    pairs.sort(key=lambda pair: -pair[1])
    return [(entry.name_es, entry.name_en, entry.color, count / total) for entry, count in pairs]
