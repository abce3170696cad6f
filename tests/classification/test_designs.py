"""Sampling designs against published allocations, hand-worked sizes and the inclusion probabilities that they promise."""

import io

import geopandas
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr

from ceiba.classification.accuracy import design_files, designs
from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.classification.accuracy.assessment import sample_of_table
from ceiba.errors import InputError

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_001_000, 1_200_000), "EPSG:6372", resolution=20)
# The worked example of Olofsson et al. 2014, section 5: shares of the map and expected user's accuracies.
SHARES = {"deforestation": 0.02, "forest gain": 0.015, "stable forest": 0.32, "stable non-forest": 0.645}
EXPECTED = {"deforestation": 0.7, "forest gain": 0.6, "stable forest": 0.9, "stable non-forest": 0.95}


def test_size_and_allocations_of_olofsson_2014():
    """Equation 13 gives 641; table 5: equal 160, proportional 13 10 205 413, and 100, 75 or 50 for the rare classes.

    Its printed remainders (149 and 292 of 441) are up to three samples off the proportion; these are the proportion.
    """
    assert designs.sample_size(SHARES, EXPECTED, standard_error=0.01) == 641
    equal = designs.allocate_samples(SHARES, 640, method="equal", fewest=0)
    assert list(equal.values()) == [160] * 4
    proportional = designs.allocate_samples(SHARES, 641, method="proportional", fewest=0)
    assert list(proportional.values()) == [13, 10, 205, 413]
    for fewest, printed in ((100, [100, 100, 149, 292]), (75, [75, 75, 165, 325]), (50, [50, 50, 182, 358])):
        found = list(designs.allocate_samples(SHARES, 641, method="olofsson", fewest=fewest).values())
        assert found[:2] == printed[:2]
        assert sum(found) == 641
        assert np.abs(np.array(found) - printed).max() <= 4
    # Weights times spreads 0.009165, 0.007348, 0.096, 0.140575 of 0.253088, of 641 samples.
    neyman = designs.allocate_samples(SHARES, 641, method="neyman", accuracies=EXPECTED, fewest=0)
    assert list(neyman.values()) == [23, 19, 243, 356]
    half = designs.expected_half_width(SHARES, neyman, EXPECTED)
    assert half == pytest.approx(1.959964 * 0.01, rel=2e-3)


def test_sizes_by_conabios_rule():
    """1.64^2 p (1 - p) / 0.1^2: 67.24, 61.19 and 50.43; of 100 pixels 67.24 / 1.6624 = 40.4."""
    prior = {"hard": 0.5, "middle": 0.65, "easy": 0.75, "small": 0.5, "none": 0.5}
    pixels = {"hard": 10**7, "middle": 10**7, "easy": 10**7, "small": 100, "none": 0}
    assert designs.conabio_sizes(pixels, prior) == {"hard": 68, "middle": 62, "easy": 51, "small": 41, "none": 0}


def test_in_a_long_legend_only_the_small_half_is_rare():
    """20 strata of 4.5 % and one of 10 %: below half the mean share, 2.4 %, lies none, so all are in proportion."""
    areas = dict.fromkeys(range(20), 4.5) | {20: 10.0}
    found = designs.allocate_samples(areas, 1_000, fewest=10)
    assert found[20] == 100
    assert set(found.values()) == {45, 100}
    by_hand = designs.allocate_samples(areas, 1_000, fewest=10, rare_share=0.05)
    assert by_hand[20] == 800


def test_small_strata_give_what_they_cannot_take_to_others():
    areas = {"a": 10.0, "b": 89.0, "c": 1.0}
    found = designs.allocate_samples(areas, 120, method="equal", fewest=10, pixels={"a": 1_000, "b": 9_000, "c": 15})
    assert found == {"a": 53, "b": 52, "c": 15} or found == {"a": 52, "b": 53, "c": 15}
    with pytest.raises(InputError, match="20 samples do not reach for 10 in each of 3 strata; ask for 30"):
        designs.allocate_samples(areas, 20, fewest=10)
    with pytest.raises(InputError, match="no allocation 'random'; there are equal, proportional, neyman, olofsson"):
        designs.allocate_samples(areas, 20, method="random")
    with pytest.raises(InputError, match="no expected accuracy of stratum a"):
        designs.allocate_samples(areas, 60, method="neyman", fewest=1)


def test_strata_of_class_zone_and_buffer():
    codes = np.array([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1], [1, 1, 1, 2, 1], [1, 1, 1, 1, 1]], dtype="uint8")
    buffer = designs.find_buffer(codes, [2], width_px=1)
    assert buffer.astype(int).tolist() == [[0] * 5, [0, 0, 1, 1, 1], [0, 0, 1, 0, 1], [0, 0, 1, 1, 1]]
    zones = np.full(codes.shape, 7)
    zones[0, 0] = 0
    strata = designs.make_strata(codes, zones=zones, buffer=buffer)
    assert designs.stratum_parts(int(strata[1, 3])) == (1, 7, True)
    assert designs.stratum_parts(int(strata[2, 3])) == (2, 7, False)
    assert strata[0, 0] == strata[0, 4] == 0
    with pytest.raises(InputError, match="0 to 255"):
        designs.make_strata(np.array([[300]]))
    with pytest.raises(InputError, match="do not fit"):
        designs.make_strata(codes, zones=zones[:2])


def land_cover(seed=0):
    codes = np.random.default_rng(seed).choice([0, 1, 2, 3], size=GEOBOX.shape, p=[0.1, 0.6, 0.27, 0.03])
    return wrap_xr(codes.astype("uint8"), GEOBOX)


