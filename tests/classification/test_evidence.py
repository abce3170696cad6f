"""Convergence of evidence, on maps small enough to follow by eye."""

import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.samples.evidence import (
    LabelMap,
    Overwrite,
    away_from_edges,
    drop_small_patches,
    gather_evidence,
    read_crosswalk,
)
from ceiba.crosswalks import load_crosswalk
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

LEGEND = load_legend("mexico_31")
WATER = LEGEND.code("Water")


def on_grid(values, dtype="uint8"):
    values = np.asarray(values, dtype=dtype)
    grid = GeoBox.from_bbox((0, 0, 30 * values.shape[-1], 30 * values.shape[-2]), "EPSG:6372", resolution=30)
    if values.ndim == 2:
        return wrap_xr(values, grid)
    layers = [wrap_xr(layer, grid) for layer in values]
    return xr.concat(layers, dim="year")


def same(codes):
    return {int(code): int(code) if code else None for code in codes}


def test_labels_are_where_enough_maps_agree_by_hand():
    maps = [
        LabelMap("a", on_grid([[1, 1, 2, 0, 3]]), same(range(4))),
        # Its own legend: 10 is class 1; 20 is either class 2 or class 3; 30 tells nothing.
        LabelMap("b", on_grid([[10, 30, 20, 20, 20]]), {10: 1, 20: (2, 3), 30: None}),
        LabelMap("c", on_grid([[1, 1, 3, 3, 2]]), same(range(4))),
    ]
    two = gather_evidence(maps, LEGEND, agreeing=2)
    # Third: a and b say 2, b and c say 3: a tie. Fourth: b and c say 3. Fifth: b with a says 3, b with c says 2.
    assert two.labels.values.tolist() == [[1, 1, 0, 3, 0]]
    assert two.support.values.tolist() == [[3, 2, 0, 2, 0]]
    assert gather_evidence(maps, LEGEND, agreeing=3).labels.values.tolist() == [[1, 0, 0, 0, 0]]
    report = two.report.set_index("code")
    assert report.loc[3, ["a", "b", "c"]].tolist() == [1, 3, 2]
    assert report.loc[1, ["agreed", "overwritten", "eroded", "in_patches", "yield"]].tolist() == [2, 2, 2, 2, 1]
    assert len(report) == len(LEGEND) and np.isnan(report.loc[2, "yield"])
    assert two.labels.odc.geobox == maps[0].values.odc.geobox


def test_a_map_of_several_years_says_only_what_lasts():
    years = on_grid([[[1, 1, 1, 0]], [[1, 2, 0, 0]]])
    maps = [LabelMap("years", years, same(range(3))), LabelMap("once", on_grid([[1, 1, 1, 1]]), same([1]))]
    assert gather_evidence(maps, LEGEND, agreeing=2).labels.values.tolist() == [[1, 0, 0, 0]]


def test_layers_overwrite_in_their_order():
    ones = LabelMap("a", on_grid([[1, 1, 1]]), {1: 1})
    masks = [on_grid([[1, 1, 0]], dtype=bool), on_grid([[0, 1, 0]], dtype=bool)]
    layers = [Overwrite("water", masks[0], "Water"), Overwrite("town", masks[1], 29)]
    found = gather_evidence(
        [ones, LabelMap("b", on_grid([[1, 2, 1]]), same(range(3)))], LEGEND, agreeing=2, overwrite=layers
    )
    assert found.labels.values.tolist() == [[WATER, 29, 1]]
    assert found.report.set_index("code").loc[WATER, ["agreed", "overwritten"]].tolist() == [0, 1]


def test_edges_and_small_patches_are_left_out():
    square = np.zeros((7, 7), dtype="uint8")
    square[:, :4] = 1
    square[0, 6] = 2
    # Three columns of ones have no other label within a pixel; the border of the grid is no edge.
    assert away_from_edges(square, 1)[:, :3].all() and not away_from_edges(square, 1)[:, 3].any()
    diagonal = np.array([[1, 1, 0], [0, 0, 1], [2, 0, 1]], dtype="uint8")
    assert drop_small_patches(diagonal, 2).tolist() == [[1, 1, 0], [0, 0, 1], [0, 0, 1]]
    assert drop_small_patches(diagonal, 3).tolist() == [[0] * 3] * 3
    both = LabelMap("a", on_grid(square), same(range(3))), LabelMap("b", on_grid(square), same(range(3)))
    found = gather_evidence(both, LEGEND, agreeing=2, edge_px=1, smallest_patch_px=5)
    assert int((found.labels == 1).sum()) == 21 and int((found.labels == 2).sum()) == 0
    assert found.report.set_index("code").loc[1, "yield"] == pytest.approx(21 / 28)


def test_a_crosswalk_of_the_catalog_can_be_used():
    older = load_crosswalk("mexico_32", "mexico_31")
    table = read_crosswalk(older, range(1, 33))
    assert table[32] == (WATER,)
    values = on_grid(np.arange(1, 33, dtype="uint8").reshape(4, 8))
    found = gather_evidence([LabelMap("a", values, table), LabelMap("b", values, table)], LEGEND, agreeing=2)
    LEGEND.check_map(found.labels.values)
    assert found.labels.values[-1, -1] == WATER


def test_what_does_not_fit_is_named():
    first = LabelMap("first", on_grid([[1, 2]]), same(range(3)))
    with pytest.raises(LegendError, match="second holds values that its crosswalk leaves out: 7"):
        gather_evidence([first, LabelMap("second", on_grid([[1, 7]]), {1: 1})], LEGEND, agreeing=2)
    with pytest.raises(InputError, match="second lies on another grid than first"):
        gather_evidence([first, LabelMap("second", on_grid([[1, 2, 1]]), same(range(3)))], LEGEND, agreeing=2)
    with pytest.raises(InputError, match="3 of 2 maps must agree"):
        gather_evidence([first, LabelMap("second", first.values, first.crosswalk)], LEGEND, agreeing=3)
    with pytest.raises(InputError, match="different names"):
        gather_evidence([first, first], LEGEND, agreeing=1)
    with pytest.raises(InputError, match="whole numbers"):
        gather_evidence([first, LabelMap("second", first.values.astype(float), {1: 1, 2: 2})], LEGEND, agreeing=1)
