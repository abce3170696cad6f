"""Crosswalks between legends and schemes, and legends as styles for other programs."""

import csv
from xml.etree import ElementTree

import dask.array
import numpy as np
import pytest
import xarray as xr
import yaml
from typer.testing import CliRunner

from ceiba import legend_styles
from ceiba.cli import app
from ceiba.config import project_root
from ceiba.crosswalks import list_crosswalks, load_crosswalk, scheme_codes
from ceiba.errors import LegendError, StoreError
from ceiba.legends import load_legend

SLD_ORDER = ("NamedLayer", "UserStyle", "FeatureTypeStyle", "Rule", "RasterSymbolizer", "ColorMap", "ColorMapEntry")
COLUMNS = "from_code,to_code,relation,status,note\n"


@pytest.mark.parametrize("name", list_crosswalks())
def test_every_crosswalk_is_complete_and_its_codes_exist(name):
    source, target = name.split("__")
    walk = load_crosswalk(source, target)
    assert scheme_codes(target) is not None
    assert all(spanish and english for spanish, english in (scheme_codes(source) or {}).values())
    assert all(link.note for link in walk.links if link.relation == "none")


def test_the_older_32_classes_have_one_class_more():
    """Anchors known from public code of MAD-Mex: mangrove 9, urban 30, water 32, planted forest 6."""
    walk, legend = load_crosswalk("mexico_32", "mexico_31"), load_legend("mexico_31")
    known = {9: "Manglar y Petén", 30: "Urbano y Construido", 32: "Agua"}
    assert {code: legend.find(int(walk.target_of(code))).name_es for code in known} == known
    land_cover = xr.DataArray(dask.array.from_array(np.array([[0, 9, 32], [1, 28, 7]], "uint8")), dims=("y", "x"))
    coded = walk.recode(land_cover)
    assert coded.chunks is not None
    assert coded.values.tolist() == [[0, 8, 31], [1, 27, 6]]
    with pytest.raises(LegendError, match="has no class there"):
        walk.recode(xr.DataArray(np.array([6], "uint8"), dims="x")).compute()
    assert walk.recode(xr.DataArray(np.array([6, 9], "uint8"), dims="x"), without_class=0).values.tolist() == [0, 8]


def test_ambiguous_and_unknown_codes_are_refused_by_name():
    walk = load_crosswalk("mexico_31", "iucn_get")
    assert walk.target_of(23) == "MT2.1"
    assert set(walk.targets_of(28)) == {"T7.1", "T7.3"}
    with pytest.raises(LegendError, match=r"could be T7.1, T7.3"):
        walk.target_of(28)
    with pytest.raises(LegendError, match="has no code 99"):
        walk.target_of(99)
    with pytest.raises(LegendError, match="there are colombia_17__ipcc_6"):
        load_crosswalk("mexico_31", "nowhere")


def test_secondary_vegetation_of_inegi_goes_with_its_key():
    """Facts of the public processing of CONABIO's training data: VSA/MKX and VSA/VHH were classes 14 and 26 of the 32."""
    inegi, older = load_crosswalk("inegi_usv", "mexico_31"), load_crosswalk("mexico_32", "mexico_31")
    for key, code in {"VSA/MKX": 14, "VSA/VPN": 8, "VSA/MKE": 5, "VSA/VHH": 26, "VSA/PT": 9, "VSA/SBQP": 8, "VP": 8, "IAPF": 29}.items():
        assert inegi.target_of(key) == older.target_of(code)
    # The slash of "país extranjero" stands before no state of a class.
    assert inegi.targets_of("P/E") == ()


def test_keys_of_inegi_are_those_of_the_field_manual():
    """Keys and names as the forest inventory of Mexico lists them for its field teams (written down from there by hand)."""
    manual = {
        "MJ": "Matorral de coníferas", "DV": "Sin vegetación aparente", "ADV": "Desprovisto de vegetación", "BS": "Bosque de ayarín",
        "MK": "Bosque de mezquite", "MKE": "Mezquital tropical", "VW": "Pradera de alta montaña", "VSI": "Sabanoide",
        "PT": "Vegetación de petén", "SBQ": "Selva baja espinosa subperennifolia", "SBQP": "Selva baja subperennifolia",
        "SBK": "Selva baja espinosa caducifolia",
        "VH": "Vegetación halófila xerófila", "VHH": "Vegetación halófila hidrófila",
        "SG": "Selva de galería", "VG": "Vegetación de galería",
    }  # fmt: skip
    names = {code: spanish for code, (spanish, _) in scheme_codes("inegi_usv").items()}
    assert {key: names[key] for key in manual} == manual
    assert load_crosswalk("inegi_usv", "mexico_31").target_of("VSa/MJ") == "2"


def test_the_commands_show_and_write(tmp_path):
    for arguments in (["list"], ["show", "mexico_38"], ["crosswalk", "mexico_31", "ipcc_6"]):
        assert CliRunner().invoke(app, ["legend", *arguments], catch_exceptions=False).exit_code == 0
    CliRunner().invoke(app, ["legend", "styles", "mexico_17", "--to", str(tmp_path)], catch_exceptions=False)
    assert len(list(tmp_path.iterdir())) == len(legend_styles.FORMATS)


