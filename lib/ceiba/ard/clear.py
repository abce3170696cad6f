"""Clear observations: what is left of the scenes of a tile after the mask and the rejection of scenes."""

from collections.abc import Iterable, Sequence

import pandas as pd
import xarray as xr

from ceiba.ard.sensors import Sensor, clear_mask, clear_mask_of_bits, sensor_of_product
from ceiba.errors import InputError
from ceiba.sources import Found, asset_paths
from ceiba.tasks import Task

SCENES_TABLE = "scenes.parquet"


def count_clear(
    task: Task, *, clear_classes: Iterable[str], min_clear_share: float, resolution_m: float
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Count the clear observations of a tile and period, and say which scenes are accepted.

    Parameters
    ----------
    task
        The task, with input ``s2_l2a_scenes``.
    clear_classes
        Names of quality classes that count as clear (``catalogs/sensors.yml``).
    min_clear_share
        A scene of which no more than this share [1] of the tile is clear is rejected.
    resolution_m
        Pixel size [m].

    Returns
    -------
    counts : xr.Dataset
        ``clear_count`` and ``observation_count`` [1], dims ``(y, x)``.
    scenes : pd.DataFrame
        One row a scene: ``dataset_id``, ``time``, ``clear_share`` [1], ``accepted``.

    Raises
    ------
    InputError
        Where no scene is accepted.
    """
    sensor = sensor_of_product("s2_l2a_scenes")
    rows, clear_count, observed_count = [], None, None
    for dataset in task.datasets("s2_l2a_scenes"):
        quality = _load(task, "s2_l2a_scenes", [dataset], [sensor.quality_band(resolution_m)], resolution_m)[
            sensor.quality_band(resolution_m)
        ].isel(time=0, drop=True)
        observed = quality != sensor.quality_classes["no_data"]
        clear = clear_mask(quality, sensor.quality_classes, clear=clear_classes)
        share = float(clear.mean())
        accepted = share > min_clear_share
        rows.append(
            {
                "dataset_id": str(dataset.id),
                "time": dataset.center_time.isoformat(),
                "clear_share": share,
                "accepted": accepted,
            }
        )
        if clear_count is None:
            clear_count, observed_count = clear.astype("uint16") * 0, clear.astype("uint16") * 0
        observed_count = observed_count + observed.astype("uint16")
        if accepted:
            clear_count = clear_count + clear.astype("uint16")
    scenes = pd.DataFrame(rows)
    if not scenes["accepted"].any():
        raise InputError(
            f"{task.unit}: none of {len(scenes)} scenes is clear over more than {min_clear_share:.0%} of the tile"
        )
    counts = xr.Dataset({"clear_count": clear_count, "observation_count": observed_count})
    for variable in counts.data_vars.values():
        variable.attrs = {"units": "1", "nodata": 0}
    return counts.odc.assign_crs(task.tile.crs), scenes


def open_clear(
    task: Task, *, measurements: Sequence[str], resolution_m: float, sensor: str = "s2_l2a_scenes"
) -> tuple[xr.Dataset, xr.DataArray]:
    """Bands and clear mask of the accepted scenes of a tile and period.

    Parameters
    ----------
    task
        A task with inputs ``sensor`` and, for Sentinel-2, ``clear_observations``, whose mask and list of accepted scenes are used.
    measurements
        Bands of the scene product.
    resolution_m
        Pixel size [m].
    sensor
        Name of the scene source.

    Returns
    -------
    bands : xr.Dataset
        Integers as stored, dims ``(time, y, x)``, attrs ``nodata``, ``scale``, ``offset``: reflectance is number * scale + offset.
    clear : xr.DataArray
        True where the observation is clear, dims ``(time, y, x)``.
    """
    described = sensor_of_product(sensor)
    datasets = list(task.datasets(sensor))
    classes = described.clear
    if sensor == "s2_l2a_scenes":
        accepted, classes = accepted_scenes(task)
        datasets = [dataset for dataset in datasets if str(dataset.id) in accepted]
    if not datasets:
        raise InputError(f"{task.unit}: no accepted scene of {sensor}")
    quality_band = described.quality_band(resolution_m)
    loaded = _load(task, sensor, datasets, [*measurements, quality_band], resolution_m)
    clear = quality_mask(loaded[quality_band], described, classes)
    bands = loaded[list(measurements)]
    for band in bands.data_vars.values():
        band.attrs |= {"nodata": described.nodata, "scale": described.scale, "offset": described.offset}
    return bands, clear


def accepted_scenes(task: Task) -> tuple[set[str], tuple[str, ...]]:
    """Ids of the scenes that ``clear_observations`` accepted, and its clear classes; raises :class:`InputError` where they disagree."""
    accepted: set[str] = set()
    classes: set[tuple[str, ...]] = set()
    for dataset in task.datasets("clear_observations"):
        scenes = pd.read_parquet(asset_paths(dataset)[SCENES_TABLE])
        accepted |= set(scenes.loc[scenes["accepted"], "dataset_id"])
        classes.add(tuple(dataset.metadata_doc["properties"]["ceiba:parameters"]["clear_classes"]))
    if len(classes) != 1:
        raise InputError(
            f"{task.unit}: the years were masked by different classes: {sorted(classes)}; run 01_ard again for all of them"
        )
    return accepted, classes.pop()


def quality_mask(quality: xr.DataArray, sensor: Sensor, classes: Iterable[str]) -> xr.DataArray:
    """Clear mask of a quality band of ``sensor``, any dims."""
    if sensor.quality_kind == "classes":
        return clear_mask(quality, sensor.quality_classes, clear=classes)
    return clear_mask_of_bits(quality, sensor.quality_classes, unwanted=sensor.unwanted)


def _load(task: Task, name: str, datasets: list, measurements: list[str], resolution_m: float) -> xr.Dataset:
    from ceiba.plan import select

    rule = next(rule for definition in task.unit.products for rule in definition.inputs if rule.name == name)
    found = Found(ids=tuple(str(dataset.id) for dataset in datasets), datasets=tuple(datasets))
    return task.source(name).load(select(task.unit, rule), found, measurements=measurements, resolution_m=resolution_m)