def strips(cover, rows=None):
    return designs.read_strips(cover, rows=rows, around=[3], width_px=2)


def test_the_draw_does_not_depend_on_strips_and_tells_its_design():
    cover = land_cover()
    strata = designs.count_strata(strips(cover, 7))
    pd.testing.assert_frame_equal(strata, designs.count_strata(strips(cover)))
    assert strata["area_ha"].sum() == pytest.approx(float(pixel_areas(GEOBOX).where(cover > 0).sum()))
    assert strata["stratum"].tolist() == [1, 2, 3, designs.BUFFER + 1, designs.BUFFER + 2]
    numbers = {1: 40, 2: 30, 3: 20, designs.BUFFER + 1: 5}
    sample = designs.draw_sample(strips(cover, 7), strata, numbers, seed=5)
    pd.testing.assert_frame_equal(sample, designs.draw_sample(strips(cover.chunk(y=9), 50), strata, numbers, seed=5))
    assert sample["stratum"].value_counts().to_dict() == numbers
    assert not sample.duplicated(["x", "y"]).any()
    assert (
        cover.sel(x=xr.DataArray(sample["x"]), y=xr.DataArray(sample["y"])).values.tolist()
        == sample["map_code"].tolist()
    )
    design = sample_of_table(sample, strata=strata)
    left_out = strata["area_ha"].iloc[-1]
    assert design.unsampled == (str(designs.BUFFER + 2),)
    assert design.total_area == pytest.approx(strata["area_ha"].sum() - left_out)
    assert design.coverage == pytest.approx(1 - left_out / strata["area_ha"].sum(), rel=1e-4)
    assert not sample.head(20)["stratum"].is_monotonic_increasing
    with pytest.raises(InputError, match="strata \\[9\\], which the map does not have"):
        designs.draw_sample(strips(cover), strata, {9: 1})
    with pytest.raises(InputError, match="the map has changed meanwhile"):
        designs.draw_sample(strips(land_cover(1)), strata, numbers)


def test_every_pixel_of_a_stratum_is_as_likely_as_any_other():
    """60 draws of 20 pixels of one stratum: every pixel is hit, none beyond five standard errors of its chance."""
    cover = land_cover().where(land_cover() == 3, 0).astype("uint8")
    cover = wrap_xr(cover.values, GEOBOX)
    strata = designs.count_strata(strips(cover))
    size = int(strata["pixels"].iloc[0])
    drawn = [designs.draw_sample(strips(cover), strata, {3: 20}, seed=seed) for seed in range(60)]
    hits = pd.concat(drawn).groupby(["x", "y"]).size().to_numpy()
    chance = 20 / size
    assert len(hits) == size
    assert np.abs(hits - 60 * chance).max() < 5 * np.sqrt(60 * chance * (1 - chance))


def test_a_systematic_sample_is_a_grid_of_the_map():
    cover = land_cover()
    strata = designs.count_strata(strips(cover))
    sample = designs.draw_systematic(strips(cover, 7), strata, step_px=5, seed=2)
    pd.testing.assert_frame_equal(sample, designs.draw_systematic(strips(cover), strata, step_px=5, seed=2))
    assert set(np.diff(np.unique(sample["x"]))) == {100.0}
    assert sample_of_table(sample).total_area == pytest.approx(strata["area_ha"].sum())
    assert len(sample) == pytest.approx(strata["pixels"].sum() / 25, abs=12)


def test_files_for_interpreters_are_blind_and_read_back(tmp_path):
    cover = land_cover()
    strata = designs.count_strata(strips(cover))
    sample = designs.draw_sample(strips(cover), strata, {1: 5, 2: 5}, seed=1)
    table = design_files.blind_table(sample, year=2019)
    assert not {"stratum", "map_code", "stratum_pixels"} & set(table)
    back = pd.read_csv(io.BytesIO(design_files.to_csv(table)))
    assert back["longitude"].tolist() == table["longitude"].tolist()
    path = tmp_path / "sample.gpkg"
    path.write_bytes(design_files.to_geopackage(table))
    points = geopandas.read_file(path)
    assert points.crs.to_epsg() == 4326
    assert points.geometry.x.tolist() == table["longitude"].tolist()
    with pytest.raises(InputError, match="lacks columns sample_id"):
        design_files.blind_table(sample.drop(columns="sample_id"), year=2019)


def test_plot_files_of_collect_earth_have_its_columns_and_terrain():
    """A plane that falls 1 m a metre to the east: slope 45 degrees, aspect 90; and to the north: aspect 0."""
    y, x = np.meshgrid(np.arange(50), np.arange(50), indexing="ij")
    sample = designs.draw_sample(strips(land_cover()), designs.count_strata(strips(land_cover())), {1: 3}, seed=1)
    for height, aspect in ((-20.0 * x, 90.0), (20.0 * y, 0.0), (-20.0 * y, 180.0)):
        terrain = xr.Dataset({"elevation": wrap_xr(height, GEOBOX)})
        lines = design_files.to_collect_earth(sample, terrain).decode().splitlines()
        assert lines[0] == '"ID","YCoordinate","XCoordinate","elevation","slope","aspect"'
        row = lines[1].split(",")
        assert row[0] == '"s000001"'
        assert [float(row[4]), float(row[5])] == [45.0, aspect]
    assert design_files.to_collect_earth(sample).decode().splitlines()[1].endswith(",0.0,0.0,0.0")
