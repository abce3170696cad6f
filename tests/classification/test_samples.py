"""Samples: read in one form, and seen exactly as the map sees them."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.features.seasons import annual_features
from ceiba.classification.samples.points import extract_features, locate, read_samples
from ceiba.errors import InputError, LegendError, NoDateError
from ceiba.legends import load_legend

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=100)


def points(**columns):
    longitude, latitude = GEOBOX.extent.to_crs("EPSG:4326").centroid.coords[0]
    base = {"longitude": [longitude] * 3, "latitude": [latitude] * 3, "year": [2018, 2019, 2019], "code": [1, 2, 2]}
    return pd.DataFrame({**base, **columns})


def test_samples_of_mato_grosso_have_agricultural_years(mato_grosso):
    legend = load_legend("mato_grosso")
    samples = read_samples(mato_grosso[1], legend)
    assert samples["year"].value_counts().to_dict() == {2011: 232, 2012: 245, 2013: 57, 2008: 23, 2009: 23, 2010: 23}
    counts = {legend.find(int(code)).name_en: int(n) for code, n in samples["code"].value_counts().items()}
    # The README of the sample folder.
    assert counts == {
        "Cotton-fallow": 68,
        "Forest": 138,
        "Soybean-cotton": 79,
        "Soybean-maize": 134,
        "Soybean-millet": 184,
    }


def test_a_sample_has_the_features_of_its_pixel_in_the_map(mato_grosso):
    """Train/serve parity, to the last bit."""
    series, table = mato_grosso
    samples = read_samples(table, load_legend("mato_grosso"))
    training = extract_features(series, samples, season_start_month=9)
    assert (len(training), training.outside, training.unseen) == (603, 0, 0)
    place = locate(samples, series.odc.geobox)
    for year in range(2008, 2014):
        features = annual_features(series, year, season_start_month=9)
        assert tuple(features.data_vars) == training.names
        rows = np.flatnonzero(samples["year"].to_numpy() == year)
        for column, name in enumerate(training.names):
            in_map = features[name].values[place["row"].to_numpy()[rows], place["column"].to_numpy()[rows]]
            assert np.array_equal(in_map, training.features[rows, column])


def test_samples_of_years_without_mosaics_are_counted_and_the_others_train():
    dates = np.array(["2018-01-01", "2020-01-01"], dtype="datetime64[ns]")
    source = xr.Dataset({"ndvi": wrap_xr(np.ones((2, *GEOBOX.shape), "float32"), GEOBOX, time=dates)})
    samples = read_samples(points(), load_legend("mexico_31"))
    training = extract_features(source, samples)
    assert (len(training), training.unseen, training.years.tolist()) == (1, 2, [2018])
    with pytest.raises(NoDateError, match="no date in any year of the samples: 2019"):
        extract_features(source, samples.iloc[1:])


def test_labels_years_and_columns_are_checked():
    legend = load_legend("mexico_31")
    by_label = read_samples(points(code=None, label=["Agua", "Water", "Grasslands"]).drop(columns="code"), legend)
    assert by_label["code"].tolist() == [31, 31, 27]
    with pytest.raises(InputError, match="lack columns code or label"):
        read_samples(points().drop(columns="code"), legend)
    with pytest.raises(InputError, match="1 samples have no valid longitude"):
        read_samples(points(latitude=[20.0, np.nan, 20.0]), legend)
    with pytest.raises(LegendError, match="labels without a class in legend mexico_31: 77"):
        read_samples(points(code=[1, 77, 2]), legend)


def test_a_point_falls_in_the_pixel_that_contains_it():
    x, y = 4_000_250.0, 1_199_999.0
    longitude, latitude = GEOBOX.extent.crs.transformer_to_crs("EPSG:4326")(x, y)
    place = locate(pd.DataFrame({"longitude": [longitude], "latitude": [latitude]}), GEOBOX)
    assert (place["row"][0], place["column"][0], bool(place["inside"][0])) == (0, 2, True)
    assert (place["x"][0], place["y"][0]) == pytest.approx((x, y), abs=0.01)


def test_samples_without_features_are_counted_and_none_left_is_an_error():
    band = wrap_xr(
        np.ones((2, *GEOBOX.shape), dtype="float32"), GEOBOX, time=pd.to_datetime(["2018-01-01", "2019-01-01"])
    )
    source = xr.Dataset({"geomedian_10m_red": band.where(band.time.dt.year == 2019)})
    samples = read_samples(points(longitude=[-100.0, 0.0, points()["longitude"][0]]), load_legend("mexico_31"))
    training = extract_features(source, samples)
    assert (len(training), training.outside, training.unseen) == (1, 2, 0)
    with pytest.raises(InputError, match="no data at any of the 1 samples"):
        extract_features(source.where(False), samples)
    with pytest.raises(InputError, match="none of the 3 samples"):
        extract_features(source, samples.assign(longitude=0.0))
