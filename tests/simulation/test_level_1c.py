"""Simulated level 1C: the physics against outside values, and s2cloudless against the planted clouds."""

import numpy as np
import pytest

from ceiba.errors import InputError, SceneError
from ceiba.simulation import atmosphere, baselines, cloud_accuracy, clouds, level_1c, scenes
from ceiba.simulation.layout import grid_shape


def test_layer_by_hand():
    # Conservative, g = 0.85: R = 0.15 t / (1 + 0.15 t); t = 20 gives 3 / 4, and T the rest.
    back, through = level_1c.layer(np.array([0.0, 20.0]), albedo=1.0, asymmetry=0.85)
    np.testing.assert_allclose(back, [0, 0.75], atol=1e-6)
    np.testing.assert_allclose(through, [1, 0.25], atol=1e-6)
    assert level_1c.depth_of(np.array(0.75), 0.85) == pytest.approx(20)
    # Absorbing and without end, the layer is that of similarity: (1 - s) / (1 + s), s^2 = (1 - w) / (1 - w g).
    back, through = level_1c.layer(np.array([1e4]), albedo=0.99, asymmetry=0.85)
    similar = np.sqrt(0.01 / (1 - 0.99 * 0.85))
    assert back[0] == pytest.approx((1 - similar) / (1 + similar), abs=2e-3)
    assert through[0] == 0


def test_droplets_absorb_as_nakajima_and_king_have_it():
    # Nakajima and King 1990, doi:10.1175/1520-0469(1990)047<1878:DOTOTA>2.0.CO;2: a cloud of 10 um droplets hardly absorbs
    # in visible light, some half of a percent a scattering at 1.6 um and two to three times that at 2.2 um.
    assert 1 - level_1c.droplet_albedo(550) < 1e-5
    assert 1 - level_1c.droplet_albedo(1613.7) == pytest.approx(0.0057, abs=0.001)
    assert 1 - level_1c.droplet_albedo(2202.4) == pytest.approx(0.0140, abs=0.003)


def test_atmosphere_lets_through_what_is_known_of_it():
    def terms(band, altitude_km):
        return atmosphere.atmosphere_terms(band, altitude_km=altitude_km, optical_depth=0.1, sun_zenith_deg=35)

    # Rayleigh's optical depth at 443 nm is 0.236 (Bodhaine et al. 1999): B01 looks through a bright path.
    assert 0.09 < terms("B01", 0.0)["path_reflectance"] < 0.11
    # Water vapour hides the ground at 1375 nm, and a cirrus lies above it (Gao and Kaufman 1995, doi:10.1029/94JD02945).
    assert terms("B10", 0.0)["transmittance"] < 0.002
    assert terms("B10", 10.0)["transmittance"] > 0.75
    # At 945 nm a cloud at 2 km is more than twice as bright as ground of the same reflectance.
    assert terms("B09", 2.0)["transmittance"] > 2 * terms("B09", 0.0)["transmittance"]


def test_to_toa_by_hand():
    terms = {"path_reflectance": 0.1, "transmittance": 0.8, "spherical_albedo": 0.2}
    assert atmosphere.to_toa(0.5, terms) == pytest.approx(0.1 + 0.4 / 0.9)


def test_table_is_what_6s_computes():
    node = {"altitude_km": 2.0, "optical_depth": 0.2, "sun_zenith_deg": 35.0}
    try:
        computed = atmosphere.run_6s("B09", **node)
    except (ImportError, OSError, InputError) as error:
        pytest.skip(f"6S cannot run here: {error}")
    kept = atmosphere.atmosphere_table().loc[("B09", *node.values())]
    for name, value in computed.items():
        assert kept[name] == pytest.approx(value, abs=1e-6), name


def test_thick_cloud_thin_cirrus_and_open_sky(world):
    shape = grid_shape(10)
    none = np.zeros(shape, np.float32)
    ground = np.full((7, *shape), 0.2, np.float32)

    def seen(band, **parts):
        sky = clouds.Sky(**({"cloud": none, "shadow": none, "cirrus": none, "haze": none} | parts))
        return level_1c.toa_in_band(ground, sky, band, sun_zenith_deg=35)[0, 0]

    thick, thin = np.full(shape, 0.95, np.float32), np.full(shape, 0.1, np.float32)
    # Open sky is 6S itself: 0.252 in B01 over 0.2 ground at an aerosol depth of 0.1 (6SV 2.1, run by hand).
    assert seen("B01") == pytest.approx(0.2517, abs=0.002)
    assert seen("B02", cloud=thick) > 0.8
    assert seen("B12", cloud=thick) < 0.65 * seen("B02", cloud=thick)
    assert seen("B10") < 0.003
    assert seen("B10", cirrus=thin) == pytest.approx(0.08, abs=0.01)
    assert seen("B04", shadow=np.ones(shape, np.float32)) < 0.6 * seen("B04")


