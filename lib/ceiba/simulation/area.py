"""Write the simulated area: every file that the stages read, and the truth to check them by."""

import datetime
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ceiba.errors import SceneError
from ceiba.simulation import layout
from ceiba.simulation.baselines import FORMER_BASELINE
from ceiba.simulation.clouds import Sky
from ceiba.simulation.files import write_json, write_raster, write_table
from ceiba.simulation.integrity import hemeroby_of
from ceiba.simulation.land_cover import pixel_area_ha
from ceiba.simulation.landsat import LANDSAT_PIXEL_M, landsat_scene
from ceiba.simulation.layout import CELL_M, PIXEL_M, YEARS, block_mean, grid_shape
from ceiba.simulation.recordings import write_recordings
from ceiba.simulation.samples import draw_field_plots, draw_reference_samples, draw_training_samples
from ceiba.simulation.scenes import Plan, plan_scenes, sentinel_2_scene, sky_of
from ceiba.simulation.shapes import write_vector_files
from ceiba.simulation.sound_training import write_sound_training
from ceiba.simulation.spectra import BANDS
from ceiba.simulation.world import World, ground_reflectance, make_world

log = logging.getLogger(__name__)

# Those that the area holds; the others can be written beside it.
SENSORS = {
    "sentinel_2": {"platform": "sentinel-2a", "sensor": "sentinel_2_l2a"},
    "landsat": {"platform": "landsat-8", "sensor": "landsat_8_l2_c2"},
}
MORE_SENSORS = {
    "landsat_7": {"platform": "landsat-7", "sensor": "landsat_7_l2_c2"},
    "landsat_5": {"platform": "landsat-5", "sensor": "landsat_5_l2_c2"},
}