def test_corine_codes_of_colombia_go_by_their_longest_beginning():
    walk = load_crosswalk("corine_colombia", "colombia_17")
    legend = load_legend("colombia_17")
    assert legend.find(int(walk.target_of("3111"))).name_es == "Bosque denso"
    assert legend.find(int(walk.target_of("523"))).name_es == "Superficies de agua"
    assert legend.find(int(walk.target_of("231"))).name_es == "Pastos"
    # The same facts stand in the legend itself.
    for entry in legend.classes:
        assert walk.target_of(entry.facts["clc_colombia_codes"].rstrip("*")) == str(entry.code)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("1,2,equal,source,\n", "codes left out: 2"),
        ("1,9,equal,source,\n2,1,equal,source,\n", "1 goes to 9"),
        ("1,1,same,source,\n2,1,equal,sure,\n", "relation 'same'.*status 'sure'"),
        ("1,1,equal,source,\n1,1,equal,source,\n2,,equal,source,\n", "twice.*to_code ''"),
        ("1,1,equal,source,\n2,2,equal,source,\n7,1,equal,source,\n", "7 is no code of the source"),
        ("1,1,narrower,source,\n1,2,narrower,source,\n2,2,equal,source,\n", "1 lies in 1, 2: of several, all overlap"),
        ("1,1,equal,source,\n2,1,equal,source,\n", "1 is equal to several codes"),
    ],
)
def test_a_faulty_crosswalk_is_refused_with_the_fault_named(tmp_path, rows, message):
    (tmp_path / "schemes").mkdir()
    (tmp_path / "schemes" / "a.csv").write_text("code,name_es,name_en\n1,uno,one\n2,dos,two\n", "utf-8")
    (tmp_path / "a__a.csv").write_text(COLUMNS + rows, "utf-8")
    with pytest.raises(LegendError, match=message):
        load_crosswalk("a", "a", tmp_path)


@pytest.mark.parametrize("language", ["es", "en"])
@pytest.mark.parametrize("name", [path.stem for path in (project_root() / "catalogs" / "legends").glob("*.csv")])
def test_styles_have_the_colors_of_the_file_as_other_readers_see_them(tmp_path, name, language):
    """The file read by csv alone, the styles by lxml, yaml and plain lines."""
    etree = pytest.importorskip("lxml.etree")
    with (project_root() / "catalogs" / "legends" / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        wanted = {row["code"]: (row["color"], row[f"name_{language}"]) for row in csv.DictReader(lines)}
    files = {path.name.partition(".")[2]: path for path in legend_styles.write_styles(load_legend(name), tmp_path, language=language)}
    strict = etree.XMLParser(resolve_entities=False, no_network=True)
    qml = etree.parse(files["qml"], strict).iterfind("pipe/rasterrenderer[@type='paletted']/colorPalette/paletteEntry")
    assert {each.get("value"): (each.get("color"), each.get("label")) for each in qml} == wanted
    way = "/".join(f"{{http://www.opengis.net/sld}}{part}" for part in SLD_ORDER)
    sld = etree.parse(files["sld"], strict).iterfind(way)
    assert {each.get("quantity"): (each.get("color"), each.get("label")) for each in sld} == wanted
    rules = yaml.safe_load(files["ows.yml"].read_text("utf-8"))["value_map"]["land_cover"]
    assert {str(*rule["values"]): (rule["color"], rule["title"]) for rule in rules} == wanted
    decimal = {code: [*bytes.fromhex(color[1:])] for code, (color, _) in wanted.items()}
    lines = [line.split() for line in files["clr"].read_text("utf-8").splitlines()]
    assert {code: [*map(int, color)] for code, *color in lines} == decimal
    rows = list(csv.reader(files["txt"].read_text("utf-8").splitlines()[2:]))
    assert {code: [*map(int, color)] for code, *color, _ in rows} == {code: [*color, 255] for code, color in decimal.items()}


def test_what_cannot_be_written_or_is_proposed_is_said(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        legend_styles.write_styles(load_legend("mexico_8"), tmp_path / "file" / "styles")
    shown = CliRunner().invoke(app, ["legend", "show", "colombia_17"], catch_exceptions=False).output
    assert shown.count("proposal") == 17
    assert "proposal" not in CliRunner().invoke(app, ["legend", "show", "mexico_8"], catch_exceptions=False).output


def test_styles_hold_every_class_once(tmp_path):
    legend = load_legend("mexico_31")
    files = {path.name.partition(".")[2]: path for path in legend_styles.write_styles(legend, tmp_path, language="en")}
    codes = [str(code) for code in legend.codes]
    qml = ElementTree.fromstring(files["qml"].read_text("utf-8"))
    assert [entry.get("value") for entry in qml.iter("paletteEntry")] == codes
    sld = ElementTree.fromstring(files["sld"].read_bytes())
    found = [each for each in sld.iter() if each.tag.endswith("ColorMapEntry")]
    assert [each.get("quantity") for each in found] == codes and found[7].get("label") == "Mangrove and petén"
    assert files["clr"].read_text("utf-8").splitlines()[0] == "1 0 81 0"  # #005100
    assert "1,0,81,0,255," in files["txt"].read_text("utf-8")
    assert all(line.count(",") == 5 for line in files["txt"].read_text("utf-8").splitlines()[2:])
    style = yaml.safe_load(files["ows.yml"].read_text("utf-8"))
    assert [rule["values"][0] for rule in style["value_map"]["land_cover"]] == legend.codes.tolist()
    with pytest.raises(LegendError, match="there are es, en"):
        legend_styles.write_styles(legend, tmp_path, language="fr")
