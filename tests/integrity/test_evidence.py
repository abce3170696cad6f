"""Maps and site tables as states on the target grid."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

from ceiba.errors import NetworkError
from ceiba.integrity.evidence import (
    bin_states,
    class_states,
    detector_likelihood,
    gather_evidence,
    learn_bins,
    quantile_edges,
    sites_to_raster,
    sources,
)
from ceiba.integrity.inference import MISSING, Inference
from ceiba.networks import Network, Node, Source

FINE = GeoBox.from_bbox((0, 0, 80, 40), "EPSG:6372", resolution=10)
COARSE = GeoBox.from_bbox((0, 0, 80, 40), "EPSG:6372", resolution=40)


def raster(values: np.ndarray, nodata: float) -> xr.DataArray:
    return xr.DataArray(values, dims=("y", "x"), coords=xr_coords(FINE), attrs={"nodata": nodata})


def network(*nodes: Node) -> Network:
    query = Node("condition", ("intact", "degraded"), (), np.array([0.5, 0.5]))
    return Network("test", "condition", (0.0, 18.0), {"condition": query} | {node.name: node for node in nodes})


def sign(name: str, source: Source, states=("low", "high")) -> Node:
    return Node(name, states, ("condition",), np.array([[0.8, 0.2], [0.3, 0.7]]), source=source)


def test_bins_open_and_closed():
    values = np.array([-5.0, 0.0, 0.5, 1.0, 2.0, 3.0, np.nan])
    assert bin_states(values, (0.5, 2.0), 3).tolist() == [0, 0, 1, 1, 2, 2, MISSING]
    assert bin_states(values, (0.0, 1.0, 2.0), 2).tolist() == [MISSING, 0, 0, 1, 1, MISSING, MISSING]


def test_a_code_in_no_state_is_missing():
    node = sign("cover", Source("land_cover", "land_cover", classes={"low": (28,), "high": (1, 2)}))
    assert class_states(np.array([1, 2, 28, 5, np.nan]), node).tolist() == [1, 1, 0, MISSING, MISSING]


def test_quantile_edges_of_a_uniform_and_of_a_cover_that_is_mostly_zero():
    edges = quantile_edges(np.arange(100), 4)
    np.testing.assert_allclose(edges, [24.5, 49.5, 74.5], atol=1)
    mostly_zero = np.r_[np.zeros(900), np.linspace(1, 100, 90)]
    edges = quantile_edges(mostly_zero, 4)
    # One bin for zero, three for the 90 other values.
    np.testing.assert_allclose(edges, [0.5, 33.8, 66.8], atol=1.2)
    with pytest.raises(NetworkError, match="only 1 different"):
        quantile_edges(np.full(5, 3.0), 4)


@settings(max_examples=40, deadline=None)
@given(arrays(float, st.integers(2, 60), elements=st.integers(-5, 5).map(float)), st.integers(2, 8))
def test_quantile_edges_ascend_and_leave_no_bin_empty(values, count):
    if np.unique(values).size < 2:
        return
    edges = quantile_edges(values, count)
    assert len(edges) <= count - 1 and list(edges) == sorted(set(edges))
    states = bin_states(values, edges, len(edges) + 1)
    assert set(states) == set(range(len(edges) + 1))


def test_classes_by_majority_and_means_where_data_are():
    codes = np.full((4, 8), 1, np.uint8)
    codes[:, :4] = 0  # no data in the left cell but for three pixels of code 28
    codes[0, :3] = 28
    codes[:3, 4:7] = 2  # 9 of 16 in the right cell
    ndvi = np.full((4, 8), np.nan, np.float32)
    ndvi[0, :2] = [0.2, 0.8]
    tested = network(
        sign("cover", Source("land_cover", "land_cover", classes={"low": (28,), "high": (2,)})),
        sign("green", Source("ndvi", "ndvi", bins=(0.4,))),
    )
    opened = {
        "land_cover": xr.Dataset({"land_cover": raster(codes, 0)}),
        "ndvi": xr.Dataset({"ndvi": raster(ndvi, np.nan)}),
    }
    states = gather_evidence(tested, opened, COARSE)
    # Left: the only pixels that say something. Right: nine of code 2 against seven that are no state.
    assert states["cover"].values.tolist() == [[0, 1]]
    # Mean of 0.2 and 0.8, then nothing.
    assert states["green"].values.tolist() == [[1, MISSING]]
    assert states["y"].values.tolist() == [20.0] and states["x"].values.tolist() == [20.0, 60.0]
    maps = Inference(tested).posterior({name: states[name].values for name in states.data_vars})
    assert maps.signs_observed.tolist() == [[2, 1]]


def test_sites_count_within_their_radius():
    from pyproj import Transformer

    to_degrees = Transformer.from_crs("EPSG:6372", "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(5.0, 35.0)  # centre of the upper left pixel
    nights = pd.DataFrame({"site": ["A", "A"], "longitude": longitude, "latitude": latitude, "bat_calls": [4, 10]})
    found = sites_to_raster(nights, "bat_calls", FINE, radius_m=10.5).values
    expected = np.full((4, 8), np.nan)
    expected[0, 0] = expected[0, 1] = expected[1, 0] = 7
    np.testing.assert_array_equal(found, expected)
    assert np.isnan(sites_to_raster(nights.assign(bat_calls=np.nan), "bat_calls", FINE, radius_m=50)).all()
    with pytest.raises(NetworkError, match="no column bats"):
        sites_to_raster(nights, "bats", FINE, radius_m=50)
    heard = network(sign("bats", Source("site_nights", "bat_calls", bins=(5.0,), radius_m=10.5)))
    states = gather_evidence(heard, {"site_nights": nights}, FINE)["bats"].values
    assert (states == 1).sum() == 3 and (states == MISSING).sum() == 29


def test_no_evidence_and_unknown_measurement_are_named():
    tested = network(sign("green", Source("ndvi", "ndvi_median", bins=(0.4,))))
    with pytest.raises(NetworkError, match="no evidence at all; its sources are ndvi"):
        gather_evidence(tested, {}, COARSE)
    with pytest.raises(NetworkError, match="no measurement 'ndvi_median' for node green; there are ndvi"):
        gather_evidence(tested, {"ndvi": xr.Dataset({"ndvi": raster(np.zeros((4, 8)), np.nan)})}, COARSE)
    assert list(sources(tested)) == ["ndvi"]


def test_learned_bins_name_their_states():
    tested = network(sign("green", Source("ndvi", "ndvi", quantile_bins=8)))
    learned = learn_bins(tested, {"green": np.arange(16.0)}, most_bins=2).nodes["green"]
    assert learned.source.bins == (7.5,) and learned.states == ("under 7.5", "7.5 and over")
    assert learned.table is None


def test_detector_errors_become_likelihoods():
    # Calls are missed in 30 % of the nights, and heard in 10 % of those without.
    confusion = np.array([[0.9, 0.1], [0.3, 0.7]])
    found = detector_likelihood(np.array([1, 0, MISSING], np.uint8), confusion)
    np.testing.assert_allclose(found, [[0.1, 0.7], [0.9, 0.3], [np.nan, np.nan]])
    with pytest.raises(NetworkError, match="sum to 1"):
        detector_likelihood(np.zeros(1, np.uint8), np.array([[0.9, 0.3], [0.1, 0.7]]))
