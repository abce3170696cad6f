"""Mosaics of Landsat 5, 7 and 8 together, and of Landsat 7 alone, held against the truth of the simulation."""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

import ceiba
from ceiba import ard, input_years, plan
from ceiba import cube as index
from ceiba.ard.sensors import clear_mask_of_bits, find_sensor
from ceiba.config import project_root
from ceiba.mosaics import composites, streaming, styles
from ceiba.mosaics.display import platform_table
from ceiba.mosaics.geomedian import geomedian
from ceiba.mosaics.streaming import geomedian_of_stack, reduce_stack
from ceiba.mosaics.water import annual_water
from ceiba.mosaics.wofs import WOFS_BANDS
from ceiba.notebooks import read_parameters
from ceiba.simulation import landsat, layout
from ceiba.simulation.area import write_scenes
from ceiba.simulation.layout import block_mean
from ceiba.simulation.scenes import plan_scenes, sky_of, sun_position_deg
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import ground_reflectance, make_world

SEED = 7
SEVEN = "landsat_7_l2_c2"
FETCH = "01_ard/01_fetch_scenes"
NOTEBOOK = "02_mosaics/04_make_landsat_mosaics"
OPTIONS = {"tile": "", "year": 0, "min_observations": 1, "adjust_bands": True, "threads": 1}
TABLES = {
    "sensors": {"landsat": ["landsat_scenes"]},
    "land_cover": {"landsat": {"resolution_m": 30, "thin": {2020: [2019, 2020]}}},
    "change": {"landsat": {"resolution_m": 30, "thin": [[2019, 2020]]}},
    "thin_years": {"landsat": {"thin": {2020: "Landsat 7 alone, for the test"}}},
}


@pytest.fixture(scope="module")
def world():
    return make_world(SEED)


def add_area(store, name, archive, years, **more):
    """An area of one tile on the simulated ground whose scenes are those of ``archive``, indexed."""
    catalog = yaml.safe_load((project_root() / "catalogs" / "mexico.yml").read_text("utf-8"))
    catalog["sources"]["scene_archive"]["args"] = {"urlpath": str(archive)}
    title = {"es": name, "en": name}
    place = {
        "title": title, "stages": ["ard", "mosaics"], "crs": layout.CRS, "bounds": list(layout.BOUNDS), "years": years,
    }  # fmt: skip
    folder = store / "areas" / name
    folder.mkdir(parents=True)
    area = {"title": title, "catalog": "catalog.yml", "simulated": True, "places": {name: place | more}}
    (folder / "area.yml").write_text(yaml.safe_dump(area))
    (folder / "catalog.yml").write_text(yaml.safe_dump(catalog))
    defaults = {key: parameter.default for key, parameter in read_parameters(FETCH).items()}
    task = ceiba.begin(FETCH, **defaults | {"area": name, "sources": ["scene_archive"], "max_cloud_cover": 100.0})
    _, failures = ard.index_archive(task)
    assert failures == []


