"""A legend as styles for other programs: QGIS (QML and color map file), OGC SLD, datacube-ows, GDAL color tables."""

from pathlib import Path
from xml.etree import ElementTree

import yaml

from ceiba.errors import LegendError, StoreError
from ceiba.legends import Legend

FORMATS = ("qml", "sld", "clr", "txt", "ows.yml")
QML_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"


def write_styles(legend: Legend, folder: str | Path, *, language: str = "es") -> list[Path]:
    """Write a legend in every format of :data:`FORMATS`.

    Parameters
    ----------
    legend
        The legend.
    folder
        Where to write; it is made where it is not there.
    language
        Language of the names, "es" or "en"; raises :class:`LegendError` on another one, :class:`StoreError` where the folder
        cannot be written.

    Returns
    -------
    list of Path
        ``<legend>.qml`` (QGIS takes it up beside a raster of that name), ``.sld``, ``.clr`` (code, red, green, blue), ``.txt``
        (a color map of QGIS) and ``.ows.yml`` (a style of datacube-ows).
    """
    makers = {"qml": to_qml, "sld": to_sld, "clr": to_clr, "txt": to_qgis_text, "ows.yml": to_ows}
    contents = {suffix: makers[suffix](legend, language) for suffix in FORMATS}
    paths = {suffix: Path(folder) / f"{legend.name}.{suffix}" for suffix in FORMATS}
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for suffix, content in contents.items():
            paths[suffix].write_text(content, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error}") from error
    return list(paths.values())


def to_qml(legend: Legend, language: str) -> str:
    """QGIS layer style with a paletted renderer: one entry a class, no data transparent."""
    root = ElementTree.Element("qgis", version="3.16", styleCategories="Symbology")
    pipe = ElementTree.SubElement(root, "pipe")
    renderer = ElementTree.SubElement(
        pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    ElementTree.SubElement(renderer, "rasterTransparency")
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for code, color, name in _entries(legend, language):
        ElementTree.SubElement(palette, "paletteEntry", value=str(code), color=color, label=name, alpha="255")
    return QML_DOCTYPE + _as_text(root)


def to_sld(legend: Legend, language: str) -> str:
    """OGC Styled Layer Descriptor 1.0.0 (OGC 02-070) with a color map of single values."""
    root = ElementTree.Element("StyledLayerDescriptor", xmlns="http://www.opengis.net/sld", version="1.0.0")
    layer = ElementTree.SubElement(root, "NamedLayer")
    ElementTree.SubElement(layer, "Name").text = legend.name
    style = ElementTree.SubElement(layer, "UserStyle")
    ElementTree.SubElement(style, "Name").text = legend.name
    rule = ElementTree.SubElement(ElementTree.SubElement(style, "FeatureTypeStyle"), "Rule")
    colors = ElementTree.SubElement(ElementTree.SubElement(rule, "RasterSymbolizer"), "ColorMap", type="values")
    for code, color, name in _entries(legend, language):
        ElementTree.SubElement(colors, "ColorMapEntry", color=color, quantity=str(code), label=name, opacity="1")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _as_text(root)


def to_clr(legend: Legend, language: str) -> str:
    """Color table of GDAL and ArcGIS: ``code red green blue`` a line; names have no place in it."""
    return "".join(f"{code} {_decimal(color, ' ')}\n" for code, color, _ in _entries(legend, language))


def to_qgis_text(legend: Legend, language: str) -> str:
    """Color map file of QGIS ("load color map from file"): value, red, green, blue, alpha, name."""
    lines = ["# QGIS Generated Color Map Export File", "INTERPOLATION:EXACT"]
    # A comma would end the field.
    rows = _entries(legend, language)
    lines += [f"{code},{_decimal(color, ',')},255,{name.replace(',', ';')}" for code, color, name in rows]
    return "\n".join(lines) + "\n"


def to_ows(legend: Legend, language: str) -> str:
    """A style of datacube-ows: a value map of the band ``land_cover``."""
    rules = [
        {"title": name, "abstract": entry_name, "values": [code], "color": color}
        for (code, color, name), (_, _, entry_name) in zip(
            _entries(legend, language), _entries(legend, "en" if language == "es" else "es"), strict=True
        )
    ]
    style = {"name": legend.name, "title": legend.name, "abstract": legend.name, "value_map": {"land_cover": rules}}
    return yaml.safe_dump(style, allow_unicode=True, sort_keys=False)


def _entries(legend: Legend, language: str) -> list[tuple[int, str, str]]:
    if language not in ("es", "en"):
        raise LegendError(f"no class names in language {language!r}; there are es, en")
    return [(entry.code, entry.color, entry.label(language)) for entry in sorted(legend.classes, key=lambda e: e.code)]


def _decimal(color: str, separator: str) -> str:
    return separator.join(str(int(color[place : place + 2], 16)) for place in (1, 3, 5))


def _as_text(root: ElementTree.Element) -> str:
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="unicode") + "\n"
