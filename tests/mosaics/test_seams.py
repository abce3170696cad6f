"""A mosaic of a tile equals that of the whole area, bit for bit, at every border: read anew on the grid of each tile."""

import datetime
import json

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import Resampling
from rasterio.vrt import WarpedVRT
from scipy import ndimage

from ceiba.ard import clear_mask, find_sensor
from ceiba.ard.sensors import clear_mask_of_bits
from ceiba.grids import Tile, find_area
from ceiba.mosaics.composites import METHODS, composite, cwbg, ndvi_bands
from ceiba.mosaics.water import annual_water
from ceiba.mosaics.wofs import wofl
from ceiba.simulation.area import write_scenes
from ceiba.simulation.scenes import sun_position_deg
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import ground_reflectance, make_world

SEED, YEAR = 7, 2020
CERTAIN = 0.005  # of surface reflectance, at least: Vermote et al. 2016, doi:10.1016/j.rse.2016.04.008
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world():
    return make_world(SEED)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, world):
    """Files of a year's scenes by pixel size [m], each with its date."""
    folder = tmp_path_factory.mktemp("scenes")
    files: dict[int, list[tuple[datetime.datetime, str]]] = {10: [], 20: [], 30: []}
    for sensor, sizes in (("sentinel_2", (10, 20)), ("landsat", (30,))):
        write_scenes(folder, world, sensor, years=[YEAR])
        for place in sorted((folder / "scenes" / sensor).iterdir()):
            time = datetime.datetime.fromisoformat(json.loads((place / "scene.json").read_text())["time"])
            for size in sizes:
                files[size].append((time, str(place / f"{size}m.tif")))
    return files


def read(files: list[tuple[datetime.datetime, str]], tile: Tile, resolution: int) -> xr.Dataset:
    """All bands of all dates on the grid of a tile, nearest neighbor, dims ``(time, y, x)``."""
    box = tile.geobox(resolution)
    dates = []
    for _, path in files:
        with (
            rasterio.open(path) as source,
            WarpedVRT(
                source, crs=source.crs, transform=box.affine, height=box.height, width=box.width,
                resampling=Resampling.nearest, src_nodata=0, nodata=0,
            ) as scene,
        ):  # fmt: skip
            names, values = source.descriptions, scene.read()
        dates.append(values)
    stack = np.stack(dates, axis=1)
    coords = {
        "time": np.array([time.replace(tzinfo=None) for time, _ in files], "datetime64[ns]"),
        "y": box.coords["y"].values,
        "x": box.coords["x"].values,
    }
    return xr.Dataset({name: (("time", "y", "x"), band) for name, band in zip(names, stack, strict=True)}, coords=coords)


def split(scene: xr.Dataset, sensor_name: str) -> tuple[xr.Dataset, xr.DataArray]:
    """Bands as stored with how to read them, and the clear mask."""
    sensor = find_sensor(sensor_name)
    quality = next(name for name in scene.data_vars if name.startswith("quality"))
    if sensor.quality_kind == "classes":
        clear = clear_mask(scene[quality], sensor.quality_classes, clear=sensor.clear)
    else:
        clear = clear_mask_of_bits(scene[quality], sensor.quality_classes, unwanted=sensor.unwanted)
    bands = scene.drop_vars(quality)
    for band in bands.data_vars.values():
        band.attrs = {"nodata": sensor.nodata, "scale": sensor.scale, "offset": sensor.offset}
    return bands, clear


def products_of(scenes: dict, tile: Tile) -> dict[str, xr.Dataset]:
    """Everything that the mosaics make besides the files of the notebooks."""
    fine, clear = split(read(scenes[10], tile, 10), "sentinel_2_l2a")
    coarse, clear_20m = split(read(scenes[20], tile, 20), "sentinel_2_l2a")
    landsat, clear_30m = split(read(scenes[30], tile, 30), "landsat_8_l2_c2")
    coarse = coarse.rename(green_20m="green", red_20m="red", nir_narrow="nir")
    made = {method: composite(fine, clear, method=method, min_observations=2) for method in METHODS}
    made["ndvi"] = ndvi_bands(fine, clear, min_observations=3)
    made["cwbg"] = cwbg(composite(coarse, clear_20m, method="geomedian"))
    made["water"] = annual_water(landsat, clear_30m)
    made["water_by_ndwi"] = annual_water(fine[["green", "nir"]], clear)
    made["wofl"] = wofl(landsat, masks={"cloud": ~clear_30m}).to_dataset()
    return made


def test_two_tiles_are_the_whole_area_cut_in_two(scenes):
    place = find_area("simulated").place("mosaics")
    whole = products_of(scenes, place.whole)
    assert len(place.tiles) == 2
    for tile in place.tiles:
        for name, part in products_of(scenes, tile).items():
            for variable in part.data_vars:
                cut = whole[name][variable].sel(y=part.y, x=part.x)
                np.testing.assert_array_equal(part[variable], cut, err_msg=f"{tile.name} {name} {variable}")
            assert float(part[next(iter(part.data_vars))].notnull().mean()) > 0.5, f"{name} is all but empty"


def test_edges_of_swaths_show_less_than_reflectance_is_certain(scenes, world):
    """So there is no seam for a histogram or overlap adjustment to mend; it would move seasons instead."""
    place = find_area("simulated").place("mosaics")
    bands, clear = split(read(scenes[10], place.whole, 10), "sentinel_2_l2a")
    bands = bands[["red", "nir"]]
    truth = xr.full_like(bands.astype(np.float32), np.nan)
    for position, (time, _) in enumerate(scenes[10]):
        zenith, azimuth = sun_position_deg(time.date())
        ground = ground_reflectance(world, time.date(), sun_zenith_deg=zenith, sun_azimuth_deg=azimuth)
        for name in truth.data_vars:
            truth[name][position] = ground[BANDS.index(name)]
    error = composite(bands, clear, method="geomedian") - composite(truth, method="geomedian")
    beyond = bands.red == 0
    partial = [date for date in range(beyond.sizes["time"]) if 0 < float(beyond[date].mean()) < 1]
    assert partial, "no scene of this year ends within the area"
    for date in partial:
        outside, inside = (ndimage.distance_transform_edt(part) for part in (beyond[date], ~beyond[date]))
        for name in truth.data_vars:
            beside = [error[name].values[(0 < away) & (away <= 15)] for away in (outside, inside)]
            step = abs(float(np.nanmean(beside[0]) - np.nanmean(beside[1])))
            assert step < CERTAIN, (name, date, step)
