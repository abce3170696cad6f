"""Path-rows of Landsat against the scenes themselves."""

import re

import pyproj
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from typer.testing import CliRunner

from ceiba.cli import app
from ceiba.errors import AreaError, ParameterError
from ceiba.grids import Period, Tile, find_area
from ceiba.path_rows import PathRow, path_rows_within
from ceiba.places import add_path_row, find_country
from ceiba.plan import list_units

# Middle of the corner coordinates in the scenes' own metadata (MTL), of whole scenes [degrees].
SCENE_CENTERS = {(7, 59): (-73.562, 1.450), (224, 63): (-50.073, -4.333), (139, 45): (86.963, 21.667)}


@pytest.mark.parametrize("path_row", SCENE_CENTERS)
def test_centers_lie_within_three_kilometres_of_real_scenes(path_row):
    center = PathRow(*path_row).center
    _, _, distance_m = pyproj.Geod(ellps="WGS84").inv(*center, *SCENE_CENTERS[path_row])
    assert distance_m < 3000


def test_path_one_crosses_the_equator_where_it_should():
    # NASA, What is a MISR path: WRS-2 is defined such that path 1 crosses the equator at 64.60 degrees west.
    assert PathRow(1, 60).center == pytest.approx((-64.6, 0.0), abs=1e-9)
    # 233 paths to the west later the next one would be the first again.
    assert PathRow(233, 60).center[0] == pytest.approx(-64.6 + 360 / 233)


def test_the_metadata_of_the_samples_agree(sample_folder):
    found = list(sample_folder.glob("eo/landsat*/**/*MTL.txt"))
    if not found:
        pytest.skip("no Landsat scene among the samples")
    for path in found:
        text = path.read_text("utf-8", errors="replace")

        def value(name, text=text):
            return float(re.search(rf"{name} = \"?(-?[\d.]+)", text)[1])

        scene = PathRow(int(value("WRS_PATH")), int(value("WRS_ROW")))
        assert scene.crs == f"EPSG:{32600 + int(value('UTM_ZONE'))}"
        names = [f"CORNER_{corner}_PROJECTION_{axis}_PRODUCT" for corner in ("UL", "LR") for axis in "XY"]
        left, top, right, bottom = (value(name) for name in names)
        covered = shapely.box(left, bottom, right, top).intersection(shapely.box(*scene.bounds)).area
        # Whole scenes and the small pieces that some samples are cut to.
        assert covered / min((right - left) * (top - bottom), shapely.box(*scene.bounds).area) > 0.9, path


def test_pixels_lie_on_those_of_landsat(sample_folder):
    path = next(sample_folder.glob("eo/landsat7_l1_caqueta_colombia/*_b1.tif"), None)
    if path is None:
        pytest.skip("the scene of Caquetá is not among the samples")
    scene = PathRow(7, 59)
    box = Tile("a", "a", "t", scene.crs, scene.bounds).geobox(30)
    with rasterio.open(path) as file:
        real = GeoBox((file.height, file.width), file.transform, str(file.crs))
    columns, rows = ~box.affine * (real.affine.c, real.affine.f)
    assert (columns, rows) == (round(columns), round(rows))
    assert 0 < columns < box.width and 0 < rows < box.height


def test_edges_of_pixels_stand_fifteen_metres_beside_multiples_of_thirty():
    for scene in (PathRow(7, 59), PathRow(17, 51), PathRow(224, 63), PathRow(30, 40)):
        assert [value % 30 for value in scene.bounds] == [15.0] * 4
        left, bottom, right, top = scene.bounds
        # 185 by 180 km turned by 9 to 14 degrees: 185 cos + 180 sin across, 180 cos + 185 sin along.
        assert 205_000 < right - left < 230_000 and 200_000 < top - bottom < 225_000


