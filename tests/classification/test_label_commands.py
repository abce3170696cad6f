"""``ceiba labels``: a file of labels becomes training samples, checked, and nothing is lost silently."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from typer.testing import CliRunner

from ceiba.classification.samples.points import read_samples
from ceiba.cli import app
from ceiba.errors import CeibaError, InputError, LegendError, ParameterError, StoreError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_31")
KEYS = ["VSA/BQ", "BC", "P/E", "RA", "MJ"]


def squares(keys):
    shapes = [shapely.box(2500000 + 3000 * each, 900000, 2500090 + 3000 * each, 900090) for each in range(len(keys))]
    return gpd.GeoDataFrame({"CVE_UNION": keys}, geometry=shapes, crs="EPSG:6372")


def run(*arguments):
    result = CliRunner().invoke(app, ["labels", *map(str, arguments)])
    if isinstance(result.exception, CeibaError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_polygons_of_inegi_become_samples_and_what_has_no_class_is_counted(tmp_path):
    squares(KEYS).to_file(tmp_path / "usv.gpkg")
    given = ["--column", "label=CVE_UNION", "--crosswalk", "inegi_usv", "--year", 2014, "--source", "INEGI VI", "--pixel-m", 30]
    said = run(tmp_path / "usv.gpkg", "--area", "mexico", "--to", tmp_path / "s.csv", *given)
    assert "1 labels left out: BC, the 31 classes have no planted or induced forest" in said and "1 labels left out: P/E" in said
    table = pd.read_csv(tmp_path / "s.csv")
    # 90 m are three pixels of 30 m: nine centers, wherever the grid lies.
    assert table["code"].value_counts().to_dict() == {3: 9, 28: 9, 2: 9}
    assert table["group"].nunique() == 3 and set(table["source"]) == {"INEGI VI"}
    samples = read_samples(table, LEGEND)
    assert samples["code"].tolist() == table["code"].tolist() and set(samples["year"]) == {2014}
    assert table["label"].tolist() == [LEGEND.find(int(code)).name_es for code in table["code"]]
    with pytest.raises(StoreError, match="exists already"):
        run(tmp_path / "usv.gpkg", "--area", "mexico", "--to", tmp_path / "s.csv", *given)
    squares([*KEYS[:2], "QQ"]).to_file(tmp_path / "strange.gpkg")
    with pytest.raises(LegendError, match=r"strange.gpkg, row 2 .* no code 'QQ'"):
        run(tmp_path / "strange.gpkg", "--area", "mexico", "--to", tmp_path / "t.csv", *given)


def test_points_of_elsewhere_and_bad_options_are_refused(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("longitude,latitude,year,code\n4.5,-74.1,2018,6\n", "utf-8")
    with pytest.raises(InputError, match="none of 1 samples lies in area colombia; the first is at longitude 4.5, latitude -74.1"):
        run(path, "--area", "colombia", "--to", tmp_path / "s.csv")
    with pytest.raises(ParameterError, match="write ours=theirs"):
        run(path, "--area", "colombia", "--to", tmp_path / "s.csv", "--column", "label")
    path.write_text("longitude,latitude,year,code\n-74.1,4.5,2018,6\n", "utf-8")
    with pytest.raises(StoreError, match="cannot be written"):
        run(path, "--area", "colombia", "--to", tmp_path / "no" / "s.csv")
    assert not list(tmp_path.glob("*s.csv"))


def test_a_raster_of_labels_is_drawn_from(tmp_path):
    codes = np.repeat(np.array([[3, 28], [0, 31]], "uint8"), 20, axis=0).repeat(20, axis=1)
    transform = rasterio.transform.from_origin(2500000, 900000, 30, 30)
    profile = {"driver": "GTiff", "count": 1, "dtype": "uint8", "height": 40, "width": 40, "crs": "EPSG:6372", "transform": transform}
    with rasterio.open(tmp_path / "map.tif", "w", **profile) as file:
        file.write(codes, 1)
    with pytest.raises(ParameterError, match="give --year"):
        run(tmp_path / "map.tif", "--area", "mexico", "--to", tmp_path / "s.csv")
    run(tmp_path / "map.tif", "--area", "mexico", "--to", tmp_path / "s.csv", "--year", 2018, "--number", 60)
    table = pd.read_csv(tmp_path / "s.csv")
    assert table["code"].value_counts().to_dict() == {3: 20, 28: 20, 31: 20} and set(table["source"]) == {"map.tif"}
