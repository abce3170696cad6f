"""Every raster of the mosaics has a style; QML and SLD files are whole, and colors can be told apart by all eyes."""

from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb

from ceiba import labels
from ceiba.errors import CatalogError
from ceiba.mosaics import styles
from ceiba.products import load_definitions

RASTERS = [
    (definition.name, band.name)
    for definition in load_definitions().values()
    if definition.stage == "mosaics" and definition.is_raster
    for band in definition.measurements
]
SLD = "{http://www.opengis.net/sld}"
# Elements of OGC 02-070, annex A, in the order of its schema: name to (child, least, most); most 0 is any number.
SLD_SCHEMA = {
    "StyledLayerDescriptor": [("Name", 0, 1), ("Title", 0, 1), ("Abstract", 0, 1), ("NamedLayer", 0, 0)],
    "NamedLayer": [("Name", 1, 1), ("LayerFeatureConstraints", 0, 1), ("NamedStyle", 0, 0), ("UserStyle", 0, 0)],
    "UserStyle": [
        ("Name", 0, 1), ("Title", 0, 1), ("Abstract", 0, 1), ("IsDefault", 0, 1), ("FeatureTypeStyle", 1, 0),
    ],
    "FeatureTypeStyle": [
        ("Name", 0, 1), ("Title", 0, 1), ("Abstract", 0, 1), ("FeatureTypeName", 0, 1),
        ("SemanticTypeIdentifier", 0, 0), ("Rule", 1, 0),
    ],
    "Rule": [
        ("Name", 0, 1), ("Title", 0, 1), ("Abstract", 0, 1), ("LegendGraphic", 0, 1), ("Filter", 0, 1),
        ("MinScaleDenominator", 0, 1), ("MaxScaleDenominator", 0, 1), ("RasterSymbolizer", 1, 0),
    ],
    "RasterSymbolizer": [
        ("Geometry", 0, 1), ("Opacity", 0, 1), ("ChannelSelection", 0, 1), ("OverlapBehavior", 0, 1), ("ColorMap", 0, 1),
        ("ContrastEnhancement", 0, 1), ("ShadedRelief", 0, 1), ("ImageOutline", 0, 1),
    ],
    "ColorMap": [("ColorMapEntry", 0, 0)],
}  # fmt: skip
SLD_ATTRIBUTES = {"StyledLayerDescriptor": {"version"}, "ColorMapEntry": {"color", "opacity", "quantity", "label"}}


def check_element(element: ElementTree.Element) -> None:
    name = element.tag.removeprefix(SLD)
    assert element.tag == SLD + name, f"{element.tag} is not of the namespace of SLD"
    assert set(element.attrib) <= SLD_ATTRIBUTES.get(name, set()), f"{name}: {element.attrib}"
    if name not in SLD_SCHEMA:
        assert len(element) == 0, f"{name} holds elements"
        return
    children = [child.tag.removeprefix(SLD) for child in element]
    order = [child for child, _, _ in SLD_SCHEMA[name]]
    assert [order.index(child) for child in children] == sorted(order.index(child) for child in children), name
    for child, least, most in SLD_SCHEMA[name]:
        assert least <= children.count(child) <= (most or len(children)), f"{name}: {child}"
    for child in element:
        check_element(child)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    written = tmp_path_factory.mktemp("styles")
    paths = styles.write_styles(written)
    assert sorted(paths) == sorted(path for path in written.rglob("*") if path.is_file())
    return written


@pytest.mark.parametrize(("product", "measurement"), RASTERS)
def test_every_raster_has_style_titles_and_unit(product, measurement):
    definition = load_definitions()[product]
    band = next(band for band in definition.measurements if band.name == measurement)
    style = styles.find_style(product, measurement)
    assert set(definition.title) == set(band.title) == set(labels.LANGUAGES), "a title in es and en is missing"
    assert all(band.title.values()) and band.units
    for key in filter(None, (style.label, style.note)):
        assert all(labels.text(key, language) for language in labels.LANGUAGES)


def test_what_looks_like_bare_soil_says_so():
    for product, measurement in (("bu", "bu"), ("ndbi", "ndbi"), ("cwbg", "ndbi")):
        assert "bare soil" in styles.note_text(styles.find_style(product, measurement))
    assert "bare soil" in load_definitions()["bu"].title["en"]
    assert "suelo seco" in load_definitions()["bu"].title["es"]


@pytest.mark.parametrize(("product", "measurement"), RASTERS)
def test_qml_lists_every_stop(folder, product, measurement):
    text = (folder / product / f"{measurement}.qml").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE qgis PUBLIC")
    root = ElementTree.fromstring(text)
    style = styles.find_style(product, measurement)
    shader = root.find("pipe/rasterrenderer/rastershader/colorrampshader")
    assert root.tag == "qgis" and shader.get("colorRampType") == "INTERPOLATED"
    assert root.find("pipe/rasterrenderer").get("type") == "singlebandpseudocolor"
    items = [(float(item.get("value")), item.get("color")) for item in shader.iter("item")]
    assert [color for _, color in items] == list(style.colors)
    assert [value for value, _ in items] == pytest.approx([value for value, _ in style.stops], rel=1e-5)
    assert (float(shader.get("minimumValue")), float(shader.get("maximumValue"))) == style.range
    assert all(item.get("label") for item in shader.iter("item"))