@pytest.mark.parametrize(("text", "path", "row"), [("7/59", 7, 59), ("007059", 7, 59), (" 224 / 63 ", 224, 63)])
def test_path_rows_are_read(text, path, row):
    assert PathRow.parse(text) == PathRow(path, row)


@pytest.mark.parametrize("text", ["", "7", "7-59", "0/59", "234/1", "7/123", "70590"])
def test_wrong_path_rows_say_how_to_write_them(text):
    with pytest.raises(AreaError, match="7/59|paths are 1 to 233"):
        PathRow.parse(text)


@given(st.text(max_size=9))
def test_any_text_is_a_path_row_or_an_area_error(text):
    try:
        assert 1 <= PathRow.parse(text).row <= 122
    except AreaError:
        pass


@given(path=st.integers(1, 233), row=st.integers(20, 100))
def test_an_outline_is_a_scene_around_its_center(path, row):
    scene = PathRow(path, row)
    corners = shapely.get_coordinates(scene.outline)[:4]
    sides = [
        pyproj.Geod(ellps="WGS84").inv(*corners[at], *corners[(at + 1) % 4])[2] for at in range(4)
    ]
    assert sides == pytest.approx([185_000, 180_000, 185_000, 180_000], rel=0.01)


def test_a_box_is_covered_by_its_path_rows():
    found = path_rows_within((-74.5, 1.0, -73.5, 2.0))
    assert PathRow(7, 59) in found and len(found) < 10


@pytest.mark.parametrize("notebook", ["01_make_geomedian", "04_make_landsat_mosaics"])
def test_twenty_annual_mosaics_of_one_path_row_are_planned(own_store, tmp_path, notebook):
    runner = CliRunner()
    added = runner.invoke(app, ["area", "add", "colombia_007059", "--path-row", "7/59", "--years", "1996:2015"])
    assert added.exit_code == 0, added.output
    area = find_area("colombia_007059")
    (tile,) = area.place("mosaics").tiles
    assert tile.crs == "EPSG:32618" and tile.bounds == PathRow(7, 59).bounds
    assert tile.geobox(30).resolution.x == 30 and tile.geobox(30).extent.boundingbox.bbox == tile.bounds
    # Its center lies in Colombia, whose legend, thin years and expected scenes then apply.
    place = area.place("mosaics")
    assert place.country == "colombia" and place.settings["classification"]["legend"] == "colombia_17"

    units = tmp_path / "units.csv"
    shown = runner.invoke(
        app, ["plan", f"02_mosaics/{notebook}", "--area", "colombia_007059", "--csv", str(units)], catch_exceptions=False
    )
    assert shown.exit_code == 0 and "20 units" in shown.output
    lines = units.read_text().splitlines()[1:]
    assert [re.search(r",(\d{4}),", line)[1] for line in lines] == [str(year) for year in range(1996, 2016)]
    if notebook == "04_make_landsat_mosaics":
        # The first years are thin: the table names 1997 to 2000 for 2000, and so four years for those before.
        (product, *_) = list_units(f"02_mosaics/{notebook}", "colombia_007059", years=Period(2000, 2000))[0].products
        assert product.name == "geomedian_30m" and "landsat_scenes 1997--2000" in lines[4]
    with pytest.raises(AreaError, match="exists already"):
        add_path_row("colombia_007059", PathRow(7, 59), years=Period(1996, 2015))


def test_an_area_is_an_outline_or_a_path_row(store):
    for arguments in ([], ["--path-row", "7/59", "--crs", "EPSG:32618"], ["--crs", "EPSG:32618"]):
        with pytest.raises(ParameterError, match="either --geojson"):
            CliRunner().invoke(app, ["area", "add", "nowhere", *arguments], catch_exceptions=False)


def test_a_path_row_elsewhere_has_no_country():
    assert find_country(*PathRow(7, 59).center).area == "colombia"
    assert find_country(*PathRow(20, 46).center).area == "mexico"
    assert find_country(*PathRow(224, 63).center) is None