def write_area(folder: Path, *, seed: int = 7) -> None:
    """Write the simulated area into a new folder, whole or not at all.

    Parameters
    ----------
    folder
        Folder to make. An older one of the same name is replaced once the new one is whole; until then
        everything lies in ``<folder>.partial``.
    seed
        The same seed gives the same bytes.

    Notes
    -----
    ``area.json``, ``scenes/``, ``dem.tif``, ``life_zones.tif``, ``position_reference/``, ``training_samples.csv``,
    ``land_cover_reference.csv``, ``field_plots.csv``, ``recordings/``, ``sound_training/``, three GeoJSON
    files, and ``truth/``: what no stage may read, but every check should.
    """
    folder = Path(folder)
    partial = folder.with_name(folder.name + ".partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir(parents=True)
    log.info("simulated area: terrain, land cover and condition")
    world = make_world(seed)
    write_truth(partial, world)
    write_environment(partial, world)
    write_position_reference(partial, world)
    write_points(partial, world)
    write_vector_files(partial, world)
    for sensor in SENSORS:
        log.info("simulated area: %s scenes", sensor)
        write_scenes(partial, world, sensor)
    log.info("simulated area: recordings")
    write_recordings(partial, world)
    write_sound_training(partial, seed)
    description = {
        "seed": seed,
        "version": layout.VERSION,
        "crs": layout.CRS,
        "bounds": layout.BOUNDS,
        "years": YEARS,
    }
    write_json(partial / "area.json", {"simulated": True, **description})
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def write_truth(folder: Path, world: World) -> None:
    """Write land cover, change, condition and signs as they are, below ``folder``/truth."""
    truth = folder / "truth"
    for year in YEARS:
        write_raster(
            truth / f"land_cover_{year}.tif",
            {"land_cover": world.codes[year]},
            resolution_m=PIXEL_M,
            nodata=0,
        )
        condition = world.condition[year]
        hemeroby = {"hemeroby": hemeroby_of(condition.states["condition"])}
        write_raster(truth / f"integrity_{year}.tif", hemeroby, resolution_m=CELL_M, nodata=255)
        states = {node: values.astype(np.uint8) for node, values in condition.states.items()}
        write_raster(truth / f"states_{year}.tif", states, resolution_m=CELL_M, nodata=255)
        values = {"ndvi_median": condition.greenness_value, "emad": condition.variability_value}
        values = {name: array.astype(np.float32) for name, array in values.items()}
        write_raster(truth / f"signs_{year}.tif", values, resolution_m=CELL_M, nodata=float("nan"))
    number = np.zeros(world.first_codes.shape, dtype=np.uint8)
    for change in world.changes:
        number.flat[change.pixels] = change.number
    bands = {"change": (number > 0).astype(np.uint8), "change_number": number}
    write_raster(truth / f"change_{YEARS[0]}_{YEARS[-1]}.tif", bands, resolution_m=PIXEL_M, nodata=255)
    write_raster(truth / "road.tif", {"road": world.terrain.road.astype(np.uint8)}, resolution_m=PIXEL_M, nodata=255)
    rows = [
        {
            "change_number": change.number,
            "date": change.date.isoformat(),
            "from_code": change.from_code,
            "to_code": change.to_code,
            "pixels": change.pixels.size,
            "area_ha": round(change.pixels.size * pixel_area_ha(), 2),
        }
        for change in world.changes
    ]
    write_table(truth / "changes.csv", pd.DataFrame(rows))


def write_environment(folder: Path, world: World) -> None:
    """Write ``dem.tif`` [m] and ``life_zones.tif`` at 30 m."""
    write_raster(
        folder / "dem.tif",
        {"elevation": block_mean(world.terrain.elevation_m, 3)},
        resolution_m=30,
        nodata=-9999,
    )
    # The middle pixel of each block of three stands for it.
    rows, columns = (
        np.minimum(np.arange(size) * 3 + 1, last - 1)
        for size, last in zip(grid_shape(30), world.life_zones.shape, strict=True)
    )
    write_raster(
        folder / "life_zones.tif",
        {"life_zone": world.life_zones[np.ix_(rows, columns)]},
        resolution_m=30,
        nodata=0,
    )


def write_position_reference(folder: Path, world: World) -> None:
    """Write ``position_reference/red.tif`` and ``nir.tif``: the mean ground of four days of the first year, 10 000 * reflectance."""
    sun = {"sun_zenith_deg": 35.0, "sun_azimuth_deg": 120.0}
    days = [datetime.date(YEARS[0], month, 15) for month in (1, 4, 7, 10)]
    mean = np.mean([ground_reflectance(world, day, **sun) for day in days], axis=0)
    for band in ("red", "nir"):
        values = np.round(mean[BANDS.index(band)] * 10_000).astype(np.uint16)
        write_raster(folder / "position_reference" / f"{band}.tif", {band: values}, resolution_m=PIXEL_M, nodata=0)


def write_points(folder: Path, world: World) -> None:
    """Write the tables of training samples, reference samples and field plots."""
    samples, errors = draw_training_samples(world)
    write_table(folder / "training_samples.csv", samples)
    write_table(folder / "truth" / "training_label_errors.csv", errors)
    write_table(folder / "land_cover_reference.csv", draw_reference_samples(world))
    write_table(folder / "field_plots.csv", draw_field_plots(world))


def write_scenes(
    folder: Path,
    world: World,
    sensor: str,
    *,
    baselines: Sequence[str] = (FORMER_BASELINE,),
    years: Sequence[int] = YEARS,
) -> None:
    """Write the scenes of a sensor below ``folder``/scenes, and the true share of cloud and shadow of each.

    Parameters
    ----------
    folder
        The area's, or a new one that is to hold these scenes alone.
    world
        What they show.
    sensor
        Key of :data:`SENSORS` or :data:`MORE_SENSORS`.
    baselines
        Processing baselines of Sentinel-2, which the scenes have in turn: ("02.07", "04.00") mixes them.
    years
        Years to write.
    """
    known = SENSORS | MORE_SENSORS
    if sensor not in known:
        raise SceneError(f"no sensor {sensor!r} in the simulation; there are {', '.join(known)}")
    rows = []
    for number, plan in enumerate(plan_scenes(world.seed, sensor)):
        if plan.time.year not in years:
            continue
        place = folder / "scenes" / sensor / plan.name
        sky = sky_of(world.seed, plan)
        document = {"name": plan.name, **known[sensor], "time": f"{plan.time:%Y-%m-%dT%H:%M:%SZ}", "simulated": True}
        if sensor == "sentinel_2":
            baseline = baselines[number % len(baselines)]
            fine, coarse = sentinel_2_scene(world, plan, sky, baseline=baseline)
            write_raster(place / "10m.tif", fine, resolution_m=10, nodata=0)
            write_raster(place / "20m.tif", coarse, resolution_m=20, nodata=0)
            document["properties"] = {"s2:processing_baseline": baseline}
        else:
            bands = landsat_scene(world, plan, sky, sensor=known[sensor]["sensor"])
            write_raster(place / "30m.tif", bands, resolution_m=LANDSAT_PIXEL_M, nodata=0)
        write_json(place / "scene.json", document)
        rows.append(_sky_row(plan, sky))
    write_table(folder / "truth" / f"{sensor}_skies.csv", pd.DataFrame(rows))


def _sky_row(plan: Plan, sky: Sky) -> dict[str, object]:
    return {
        "name": plan.name,
        "cloud_share": round(float((sky.cloud > 0).mean()), 4),
        "shadow_share": round(float((sky.shadow > 0).mean()), 4),
        "haze": round(plan.haze, 4),
        "missing_share": round(plan.missing, 4),
    }
