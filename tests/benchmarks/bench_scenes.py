"""Clouds of simulated level 1C scenes against the planted ones, and shifts of real scenes against known ones."""

import json
import os
import time
from pathlib import Path

import numpy as np
import rioxarray
import xarray as xr

from ceiba.ard.cloud_detection import cloud_probability
from ceiba.ard.coregistration import check_scene_position, measure_shift
from ceiba.simulation.cloud_accuracy import mask_figures, mask_scenes, toa_on_grid
from ceiba.simulation.level_1c import sentinel_2_l1c_scene
from ceiba.simulation.scenes import plan_scenes, sky_of
from ceiba.simulation.world import make_world

ROOT = Path(__file__).resolve().parents[2]
SHRINK, COARSE_PIXEL_M = 3, 30.0
CLEAR_DATES = ("2018-04-27", "2018-05-02", "2018-05-22", "2018-08-25", "2018-07-21")


def main() -> dict[str, object]:
    """Every figure by name."""
    figures: dict[str, object] = {"s2cloudless on 14 simulated level 1C scenes of 2018": measure_clouds()}
    folder = Path(os.environ.get("CEIBA_SAMPLES") or ROOT.parent / "shared" / "data") / "eo"
    if folder.is_dir():
        figures["shift of Landsat 8, Momotombo, planted thirds of a pixel"] = measure_planted(folder)
        figures["shift of Sentinel-2, Romania, real dates"] = measure_dates(folder)
    print(json.dumps(figures, indent=1))
    return figures


def measure_clouds() -> dict[str, float]:
    """Shares of the cloud mask, and the speed of the classifier."""
    world = make_world(7)
    figures = {f"{name} [1]": value for name, value in mask_figures(mask_scenes(world, [2018])).items()}
    plan = plan_scenes(7, "sentinel_2")[0]
    toa = toa_on_grid(sentinel_2_l1c_scene(world, plan, sky_of(7, plan))[0])
    start = time.process_time()
    cloud_probability(toa)
    figures["classifier [s CPU per Mpx]"] = (time.process_time() - start) / toa["red"].size * 1e6
    return figures


def measure_planted(folder: Path) -> dict[str, float]:
    """Errors of shifts that are exact by construction: means of 3 x 3 pixels, whole pixels apart."""
    path = next((folder / "landsat8_l1_l2_momotombo_nicaragua" / "L1TP").glob("*B4.*"))
    values = rioxarray.open_rasterio(path).squeeze(drop=True).values.astype(float)
    errors = []
    for down in range(-5, 6, 2):
        for right in range(-5, 6, 2):
            reference, scene = (_coarse(values, *move) for move in ((0, 0), (down, right)))
            shift = measure_shift(scene, reference)
            errors.append(np.hypot(shift.y_m + down * 10, shift.x_m - right * 10) / COARSE_PIXEL_M)
    return {"median error [px]": float(np.median(errors)), "largest of 36 errors [px]": float(max(errors))}


def _coarse(values: np.ndarray, down: int, right: int) -> xr.DataArray:
    edge = 4 * SHRINK
    part = values[edge - down : values.shape[0] - edge - down, edge - right : values.shape[1] - edge - right]
    rows, columns = (size // SHRINK for size in part.shape)
    mean = part[: rows * SHRINK, : columns * SHRINK].reshape(rows, SHRINK, columns, SHRINK).mean(axis=(1, 3))
    coords = {"y": -COARSE_PIXEL_M * np.arange(rows), "x": COARSE_PIXEL_M * np.arange(columns)}
    return xr.DataArray(mean, dims=("y", "x"), coords=coords)


def measure_dates(folder: Path) -> dict[str, float]:
    """Clear dates against the year's geomedian, and how well shifts of pairs close."""
    names = {"B2": "blue", "B3": "green", "B4": "red", "B8": "nir"}
    folder = folder / "s2_l2a_timeseries_romania"
    cube = xr.open_dataset(folder / "s2_l2a_romania_10m.nc", mask_and_scale=False).rename(names)
    yearly = xr.open_dataset(folder / "reference" / "annual_geomedian_10m_2018_2019.nc").sel(year=2018).rename(names)
    shared = ["green", "red", "nir"]
    scenes = {}
    for date in CLEAR_DATES:
        scene = cube.sel(time=date).squeeze(drop=True)
        scenes[date] = (scene[shared].where(scene[shared] > 0).astype(float), scene["SCL"].isin([4, 5, 6, 7]))
    found = {date: check_scene_position(bands, yearly[shared], valid=valid).shift for date, (bands, valid) in scenes.items()}
    closures = []
    for first, second in zip(CLEAR_DATES, CLEAR_DATES[1:], strict=False):
        (one, valid_one), (two, valid_two) = scenes[first], scenes[second]
        between = check_scene_position(one, two, valid=valid_one & valid_two).shift
        east = found[first].x_m - found[second].x_m - between.x_m
        north = found[first].y_m - found[second].y_m - between.y_m
        closures.append(np.hypot(east, north) / 10)
    return {
        "clear dates": len(found),
        "of these more than half a pixel off": sum(shift.length_m > 5 for shift in found.values()),
        "median length of their shifts [px]": float(np.median([shift.length_m for shift in found.values()]) / 10),
        "median closure of pairs [px]": float(np.median(closures)),
        "largest closure of pairs [px]": float(max(closures)),
    }


if __name__ == "__main__":
    main()