@pytest.mark.parametrize(("baseline", "shift"), [("02.07", 0), ("03.01", 0), ("04.00", 1000), ("05.10", 1000)])
def test_counts_of_a_baseline(baseline, shift):
    counts = baselines.to_counts(np.array([0.1234, -0.05, 0.0, 0.2]), np.array([False, False, False, True]), baseline)
    # Without the shift dark noise is cut; with it, it stays. 0 is no data alone.
    assert counts.tolist() == [1234 + shift, max(1, shift - 500), max(1, shift), 0]


def test_a_baseline_that_is_none():
    for wrong in ("4.0", "N0400", "", "04.0x"):
        with pytest.raises(SceneError, match="02.07 or 04.00"):
            baselines.count_shift(wrong)


def test_scene_has_thirteen_bands_and_both_baselines_agree(world):
    plan = next(p for p in scenes.plan_scenes(7, "sentinel_2") if p.missing > 0)
    sky = scenes.sky_of(7, plan)
    former, truth = level_1c.sentinel_2_l1c_scene(world, plan, sky)
    later, _ = level_1c.sentinel_2_l1c_scene(world, plan, sky, baseline="04.00")
    assert {size: len(bands) for size, bands in former.items()} == {10: 4, 20: 6, 60: 3}
    for size, bands in former.items():
        for name, values in bands.items():
            assert values.shape == grid_shape(size)
            seen = values > 1
            np.testing.assert_array_equal(later[size][name][seen], values[seen].astype(int) + 1000)
            np.testing.assert_array_equal(later[size][name] == 0, values == 0)
    assert truth.beyond.mean() == pytest.approx(plan.missing, abs=0.02)


@pytest.mark.slow
def test_planted_clouds_are_found(world):
    pixels = cloud_accuracy.mask_scenes(world, [2018], step=2)
    figures = cloud_accuracy.mask_figures(pixels)
    for name, value in figures.items():
        print(f"{name}: {value:.4f}")
    # What published comparisons with real clouds lead one to expect (CMIX, Skakun et al. 2022): well over 90 % right,
    # thick cloud found, the thinnest often missed.
    assert figures["accuracy"] > 0.95
    assert figures["clouds found, optical depth over 10"] > 0.98
    assert figures["cirrus found, optical depth over 0.1"] > 0.9
    assert figures["clouds found by the widened mask"] > 0.95
    assert figures["false alarms"] < 0.05
    assert figures["clouds found, optical depth 0 to 1"] < figures["clouds found, optical depth 3 to 10"]


def test_figures_by_hand():
    pixels = {
        "depth": np.array([0.0, 0.0, 0.5, 2.0, 20.0, 0.0]), "cirrus": np.array([0.0, 0, 0, 0, 0, 0.2]),
        "shadow": np.zeros(6), "group": np.zeros(6, int),
        "close": np.array([False, True, True, False, True, True]), "wide": np.ones(6, bool),
    }  # fmt: skip
    with np.errstate(invalid="ignore"), pytest.warns(RuntimeWarning):  # no pixel in shadow
        figures = cloud_accuracy.mask_figures(pixels)
    # Counted: two clear (one right), clouds of depth 2 (missed) and 20 (found).
    assert figures["accuracy"] == 0.5
    assert figures["clouds found, optical depth 0 to 1"] == 1
    assert figures["clouds found, optical depth 1 to 3"] == 0
    assert figures["false alarms"] == 0.5
    assert figures["cirrus found, optical depth over 0.1"] == 1


def test_both_baselines_are_read_alike(world):
    plan = scenes.plan_scenes(7, "sentinel_2")[0]
    sky = scenes.sky_of(7, plan)
    former, _ = level_1c.sentinel_2_l1c_scene(world, plan, sky)
    later, _ = level_1c.sentinel_2_l1c_scene(world, plan, sky, baseline="05.09")
    one, other = cloud_accuracy.toa_on_grid(former), cloud_accuracy.toa_on_grid(later, baseline="05.09")
    for name in one:
        # Counts below 1 are cut in the former alone.
        dark = one[name] < 0.0003
        assert float(abs(one[name] - other[name]).where(~dark).max()) < 2e-7
