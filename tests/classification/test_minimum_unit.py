"""Minimum mapping unit: hand-worked maps, and tiles against the whole."""

import numpy as np
import pytest
import xarray as xr
from scipy import ndimage

from ceiba.classification.maps.minimum_unit import apply_minimum_unit, halo_px, linear_classes
from ceiba.errors import InputError
from ceiba.legends import load_legend


def as_map(codes):
    return xr.DataArray(np.asarray(codes, dtype="uint8"), dims=("y", "x"))


def even_areas(shape, pixel_ha=0.09):
    return xr.DataArray(np.full(shape, pixel_ha), dims=("y", "x"))


def as_shares(layers):
    return xr.DataArray(np.asarray(layers, dtype="float32"), dims=("class", "y", "x"), coords={"class": [1, 2, 3]})


def draw(seed=0, shape=(90, 110)):
    """Patches of some pixels with noise among them, and areas that differ by a percent."""
    random = np.random.default_rng(seed)
    fields = np.stack([ndimage.gaussian_filter(random.normal(size=shape), 2.0) * 6 + random.normal(0, 0.6, shape) for _ in range(3)])
    share = np.exp(fields) / np.exp(fields).sum(axis=0)
    share[:, 40:44, 50:60] = np.nan
    codes = np.where(np.isfinite(share[0]), np.nan_to_num(share).argmax(axis=0) + 1, 0)
    areas = xr.DataArray(np.linspace(0.089, 0.091, shape[0])[:, None] * np.ones(shape), dims=("y", "x"))
    return as_map(codes), as_shares(share), areas


def test_a_small_patch_takes_the_most_probable_class_beside_it_by_hand():
    """Three pixels of class 2 between classes 1 and 3; over them class 1 has 0.1, class 3 0.3: they become class 3."""
    codes = np.full((7, 9), 1)
    codes[:, 5:] = 3
    codes[3, 3:6] = 2
    share = np.zeros((3, 7, 9))
    share[0], share[1], share[2] = 0.1, 0.6, 0.3
    found = apply_minimum_unit(as_map(codes), as_shares(share), even_areas((7, 9)), unit_ha=0.3)
    assert found.values[3, 2:7].tolist() == [1, 3, 3, 3, 3]
    assert (found.values[:3] == codes[:3]).all() and found.dtype == "uint8"
    # Three pixels of 0.09 ha are 0.27 ha: a unit of 0.27 ha keeps them, and their class keeps them when it is linear.
    for settings in ({"unit_ha": 0.27}, {"unit_ha": 0.3, "kept": [2]}, {"unit_ha": 0.0}):
        same = apply_minimum_unit(as_map(codes), as_shares(share), even_areas((7, 9)), **settings)
        assert np.array_equal(same.values, codes)


def test_the_true_area_decides_not_the_number_of_pixels():
    codes = np.full((5, 9), 1)
    codes[1, 1:3] = codes[3, 6:8] = 2
    areas = np.full((5, 9), 1.0)
    areas[:, 5:] = 1.02
    share = as_shares(np.full((3, 5, 9), 1 / 3))
    found = apply_minimum_unit(as_map(codes), share, xr.DataArray(areas, dims=("y", "x")), unit_ha=2.02)
    assert found.values[1, 1:3].tolist() == [1, 1] and found.values[3, 6:8].tolist() == [2, 2]


def test_no_data_is_nobodys_surroundings_and_an_island_stays():
    codes = np.zeros((5, 5))
    codes[2, 2] = 2
    found = apply_minimum_unit(as_map(codes), as_shares(np.full((3, 5, 5), 1 / 3)), even_areas((5, 5)), unit_ha=1.0)
    assert np.array_equal(found.values, codes)


def test_small_patches_go_and_only_they_change():
    codes, share, areas = draw()
    found = apply_minimum_unit(codes, share, areas, unit_ha=0.5, rounds=4)

    def small(values):
        left = np.zeros(values.shape, dtype=bool)
        for code in (1, 2, 3):
            patch, _ = ndimage.label(values == code, np.ones((3, 3)))
            left |= (patch > 0) & (np.bincount(patch.ravel(), areas.values.ravel())[patch] < 0.5)
        return left

    before = small(codes.values)
    assert before.sum() > 200
    assert small(found.values).sum() == 0
    assert np.array_equal(found.values[~before], codes.values[~before])
    kept = apply_minimum_unit(codes, share, areas, unit_ha=0.5, kept=[2]).values
    assert (kept[codes.values == 2] == 2).all()


def test_tiles_with_a_halo_give_what_the_whole_gives():
    codes, share, areas = draw(1)
    whole = apply_minimum_unit(codes, share, areas, unit_ha=0.5).values
    assert (whole != codes.values).sum() > 200
    halo = halo_px(0.5, 0.089)
    assert halo == 3 * 7
    for top in range(0, 90, 30):
        for left in range(0, 110, 22):
            window = np.s_[max(0, top - halo) : top + 30 + halo, max(0, left - halo) : left + 22 + halo]
            part = apply_minimum_unit(codes[window], share[:, *window], areas[window], unit_ha=0.5).values
            inner = part[top - window[0].start :, left - window[1].start :][:30, :22]
            assert np.array_equal(inner, whole[top : top + 30, left : left + 22])


def test_linear_classes_stand_in_the_legends():
    legend = load_legend("mexico_31")
    assert legend.code("Manglar y Petén") in linear_classes(legend) and legend.code("Agua") in linear_classes(legend)
    assert legend.code("Pastizales") not in linear_classes(legend)
    assert linear_classes(load_legend("colombia_17")) == (9, 17)
    assert linear_classes(load_legend("mato_grosso")) == ()


def test_bad_settings():
    codes, share, areas = draw(shape=(60, 70))
    for settings, message in (({"unit_ha": -1.0}, "0 or more"), ({"unit_ha": 1.0, "rounds": 0}, "1 or more")):
        with pytest.raises(InputError, match=message):
            apply_minimum_unit(codes, share, areas, **settings)
    with pytest.raises(InputError, match="grids differ"):
        apply_minimum_unit(codes, share, areas[1:], unit_ha=1.0)
    with pytest.raises(InputError, match=r"classes \[3\] without"):
        apply_minimum_unit(codes, share[:2], areas, unit_ha=1.0)