def ground_of(world, date):
    """Reflectance [1] that Landsat 8 would see of the ground through no sky, dims ``(band, y, x)`` at 30 m."""
    zenith, azimuth = sun_position_deg(date)
    ground = ground_reflectance(world, date, sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
    return np.stack([block_mean(ground[BANDS.index(band)] * landsat.LANDSAT_GAIN[band], 3) for band in WOFS_BANDS])


def truth_of(world, times, clear):
    """Geomedian of the ground itself on the same dates, seen where the scenes see it."""
    days = [pd.Timestamp(time).date() for time in times]
    stack = np.stack([ground_of(world, day) for day in days], axis=1).astype(np.float32)
    bands = {name: (("time", "y", "x"), stack[number]) for number, name in enumerate(WOFS_BANDS)}
    return geomedian(xr.Dataset(bands), xr.DataArray(clear, dims=("time", "y", "x")))


@pytest.mark.slow
def test_three_sensors_in_one_mosaic_err_less_when_their_bands_are_adjusted(own_store, tmp_path, world):
    for sensor in ("landsat", "landsat_7", "landsat_5"):
        write_scenes(tmp_path, world, sensor, years=[2019])
    add_area(own_store, "three", tmp_path / "scenes", [2019, 2019])
    task = ceiba.begin(NOTEBOOK, area="three", **OPTIONS)
    scenes = ard.tabulate_scenes(task, "landsat_scenes")
    assert scenes["platform"].value_counts().to_dict() == {"landsat-8": 8, "landsat-7": 8, "landsat-5": 8}
    assert list(scenes["date"]) == sorted(scenes["date"])

    lines = ard.oli_lines(scenes["sensor"], WOFS_BANDS)
    assert set(lines) == {"landsat_7_l2_c2", "landsat_5_l2_c2"}
    errors = {}
    for name, adjust in (("as they are", {}), ("adjusted", lines)):
        stack = ard.open_stack(task, measurements=WOFS_BANDS, resolution_m=30, sensor="landsat_scenes", adjust=adjust)
        mosaic = geomedian_of_stack(stack)
        read = stack.read(all_dates=True)
        clear = np.isfinite(read.reflectance()[0])
        truth = truth_of(world, read.times, clear)
        np.testing.assert_array_equal(mosaic["count"], truth["count"])
        enough = mosaic["count"].values >= 3
        difference = {band: (mosaic[band] - truth[band]).values[enough] for band in WOFS_BANDS}
        errors[name] = {band: float(np.sqrt(np.mean(values**2))) for band, values in difference.items()}
        errors[name] |= {f"bias of {band}": float(values.mean()) for band, values in difference.items()}
        print(name, {key: round(value, 5) for key, value in errors[name].items()})
    for band in WOFS_BANDS:
        assert errors["adjusted"][band] < errors["as they are"][band], band
    total = {name: np.sqrt(sum(values[band] ** 2 for band in WOFS_BANDS)) for name, values in errors.items()}
    print({name: round(float(value), 5) for name, value in total.items()})
    assert total["adjusted"] < 0.8 * total["as they are"]
    # Haze, which no line mends, is left.
    assert max(abs(errors["adjusted"][f"bias of {band}"]) for band in WOFS_BANDS) < 0.004


def write_products(task):
    """What the notebook writes, without a kernel."""
    opened = partial(ard.open_stack, task, resolution_m=30, sensor="landsat_scenes")
    lines = ard.oli_lines(ard.tabulate_scenes(task, "landsat_scenes")["sensor"], WOFS_BANDS)
    stack = opened(measurements=WOFS_BANDS, adjust=lines)
    mosaic = geomedian_of_stack(stack)
    indices = composites.landsat_indices(mosaic)
    ndvi = reduce_stack(opened(measurements=["red", "nir"], adjust=lines), composites.ndvi_bands)
    made = {"geomedian_30m": mosaic, "ndvi_30m": ndvi.assign(ndvi=indices["ndvi"]), "indices_30m": indices}
    water = reduce_stack(opened(measurements=WOFS_BANDS), annual_water)
    return mosaic, stack, task.write(made | {"water_30m": water})


@pytest.mark.slow
def test_a_thin_year_of_landsat_7_is_made_of_two_without_stripes(own_store, tmp_path, world, monkeypatch):
    write_scenes(tmp_path, world, "landsat_7")
    add_area(own_store, "thin", tmp_path / "scenes", [2018, 2020])
    alone = ceiba.begin(NOTEBOOK, area="thin", **OPTIONS)
    assert len(alone.datasets("landsat_scenes")) == 8
    one_year = ard.open_stack(
        alone, measurements=WOFS_BANDS, resolution_m=30, sensor="landsat_scenes", adjust=ard.oli_lines([SEVEN], WOFS_BANDS)
    )

    path = own_store / "areas" / "thin" / "area.yml"
    area = yaml.safe_load(path.read_text())
    area["places"]["thin"]["country"] = "thin"
    path.write_text(yaml.safe_dump(area))
    monkeypatch.setattr(plan, "load_product_tables", lambda: input_years.read_product_tables(TABLES, "tables.yml"))
    task = ceiba.begin(NOTEBOOK, area="thin", **OPTIONS)
    assert len(task.datasets("landsat_scenes")) == 16 and task.snapshot.ids != alone.snapshot.ids
    assert task.source_line.endswith("2020 (scenes of 2019--2020)")
    assert set(ard.tabulate_scenes(task, "landsat_scenes")["date"].str[:4]) == {"2019", "2020"}
    # As for a large tile, whose mosaics wait in files until they are written.
    monkeypatch.setattr(streaming, "IN_MEMORY_BYTES", 0)
    mosaic, stack, ids = write_products(task)
    assert all(band.chunks is not None for band in mosaic.data_vars.values())
    mosaic = mosaic.compute()
    for dataset_id in ids.values():
        properties = index.get_dataset(index.connect(), dataset_id).metadata_doc["properties"]
        assert properties["ceiba:input_period"] == {"landsat_scenes": "2019--2020"}
        assert properties["ceiba:period"] == "2020"

    # Which dates a pixel has follows the gaps, and the seasons differ, so that no mosaic is quite free of stripes. They are
    # hardly more than the same measure finds by chance, for gaps that lie elsewhere; on ground that stands still there is
    # none (tests/simulation/test_landsat.py).
    wide, chance = stripes_of(mosaic, stack, world, (2019, 2020), monkeypatch)
    narrow = geomedian_of_stack(one_year)
    for band in ("red", "nir"):
        print(f"{band}: stripes {wide[band]:.5f} (gaps elsewhere {min(chance[band]):.5f} to {max(chance[band]):.5f}), "
              f"no data {float(np.isnan(mosaic[band]).mean()):.2%}, of one year {float(np.isnan(narrow[band]).mean()):.2%}")
        assert wide[band] < 1.25 * max(chance[band])
        assert wide[band] < 0.01
    assert np.isnan(mosaic["nir"]).mean() < 0.2 * np.isnan(narrow["nir"]).mean()


def contrast(image, gaps):
    """Mean inside the gaps of a date less that outside [1], root mean square of all dates."""
    return float(np.sqrt(np.mean([(np.nanmean(image[gap]) - np.nanmean(image[~gap])) ** 2 for gap in gaps])))


def stripes_of(mosaic, stack, world, years, monkeypatch):
    """Contrast at the gaps of what a mosaic differs from that of the same dates without gaps; and at gaps moved elsewhere."""
    plans = [each for each in plan_scenes(SEED, "landsat_7") if each.time.year in years]
    places = [landsat.gaps_of(SEED, each) for each in plans]
    clear = stack.read(all_dates=True).clear
    gaps = np.stack([landsat.slc_off_gaps(clear.shape[1:], place) for place in places])
    assert not clear[gaps].any()
    moved = [
        [landsat.GapPlace(place.track_km, place.phase_px + phase) for place in places]
        for phase in np.arange(3, landsat.GAP_PERIOD_PX - 2, 3)
    ]
    others = [np.stack([landsat.slc_off_gaps(clear.shape[1:], place) for place in each]) for each in moved]
    with monkeypatch.context() as patch:
        patch.setattr(landsat, "slc_off_gaps", lambda shape, place: np.zeros(shape, bool))
        whole = mosaic_of(
            [landsat.landsat_scene(world, each, sky_of(SEED, each), sensor=SEVEN) for each in plans]
        )
    errors = {band: (mosaic[band] - whole[band]).values for band in ("red", "nir")}
    at_gaps = {band: contrast(error, gaps) for band, error in errors.items()}
    return at_gaps, {band: [contrast(error, other) for other in others] for band, error in errors.items()}


def mosaic_of(made):
    """Geomedian of scenes of Landsat 7 in memory, adjusted as the notebook does."""
    sensor = find_sensor(SEVEN)
    lines = ard.oli_lines([sensor.name], WOFS_BANDS)[sensor.name]
    quality = xr.DataArray(np.stack([each["quality"] for each in made]), dims=("time", "y", "x"))
    clear = clear_mask_of_bits(quality, sensor.quality_classes, unwanted=sensor.unwanted)
    bands = {}
    for name in WOFS_BANDS:
        numbers = np.stack([each[name] for each in made])
        gain, lift = lines[name]
        values = np.where(numbers == 0, np.nan, (numbers * landsat.LANDSAT_SCALE + landsat.LANDSAT_OFFSET) * gain + lift)
        bands[name] = (("time", "y", "x"), values.astype(np.float32))
    return geomedian(xr.Dataset(bands), clear)


def test_indices_by_hand_and_dark_water_stays_within_bounds():
    # Forest: NDVI (0.3 - 0.05) / 0.35, NDWI (0.06 - 0.3) / 0.36, NDBI (0.15 - 0.3) / 0.45, MNDWI (0.06 - 0.15) / 0.21,
    # NBR (0.3 - 0.1) / 0.4. Water whose near infrared an adjustment made negative: NDWI 1, not 1.07.
    spectra = {
        "green": [0.06, 0.03], "red": [0.05, 0.02], "nir": [0.3, -0.001], "swir_1": [0.15, -0.002], "swir_2": [0.1, 0.001],
    }  # fmt: skip
    mosaic = xr.Dataset({name: (("y", "x"), np.array([values], np.float32)) for name, values in spectra.items()})
    found = composites.landsat_indices(mosaic)
    expected = {
        "ndvi": [0.25 / 0.35, -1], "ndwi": [-0.24 / 0.36, 1], "ndbi": [-0.15 / 0.45, np.nan],
        "bu": [-0.15 / 0.45 - 0.25 / 0.35, np.nan], "mndwi": [-0.09 / 0.21, 1], "nbr": [0.5, -1],
    }  # fmt: skip
    assert list(found.data_vars) == list(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name].values[0], values, atol=1e-6)
        assert found[name].dtype == np.float32 and found[name].attrs["units"] == "1"
    assert float(mosaic["nir"][0, 1]) < 0


def test_maps_of_a_product_have_a_place_each():
    coords = {"y": [45.0, 15.0], "x": [15.0, 45.0]}
    layers = xr.Dataset({name: (("y", "x"), np.zeros((2, 2))) for name in ("ndvi", "ndwi", "nbr")}, coords=coords)
    figure = styles.draw_maps(layers, "indices_30m", title="t", columns=2)
    maps = [axes for axes in figure.axes if axes.images and axes.axison]
    assert len(maps) == 3 and figure.get_suptitle() == "t"
    plt.close(figure)


def test_platforms_are_counted_with_their_days():
    scenes = pd.DataFrame(
        {"date": ["2012-03-01", "2012-01-05", "2013-06-01"], "platform": ["landsat-7", "landsat-7", "landsat-8"]}
    )
    table = platform_table(scenes)
    assert table.loc["landsat-7"].tolist() == [2, "2012-01-05", "2012-03-01"]
    assert table.index.name == "Plataforma | Platform"
