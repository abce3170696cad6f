"""Labels from files: every format in one form, nothing wrong passes, and no file breaks the reader."""

import zipfile

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ceiba.classification.samples.label_files import read_label_file
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_31")
POINTS = gpd.GeoDataFrame(
    {
        "clase": ["Agua", "Water", "31"],
        "anio": [2018, 2019, 2019],
        "fuente": ["campo", None, "imagen"],
        "seguro": [0.5, np.nan, 1.0],
    },
    geometry=[shapely.Point(-99.1, 19.4), shapely.Point(-98, 18), shapely.Point(-97.5, 18.25)],
    crs="EPSG:4326",
)
COLUMNS = {"label": "clase", "year": "anio", "source": "fuente", "confidence": "seguro"}


@pytest.mark.parametrize(
    "name", ["p.gpkg", "p.shp", "p.geojson", "p.fgb", "p.parquet", "p.csv", "wkt.csv", "semicolon.csv"]
)
def test_every_format_gives_the_same_labels(tmp_path, name):
    path, crs = tmp_path / name, ""
    columns = dict(COLUMNS)
    if name == "p.parquet":
        POINTS.to_parquet(path)
    elif name == "wkt.csv":
        POINTS.drop(columns="geometry").assign(wkt=POINTS.geometry.to_wkt()).to_csv(path, index=False)
        columns, crs = columns | {"geometry": "wkt"}, "EPSG:4326"
    elif name.endswith(".csv"):
        table = POINTS.drop(columns="geometry").assign(longitude=POINTS.geometry.x, latitude=POINTS.geometry.y)
        table.to_csv(path, index=False, sep=";" if name == "semicolon.csv" else ",")
    else:
        # The spatial index of FlatGeobuf would put the points in another order.
        POINTS.to_file(path, **({"SPATIAL_INDEX": "NO"} if name == "p.fgb" else {}))
    labels = read_label_file(path, LEGEND, columns=columns, crs=crs)
    water = LEGEND.code("Water")
    assert labels["code"].tolist() == [water, water, water]
    assert labels["year"].tolist() == [2018, 2019, 2019]
    assert labels["source"].tolist() == ["campo", "", "imagen"]
    np.testing.assert_array_equal(labels["confidence"], [0.5, np.nan, 1.0])
    np.testing.assert_allclose(labels.geometry.x, [-99.1, -98, -97.5])
    assert labels.crs == "EPSG:4326"


