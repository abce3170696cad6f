"""How the rasters of the mosaics are drawn, from ``catalogs/styles``: in figures, and as styles for QGIS (QML) and map servers (SLD)."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import xarray as xr
import yaml
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from ceiba import labels
from ceiba.config import project_root
from ceiba.errors import CatalogError
from ceiba.mosaics import display
from ceiba.products import Measurement, ProductDefinition, find_definition, load_definitions

STAGE = "mosaics"
KINDS = ("sequential", "diverging", "cyclic")
QML_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
SLD_NAMESPACE = "http://www.opengis.net/sld"
SLD_VERSION = "1.0.0"


@dataclass(frozen=True)
class Style:
    """How one measurement is drawn.

    Attributes
    ----------
    name
        Key in the catalogue: a measurement, or ``product.measurement``.
    kind
        "sequential", "diverging" or "cyclic".
    colors
        ``#rrggbb`` from the lowest to the highest value, at equal distances.
    range
        Values of the first and the last color, in the unit of the measurement.
    label, note
        Keys of the text of the legend, with its unit, and of a caution that must stand beside it (empty where none is due).
    """

    name: str
    kind: str
    colors: tuple[str, ...]
    range: tuple[float, float]
    label: str
    note: str = ""

    @property
    def stops(self) -> tuple[tuple[float, str], ...]:
        """Value and color of every stop, from the lowest value."""
        values = np.linspace(*self.range, len(self.colors)).round(6)
        return tuple(zip(map(float, values), self.colors, strict=True))

    @property
    def colormap(self) -> LinearSegmentedColormap:
        """The colors for Matplotlib, linear between the stops; no data is transparent."""
        colormap = LinearSegmentedColormap.from_list(self.name, list(self.colors))
        colormap.set_bad((0, 0, 0, 0))
        return colormap


@functools.cache
def load_styles() -> dict[str, Style]:
    """All styles of the mosaics by name; raises :class:`CatalogError` that says what is wrong."""
    path = project_root() / "catalogs" / "styles" / f"{STAGE}.yml"
    return read_styles(yaml.safe_load(path.read_text("utf-8")))


def read_styles(catalog: Mapping) -> dict[str, Style]:
    """Check the content of a file of styles; raises :class:`CatalogError`."""
    ramps = catalog["ramps"]
    for name, ramp in ramps.items():
        if ramp["kind"] not in KINDS or len(ramp["colors"]) < 2:
            raise CatalogError(f"ramp {name!r}: needs two colors or more and a kind out of {', '.join(KINDS)}")
    styles = {}
    for name, entry in catalog["styles"].items():
        unknown = sorted(set(entry) - {"ramp", "range", "label", "note"})
        if unknown or not {"ramp", "range", "label"} <= set(entry):
            raise CatalogError(f"style {name!r} has {', '.join(entry)}; it needs ramp, range, label and may have note")
        if entry["ramp"] not in ramps:
            raise CatalogError(f"style {name!r}: no ramp {entry['ramp']!r}; there are {', '.join(ramps)}")
        low, high = (float(value) for value in entry["range"])
        if not low < high:
            raise CatalogError(f"style {name!r}: its range is {low:g} to {high:g}; give the lower value first")
        ramp = ramps[entry["ramp"]]
        styles[name] = Style(
            name, ramp["kind"], tuple(ramp["colors"]), (low, high), entry["label"], entry.get("note", "")
        )
    return styles


def find_style(product: str, measurement: str) -> Style:
    """Style of a measurement of a product: its own, else that of all measurements of the name; raises :class:`CatalogError`."""
    styles = load_styles()
    for name in (f"{product}.{measurement}", measurement):
        if name in styles:
            return styles[name]
    raise CatalogError(
        f"no style for measurement {measurement!r} of product {product}; add it to catalogs/styles/{STAGE}.yml, "
        f"which has {', '.join(styles)}"
    )


def styled_rasters() -> list[tuple[ProductDefinition, Measurement, Style]]:
    """Every measurement of every raster product of the mosaics with its style."""
    return [
        (definition, band, find_style(definition.name, band.name))
        for definition in load_definitions().values()
        if definition.stage == STAGE and definition.is_raster
        for band in definition.measurements
    ]


def show_styled(axes: Axes, values: xr.DataArray, product: str) -> None:
    """Draw a measurement, dims ``(y, x)`` and named as in its ``product``, in its own colors with its color bar."""
    style = find_style(product, str(values.name))
    display.show_map(axes, values, label=style.label, cmap=style.colormap, limits=style.range)


def draw_maps(layers: xr.Dataset, product: str, *, title: str, columns: int = 3) -> Figure:
    """A figure with the measurements of a ``product``, dims ``(y, x)``, each in its own colors, ``columns`` in a row."""
    names = list(layers.data_vars)
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4.6 * columns, 4.3 * rows), layout="constrained", squeeze=False)
    for place in axes.ravel()[len(names) :]:
        place.set_axis_off()
    for name, place in zip(names, axes.ravel(), strict=False):
        show_styled(place, layers[name], product)
    figure.suptitle(title)
    return figure


def write_styles(folder: str | Path) -> list[Path]:
    """Write a QML and an SLD file for every measurement of every raster product of the mosaics.

    QGIS takes up ``ndvi.qml`` by itself where it lies beside ``ndvi.tif``; GeoServer and others read the SLD file.

    Parameters
    ----------
    folder
        Where to write; a folder a product is made in it.

    Returns
    -------
    list of Path
        The files, ``<product>/<measurement>.qml`` and ``.sld``.
    """
    written = []
    for definition, band, style in styled_rasters():
        place = Path(folder) / definition.name
        place.mkdir(parents=True, exist_ok=True)
        for suffix, content in (("qml", to_qml(band, style)), ("sld", to_sld(definition, band, style))):
            path = place / f"{band.name}.{suffix}"
            path.write_text(content, encoding="utf-8")
            written.append(path)
    return written


def to_qml(band: Measurement, style: Style) -> str:
    """A measurement's style for QGIS: one band in pseudocolor, linear between the stops."""
    low, high = (f"{value:g}" for value in style.range)
    root = ElementTree.Element("qgis", version="3.16", styleCategories="Symbology|LayerConfiguration")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="singlebandpseudocolor", band="1", opacity="1", alphaBand="-1",
        classificationMin=low, classificationMax=high, nodataColor="",
    )  # fmt: skip
    ElementTree.SubElement(renderer, "rasterTransparency")
    shader = ElementTree.SubElement(ElementTree.SubElement(renderer, "rastershader"), "colorrampshader")
    for key, value in {
        "colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0",
        "minimumValue": low, "maximumValue": high, "labelPrecision": "3",
    }.items():  # fmt: skip
        shader.set(key, value)
    for value, color in style.stops:
        text = stop_label(value, band)
        ElementTree.SubElement(shader, "item", value=f"{value:g}", label=text, color=color, alpha="255")
    for element in ("brightnesscontrast", "huesaturation", "rasterresampler"):
        ElementTree.SubElement(pipe, element)
    properties = ElementTree.SubElement(root, "customproperties")
    for key, value in {"ceiba/title": labels.both(style.label), "ceiba/note": note_text(style)}.items():
        if value:
            ElementTree.SubElement(properties, "property", key=key, value=value)
    return QML_DOCTYPE + _as_text(root)