@pytest.mark.parametrize(("product", "measurement"), RASTERS)
def test_sld_has_the_structure_of_ogc_and_every_stop(folder, product, measurement):
    root = ElementTree.parse(folder / product / f"{measurement}.sld").getroot()
    assert (root.tag, root.get("version")) == (f"{SLD}StyledLayerDescriptor", "1.0.0")
    check_element(root)
    style = styles.find_style(product, measurement)
    entries = list(root.iter(f"{SLD}ColorMapEntry"))
    assert [entry.get("color") for entry in entries] == list(style.colors)
    quantities = [float(entry.get("quantity")) for entry in entries]
    assert quantities == sorted(quantities)
    assert quantities == pytest.approx([value for value, _ in style.stops], rel=1e-5)
    title = root.find(f".//{SLD}UserStyle/{SLD}Title").text
    assert all(labels.text(style.label, language) in title for language in labels.LANGUAGES)
    assert styles.note_text(style) in root.find(f".//{SLD}UserStyle/{SLD}Abstract").text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("<Opacity>1</Opacity>", "<Opacity>1</Opacity><Opacity>1</Opacity>"),
        ("<Name>bu</Name>", "<Note>bu</Note>"),
        ("<Opacity>1</Opacity>", "<ShadedRelief/><Opacity>1</Opacity>"),
        ('quantity="0"', 'value="0"'),
        ("http://www.opengis.net/sld", "http://www.opengis.net/se"),
    ],
)
def test_the_structure_check_finds_what_is_wrong(right, wrong):
    definition = load_definitions()["bu"]
    text = styles.to_sld(definition, definition.measurements[0], styles.find_style("bu", "bu")).partition("\n")[2]
    check_element(ElementTree.fromstring(text))
    with pytest.raises((AssertionError, ValueError)):
        check_element(ElementTree.fromstring(text.replace(right, wrong)))


# Full loss of one cone type in linear RGB: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1.
EYES = {
    "all cones": np.eye(3),
    "no red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def as_lab(colors: list[str], eye: str) -> np.ndarray:
    """CIE L*a*b* (D65) of colors as an eye sees them, dims (color, 3)."""
    srgb = np.array([to_rgb(color) for color in colors])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(EYES[eye]).T, 0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("name", sorted(styles.load_styles()))
def test_no_two_values_look_alike(name, eye):
    style = styles.load_styles()[name]
    lab = as_lab(list(style.colors), eye)
    lightness = np.diff(lab[:, 0])
    if style.kind == "sequential":
        assert (lightness > 0).all() or (lightness < 0).all()
    elif style.kind == "diverging":
        middle = len(style.colors) // 2
        assert (lightness[:middle] > 0).all() and (lightness[middle:] < 0).all()
    else:
        assert style.colors[0] == style.colors[-1]
        lab = lab[:-1]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert apart[~np.eye(len(lab), dtype=bool)].min() > 4  # about twice what an eye just sees


def test_simulated_eyes_see_what_is_known():
    # a known pair of confusion: brown and green, far apart for all cones and near for no green cones
    pair = ["#8c6239", "#5b7a2d"]
    full, without = (np.linalg.norm(np.subtract(*as_lab(pair, eye))) for eye in ("all cones", "no green cones"))
    assert full > 30 > 2 * without
    assert as_lab(["#ffffff"], "all cones")[0] == pytest.approx([100, 0, 0], abs=0.1)


def test_figures_have_the_colors_of_the_files():
    values = xr.DataArray(
        [[-0.2, 1.0], [0.4, np.nan]], dims=("y", "x"), coords={"y": [15.0, 5.0], "x": [5.0, 15.0]}, name="ndvi"
    )
    figure, axes = plt.subplots()
    styles.show_styled(axes, values, "ndvi")
    image = axes.images[0]
    style = styles.find_style("ndvi", "ndvi")
    seen = image.cmap(image.norm(values.values))
    for position, color in (((0, 0), style.colors[0]), ((0, 1), style.colors[-1]), ((1, 0), style.colors[4])):
        np.testing.assert_allclose(seen[position][:3], to_rgb(color), atol=0.01)
    assert seen[1, 1][3] == 0
    plt.close(figure)
    figure, axes = plt.subplots()
    styles.draw_legends({"bu.bu": axes})
    assert "bare soil" in axes.get_title() and len(axes.get_xticks()) == 11
    plt.close(figure)


GOOD = {"ramps": {"gray": {"kind": "sequential", "colors": ["#000000", "#ffffff"]}}}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"ramp": "grey", "range": [0, 1], "label": "mosaics.red"}, "no ramp 'grey'; there are gray"),
        ({"ramp": "gray", "range": [1, 0], "label": "mosaics.red"}, "its range is 1 to 0"),
        ({"ramp": "gray", "range": [0, 1]}, "it needs ramp, range, label"),
        ({"ramp": "gray", "range": [0, 1], "label": "mosaics.red", "unit": "1"}, "it needs ramp, range, label"),
    ],
)
def test_a_wrong_style_is_told(entry, message):
    with pytest.raises(CatalogError, match=message):
        styles.read_styles(GOOD | {"styles": {"red": entry}})


def test_a_missing_style_is_told():
    with pytest.raises(CatalogError, match="no style for measurement 'tcw' of product ndvi"):
        styles.find_style("ndvi", "tcw")