def write_csv(tmp_path, **columns):
    base = {"longitude": [-99.0, -98.0], "latitude": [19.0, 18.0], "year": [2018, 2019], "label": ["Water", 31]}
    path = tmp_path / "samples.csv"
    pd.DataFrame({**base, **columns}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("columns", "error", "match"),
    [
        ({"year": [2018, 20190]}, InputError, "no year from 1900 to 2100; the first is row 1, '20190'"),
        ({"year": [2018, 2018.5]}, InputError, "the first is row 1, '2018.5'"),
        ({"year": ["2018", "soon"]}, InputError, "the first is row 1, 'soon'"),
        ({"label": ["Water", ""]}, InputError, "1 samples have no label; the first is row 1"),
        ({"label": [3.5, 1]}, LegendError, "3.5"),
        ({"label": ["²", "1"]}, LegendError, "²"),
        ({"label": ["Water", "Wader"]}, LegendError, "'Wader'"),
        ({"latitude": [19.0, 95.0]}, InputError, "no longitude and latitude .are they swapped.*; the first is row 1"),
        ({"latitude": ["19", "north"]}, InputError, "no position; the first is row 1"),
        ({"confidence": [0.5, 80]}, InputError, "no number from 0 to 1; the first is row 1, '80.0'"),
        ({"confidence": ["0.5", "high"]}, InputError, "column confidence: .*the first is row 1, 'high' .rows counted from 0"),
        ({"label": ["Water", "77"]}, LegendError, "column label: .*77.*77 in row 1"),
        ({"longitude": [19.0, 18.0], "latitude": [-99.0, -98.0]}, InputError, "are they swapped"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(tmp_path, columns, error, match):
    with pytest.raises(error, match=match):
        read_label_file(write_csv(tmp_path, **columns), LEGEND)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("longitude,latitude,year,code\n-99,19,2018,1,\n", "line 2: 5 cells, the header has 4"),
        ("longitude,latitude,year,code,source\n-99,19,2018,1,a\n\n-99,19,2018,1\n", "line 4: 4 cells, the header has 5"),
        ("x,y,year,code\n-99.1,19.4,2018,1\n", "within 360 of 0, as degrees do, but the CRS EPSG:6372 is in meters"),
        ("x,y,year,code\n2500000,900000,2018,1\n2500000,'900,5',2018,1\n", "line 3: 5 cells"),
        ("x;y;year;code\n2500000;900000;2018;1\n2500000;900,500;2018;1\n", "column y: 1 samples have no position; the first is row 1"),
    ],
)
def test_a_row_that_is_moved_or_in_other_units_is_refused(tmp_path, text, match):
    """A comma of a coordinate in meters may be one of thousands: it is not guessed."""
    (tmp_path / "t.csv").write_text(text, "utf-8")
    with pytest.raises(InputError, match=match):
        read_label_file(tmp_path / "t.csv", LEGEND, crs="EPSG:6372" if text.startswith("x") else "")


def test_files_as_offices_write_them_are_read(tmp_path):
    """Excel of Colombia: semicolons and decimal commas; marks of byte order, capitals, missing accents; names that a shapefile cuts."""
    text = "\ufeffLongitude;Latitude;YEAR;Label;Confidence\n-74,25;4,5;2018;AGUA ;0,8\n-74,5;4,75;2018;tierras agricolas;1\n"
    (tmp_path / "t.csv").write_text(text, "utf-8")
    labels = read_label_file(tmp_path / "t.csv", LEGEND)
    assert labels["code"].tolist() == [31, 28] and labels["confidence"].tolist() == [0.8, 1.0]
    assert labels.geometry.x.tolist() == [-74.25, -74.5] and labels.geometry.y.tolist() == [4.5, 4.75]
    (tmp_path / "w.csv").write_bytes("longitude,latitude,year,label\n-99,19,2018,Tierras Agr\xedcolas\n".encode("latin-1"))
    with pytest.raises(InputError, match="save it as UTF-8"):
        read_label_file(tmp_path / "w.csv", LEGEND)
    POINTS.rename(columns={"fuente": "interprete"}).to_file(tmp_path / "p.shp")
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as pack:
        for part in tmp_path.glob("p.[!z]*"):
            pack.write(part, part.name)
    for name in ("p.shp", "p.zip"):
        found = read_label_file(tmp_path / name, LEGEND, columns={"label": "clase", "year": "anio"})
        assert found["interpreter"].tolist() == ["campo", "", "imagen"] and found.crs == "EPSG:4326"


def test_columns_defaults_and_crosswalk(tmp_path):
    path = write_csv(tmp_path, label=["bosque x", 7])
    labels = read_label_file(path, LEGEND, crosswalk={"bosque x": 3, "7": "Water"}, defaults={"interpreter": "A"})
    assert labels["code"].tolist() == [3, LEGEND.code("Water")]
    assert labels["interpreter"].tolist() == ["A", "A"]
    with pytest.raises(InputError, match="has no column clase; it has longitude, latitude, year, label"):
        read_label_file(path, LEGEND, columns={"label": "clase"})
    with pytest.raises(InputError, match="no column kind of samples"):
        read_label_file(path, LEGEND, columns={"kind": "label"})
    with pytest.raises(InputError, match="does not exist"):
        read_label_file(tmp_path / "absent.gpkg", LEGEND)


def test_layers_crs_and_geometry_are_asked_for(tmp_path):
    path = tmp_path / "two.gpkg"
    POINTS.to_file(path, layer="first")
    POINTS.to_file(path, layer="second")
    with pytest.raises(InputError, match="2 layers, choose one: first, second"):
        read_label_file(path, LEGEND, columns=COLUMNS)
    assert len(read_label_file(path, LEGEND, columns=COLUMNS, layer="second")) == 3
    with pytest.raises(InputError, match="says its CRS is EPSG:4326, you say EPSG:6372"):
        read_label_file(path, LEGEND, columns=COLUMNS, layer="first", crs="EPSG:6372")
    bow_tie = gpd.GeoDataFrame(
        {"label": [1], "year": [2018]}, geometry=[shapely.Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])], crs="EPSG:4326"
    )
    bow_tie.to_file(tmp_path / "bow.geojson")
    with pytest.raises(InputError, match="row 0: the polygon is invalid .Self-intersection"):
        read_label_file(tmp_path / "bow.geojson", LEGEND)
    pd.DataFrame({"x": [1.0], "y": [2.0], "label": [1], "year": [2018]}).to_csv(tmp_path / "xy.csv", index=False)
    with pytest.raises(InputError, match="does not say its CRS"):
        read_label_file(tmp_path / "xy.csv", LEGEND)


CELLS = st.one_of(
    st.text(max_size=6),
    st.integers(-9, 3000).map(str),
    st.sampled_from(["", "Water", "2018", "nan", "inf", "1e999", "POINT (1 2)"]),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(CELLS, min_size=4, max_size=5), max_size=4),
    ending=st.binary(max_size=8),
    position=st.sampled_from(["longitude,latitude", "x,y", "geometry,a"]),
)
def test_no_table_breaks_the_reader(tmp_path, rows, ending, position):
    path = tmp_path / "fuzz.csv"
    text = "\n".join([f"{position},year,label", *(",".join(row) for row in rows)])
    path.write_bytes(text.encode("utf-8", "surrogatepass") + ending)
    check_outcome(path)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["a.gpkg", "a.geojson", "a.parquet", "a.shp", "a.csv", "a"]),
    content=st.one_of(
        st.binary(max_size=60),
        st.sampled_from([b"PAR1", b"SQLite format 3\x00", b'{"type":"FeatureCollection","features":[]}', b"a,b\n\x00"]),
    ),
)
def test_no_bytes_break_the_reader(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    check_outcome(path)


def check_outcome(path):
    """Valid labels, or an error that we raise ourselves."""
    try:
        labels = read_label_file(path, LEGEND, crs="EPSG:4326")
    except (InputError, LegendError):
        return
    assert set(labels["code"]) <= set(LEGEND.codes.tolist())
    assert labels["year"].between(1900, 2100).all()
    assert np.isfinite(labels.bounds.to_numpy()).all()