def to_sld(definition: ProductDefinition, band: Measurement, style: Style) -> str:
    """A measurement's style as OGC Styled Layer Descriptor 1.0.0 (OGC 02-070) with a raster symbolizer."""
    root = ElementTree.Element("StyledLayerDescriptor", xmlns=SLD_NAMESPACE, version=SLD_VERSION)
    layer = ElementTree.SubElement(root, "NamedLayer")
    ElementTree.SubElement(layer, "Name").text = f"{definition.name}_{band.name}"
    user = ElementTree.SubElement(layer, "UserStyle")
    ElementTree.SubElement(user, "Name").text = style.name
    ElementTree.SubElement(user, "Title").text = labels.both(style.label)
    product = " | ".join(definition.title[language] for language in labels.LANGUAGES)
    ElementTree.SubElement(user, "Abstract").text = ". ".join(filter(None, (product, note_text(style))))
    rule = ElementTree.SubElement(ElementTree.SubElement(user, "FeatureTypeStyle"), "Rule")
    symbolizer = ElementTree.SubElement(rule, "RasterSymbolizer")
    ElementTree.SubElement(symbolizer, "Opacity").text = "1"
    colors = ElementTree.SubElement(symbolizer, "ColorMap")
    for value, color in style.stops:
        entry = {"color": color, "opacity": "1", "quantity": f"{value:g}", "label": stop_label(value, band)}
        ElementTree.SubElement(colors, "ColorMapEntry", entry)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _as_text(root)


def stop_label(value: float, band: Measurement) -> str:
    """Text of a stop in a legend: whole numbers for counts and days, the unit where there is one."""
    number = f"{value:.0f}" if np.dtype(band.dtype).kind in "iu" else f"{value:.3g}"
    return number if band.units == "1" else f"{number} {band.units}"


def note_text(style: Style) -> str:
    """The caution of a style in both languages, empty where there is none."""
    return labels.both(style.note) if style.note else ""


def draw_legends(axes_of: Mapping[str, Axes]) -> None:
    """Draw the color bars of styles with their texts, each on its own axes, ``{"product.measurement": axes}``."""
    for name, axes in axes_of.items():
        product, measurement = name.split(".")
        style = find_style(product, measurement)
        band = next(band for band in find_definition(product).measurements if band.name == measurement)
        axes.imshow(np.linspace(0, 1, 256)[np.newaxis], aspect="auto", cmap=style.colormap, extent=(0, 1, 0, 1))
        places = np.linspace(0, 1, len(style.stops))
        axes.set_xticks(places, [stop_label(value, band) for value, _ in style.stops], fontsize=6)
        axes.set_yticks([])
        lines = [f"{name}: {labels.both(style.label)}", *note_text(style).split(" | ")]
        axes.set_title("\n".join(filter(None, lines)), fontsize=7)


def _as_text(root: ElementTree.Element) -> str:
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"
