"""Train and serve: at samples of every kind, every recipe gives what it gives for the map."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rasterio.windows import Window

from ceiba.ard.stack_blocks import StackBlock
from ceiba.classification.features.recipes import list_recipes, load_recipe
from ceiba.classification.features.scene_features import features_of_stack
from ceiba.classification.features.terrain import describe_terrain
from ceiba.classification.samples.points import extract_features, locate, read_samples
from ceiba.classification.samples.polygons import samples_of_labels
from ceiba.classification.samples.scene_samples import extract_from_stack, in_season, recipe_of_year
from ceiba.errors import InputError
from ceiba.legends import load_legend

GEOBOX = GeoBox.from_bbox((4_000_000, 1_199_000, 4_000_900, 1_200_000), "EPSG:6372", resolution=20)
DATES = pd.date_range("2018-01-10", "2019-12-20", periods=24).to_numpy()


class TwoBlocks:
    """Scenes in memory with the face of a stack; like one, it leaves out dates that do not reach a block."""

    def __init__(self, measurements):
        random = np.random.default_rng(5)
        self.measurements, self.geobox = measurements, GEOBOX
        self.bands = random.integers(1, 9000, (len(measurements), len(DATES), *GEOBOX.shape), dtype="uint16")
        self.clear = random.random((len(DATES), *GEOBOX.shape)) < 0.7
        self.clear[3, :, 20:] = False

    def blocks(self, *, block_bytes=0):
        return [Window(0, 0, 20, GEOBOX.height), Window(20, 0, GEOBOX.width - 20, GEOBOX.height)]

    def read(self, window, *, all_dates=False):
        rows, columns = window.toslices()
        reaching = np.flatnonzero(self.clear[:, rows, columns].any(axis=(1, 2)) | all_dates)
        count = len(reaching)
        return StackBlock(
            bands=self.bands[:, reaching, rows, columns],
            clear=self.clear[reaching, rows, columns],
            nodata=np.zeros(count, dtype="int64"),
            scale=np.full((count, len(self.measurements)), 1e-4),
            offset=np.full((count, len(self.measurements)), -0.01),
            times=DATES[reaching],
            measurements=self.measurements,
            geobox=self.geobox[window.toslices()],
        )

    def series(self):
        values = np.where(self.clear, self.bands * 1e-4 - 0.01, np.nan).astype("float32")
        return xr.Dataset(
            {name: wrap_xr(layer, GEOBOX, time=DATES) for name, layer in zip(self.measurements, values, strict=True)}
        )


def samples_of(kind):
    legend = load_legend("mexico_31")
    x, y = np.random.default_rng(2).uniform([4_000_000, 1_199_000], [4_000_900, 1_200_000], (60, 2)).T
    points = gpd.GeoSeries(gpd.points_from_xy(x, y), crs="EPSG:6372")
    years = np.where(np.arange(60) % 2, 2018, 2019)
    if kind == "points":
        place = points.to_crs("EPSG:4326")
        table = {"longitude": place.x, "latitude": place.y, "year": years, "code": 3}
        return read_samples(pd.DataFrame(table), legend)
    facts = {"year": years[:8], "code": 3, "group": "", "source": "drawn"}
    return samples_of_labels(gpd.GeoDataFrame(facts, geometry=points[:8].buffer(60), crs="EPSG:6372"), GEOBOX).table


@pytest.mark.parametrize("kind", ["points", "polygons"])
@pytest.mark.parametrize("name", [*list_recipes()])
def test_a_recipe_gives_a_sample_what_it_gives_its_pixel(name, kind):
    recipe, samples = load_recipe(name), samples_of(kind)
    stack = TwoBlocks(recipe.inputs or ("red",))
    random = np.random.default_rng(1)
    # Zones are classes of a legend; anything else of the ground is a number.
    ground = {
        name: random.integers(1, 5, GEOBOX.shape).astype("float32") if name == "life_zone" else random.random(GEOBOX.shape, "float32")
        for name in recipe.ground
    }
    terrain = xr.Dataset({name: wrap_xr(values, GEOBOX) for name, values in ground.items()})
    if recipe.radar:
        pytest.skip("radar has dates of its own; it is taken by extract_features alone")
    series = stack.series()
    scenes = {year: in_season(series[list(recipe.inputs)], year) if recipe.inputs else None for year in (2018, 2019)}
    maps = {year: recipe.compute(found, terrain if recipe.ground else None) for year, found in scenes.items()}
    whole = extract_features(series.assign(terrain.data_vars), samples, make_features=recipe_of_year(recipe))
    blocks = extract_from_stack(stack, samples, recipe, terrain=terrain if recipe.ground else None)
    place = locate(samples, GEOBOX)
    layers = {year: np.stack([found[name].values for name in whole.names]) for year, found in maps.items()}
    for training in (whole, blocks):
        assert training.names == tuple(feature.name for feature in recipe.features)
        # Recipes of seasons and harmonics have no data where a pixel has too few dates.
        assert len(training) >= 0.5 * len(samples)
        rows, columns = place["row"].to_numpy()[training.rows], place["column"].to_numpy()[training.rows]
        expected = np.stack(
            [layers[year][:, *pixel] for year, *pixel in zip(training.years, rows, columns, strict=True)]
        )
        # The very numbers from a series in memory; from scenes, reflectance is read in single precision.
        tolerance = {"rtol": 0, "atol": 0} if training is whole else {"rtol": 2e-6, "atol": 1e-6}
        np.testing.assert_allclose(training.features, expected, **tolerance)
    np.testing.assert_array_equal(whole.rows, blocks.rows)


def test_what_is_missing_is_named():
    recipe = load_recipe(list_recipes()[0])
    with pytest.raises(InputError, match="the scenes were opened without"):
        extract_from_stack(TwoBlocks(("other",)), samples_of("points"), recipe)
    stack = TwoBlocks(recipe.inputs)
    other = xr.Dataset({"slope": wrap_xr(np.zeros((5, 5), "float32"), GEOBOX[:5, :5])})
    with pytest.raises(InputError, match="the terrain lies on another grid"):
        extract_from_stack(stack, samples_of("points"), recipe, terrain=other)
    with pytest.raises(InputError, match="no scene from 2030-01-01"):
        in_season(stack.series(), 2030)


def test_a_tile_by_blocks_is_the_tile_in_one_piece():
    """Its terrain lies where it belongs, and what is missing or lies elsewhere is named."""
    recipe = load_recipe("landsat_madmex_002")
    stack = TwoBlocks(recipe.inputs)
    heights = np.random.default_rng(6).normal(500, 40, GEOBOX.shape).astype("float32")
    terrain = describe_terrain(wrap_xr(heights, GEOBOX))
    found, whole = features_of_stack(stack, recipe, terrain), recipe.compute(stack.series(), terrain)
    assert found.odc.geobox == GEOBOX
    for name in whole:
        np.testing.assert_array_equal(found[name], whole[name])
        assert found[name].attrs["units"] == whole[name].attrs["units"]
    with pytest.raises(InputError, match=r"opened without red_edge_1"):
        features_of_stack(stack, load_recipe("s2_20m_001"), terrain)
    with pytest.raises(InputError, match=r"another grid than the scenes"):
        features_of_stack(stack, recipe, terrain.isel(x=slice(1, None)))
    with pytest.raises(InputError, match=r"needs elevation, slope, aspect of its terrain; given: nothing"):
        features_of_stack(stack, recipe)
