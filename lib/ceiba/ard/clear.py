"""Clear observations: what is left of the scenes of a tile after the mask and the rejection of scenes."""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
import xarray as xr

from ceiba.ard.coregistration import Shift, check_treatment
from ceiba.ard.encoding import scene_sensor
from ceiba.ard.positions import UNCHECKED, kept_shifts, open_reference, position_columns, scene_position
from ceiba.ard.sensors import clear_mask, sensor_of_product
from ceiba.ard.stacked_scenes import overpass
from ceiba.ard.stacks import SceneStack
from ceiba.errors import InputError
from ceiba.sources import Found, asset_paths
from ceiba.tasks import Task

SCENES_TABLE = "scenes.parquet"


def count_clear(
    task: Task,
    *,
    clear_classes: Iterable[str],
    min_clear_share: float,
    resolution_m: float,
    misregistered: str = "shift",
    grow_cloud_m: float = 0.0,
) -> tuple[xr.Dataset, pd.DataFrame]:
    """Count the clear observations of a tile and period, and say which scenes are accepted.

    Parameters
    ----------
    task
        The task, with input ``s2_l2a_scenes`` and, where the area names one, ``position_reference``.
    clear_classes
        Names of quality classes that count as clear (``catalogs/sensors.yml``).
    min_clear_share
        A scene of which no more than this share [1] of the tile is clear is rejected.
    resolution_m
        Pixel size [m].
    misregistered
        What becomes of a scene that lies more than half a pixel from the reference: "refuse" or "shift".
    grow_cloud_m
        Distance [m] around clouds and their shadows that is not clear either (:class:`ceiba.ard.stacks.SceneStack`).

    Returns
    -------
    counts : xr.Dataset
        ``clear_count`` and ``observation_count`` [1], dims ``(y, x)``; scenes of one overpass count once, as in the mosaics.
    scenes : pd.DataFrame
        One row a scene: ``dataset_id``, ``time``, ``clear_share`` [1], ``accepted``, ``position`` ("in_place", "shifted",
        "refused", "unknown", or "unchecked" without a reference), ``shift_x_m``, ``shift_y_m`` [m], ``position_note``.

    Raises
    ------
    InputError
        Where no scene is accepted, or ``misregistered`` is something else.
    """
    check_treatment(misregistered)
    sensor = sensor_of_product("s2_l2a_scenes")
    quality_band, no_data = sensor.quality_band(resolution_m), sensor.quality_classes["no_data"]
    reference = open_reference(task, sensor, resolution_m)
    rows, counted = [], OverpassCounts()
    for dataset in task.datasets("s2_l2a_scenes"):
        quality = _load(task, "s2_l2a_scenes", [dataset], [quality_band], resolution_m)
        clear = clear_mask(quality[quality_band].isel(time=0), sensor.quality_classes, clear=clear_classes)
        if grow_cloud_m:
            _, clear = _as_in_mosaics(task, dataset, (0.0, 0.0), clear, clear_classes, grow_cloud_m)
        share = float(clear.mean())
        accepted, position = share > min_clear_share, UNCHECKED
        if accepted and reference is not None:
            bands = _load(task, "s2_l2a_scenes", [dataset], list(reference.data_vars), resolution_m).isel(time=0)
            found = scene_position(bands, clear, reference, nodata=sensor.nodata, misregistered=misregistered)
            accepted, position = found.usable, position_columns(found)
        observed = quality[quality_band].isel(time=0, drop=True) != no_data
        clear = clear.drop_vars("time")
        for shift in kept_shifts(pd.DataFrame([{"dataset_id": str(dataset.id)} | position])).values():
            observed, clear = _as_in_mosaics(
                task, dataset, (shift.x_m, shift.y_m), observed, clear_classes, grow_cloud_m
            )
        rows.append(
            {
                "dataset_id": str(dataset.id),
                "time": dataset.center_time.isoformat(),
                "clear_share": share,
                "accepted": accepted,
            }
            | position
        )
        counted.add(overpass(dataset), observed=observed, clear=clear if accepted else None)
    scenes = pd.DataFrame(rows)
    if not scenes["accepted"].any():
        raise InputError(
            f"{task.unit}: none of {len(scenes)} scenes is clear over more than {min_clear_share:.0%} of the tile"
            + _refused(scenes)
        )
    counts = counted.finish()
    for variable in counts.data_vars.values():
        variable.attrs = {"units": "1", "nodata": 0}
    return counts.odc.assign_crs(task.tile.crs), scenes


class OverpassCounts:
    """Counts of observed and clear looks at each pixel; scenes of one overpass, as neighboring granules, are one look."""

    def __init__(self):
        self._key: object = None
        self._observed: xr.DataArray | None = None
        self._clear: xr.DataArray | None = None
        self._counts: dict[str, xr.DataArray] = {}

    def add(self, key: object, *, observed: xr.DataArray, clear: xr.DataArray | None) -> None:
        """Add a scene (bool, dims ``(y, x)``) of the overpass ``key``, in the order of time; ``clear`` is None where refused."""
        clear = observed & False if clear is None else clear
        if key != self._key:
            self._flush()
            self._key, self._observed, self._clear = key, observed, clear
        else:
            self._observed, self._clear = self._observed | observed, self._clear | clear

    def _flush(self) -> None:
        if self._observed is None:
            return
        for name, mask in (("clear_count", self._clear), ("observation_count", self._observed)):
            look = mask.astype("uint16")
            self._counts[name] = look if name not in self._counts else self._counts[name] + look

    def finish(self) -> xr.Dataset:
        """``clear_count`` and ``observation_count`` [1], uint16, dims ``(y, x)``."""
        self._flush()
        return xr.Dataset(self._counts)


def _as_in_mosaics(
    task: Task,
    dataset,
    shift_m: tuple[float, float],
    like: xr.DataArray,
    clear_classes: Iterable[str],
    grow_cloud_m: float,
) -> tuple[xr.DataArray, xr.DataArray]:
    """Observed and clear pixels (bool) of a scene that is moved or whose clouds grow, as :func:`open_stack` reads it."""
    product = dataset.product.name
    stack = SceneStack(
        [dataset],
        measurements=list(scene_sensor(dataset).reflectance_bands(min(scene_sensor(dataset).bands)))[:1],
        geobox=like.odc.geobox,
        classes={product: tuple(clear_classes)},
        shifts_m={str(dataset.id): shift_m},
        grow_cloud_m=grow_cloud_m,
    )
    block = stack.read(all_dates=True)
    return like.copy(data=block.bands[0, 0] != block.nodata[0]), like.copy(data=block.clear[0])


def _refused(scenes: pd.DataFrame) -> str:
    refused = scenes.loc[scenes["position"] == "refused", "position_note"]
    return f" and in place ({len(refused)} are not: {refused.iloc[0]})" if len(refused) else ""


def open_clear(
    task: Task, *, measurements: Sequence[str], resolution_m: float, sensor: str = "s2_l2a_scenes"
) -> tuple[xr.Dataset, xr.DataArray]:
    """Bands and clear mask of the accepted scenes of a tile and period, all at once: for small tiles and single looks.

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
        Integers, dims ``(time, y, x)``, attrs ``nodata``, ``scale``, ``offset``: reflectance [1] is number * scale + offset.
        Where scenes are stored in ways that no one set of these covers, clear reflectance [1] with NaN.
    clear : xr.DataArray
        True where the observation is clear, dims ``(time, y, x)``.
    """
    return open_stack(task, measurements=measurements, resolution_m=resolution_m, sensor=sensor).read().as_dataset()


def open_stack(
    task: Task,
    *,
    measurements: Sequence[str],
    resolution_m: float,
    sensor: str = "s2_l2a_scenes",
    adjust: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> SceneStack:
    """The accepted scenes of a tile and period, to be read block by block.

    Parameters
    ----------
    task, measurements, resolution_m, sensor
        As in :func:`open_clear`.
    adjust
        Sensor to ``{measurement: (gain, lift)}``, as of :func:`ceiba.ard.band_adjustment.oli_lines`; none by default.

    Raises
    ------
    InputError
        Where no scene is accepted.
    """
    datasets = list(task.datasets(sensor))
    classes, shifts, grow_cloud_m = {}, {}, 0.0
    if sensor == "s2_l2a_scenes":
        accepted, clear, shifts, grow_cloud_m = accepted_scenes(task)
        datasets = [dataset for dataset in datasets if str(dataset.id) in accepted]
        classes = {sensor: clear}
    if not datasets:
        raise InputError(f"{task.unit}: no accepted scene of {sensor}")
    options = {"classes": classes, "shifts_m": {name: (shift.x_m, shift.y_m) for name, shift in shifts.items()}}
    options |= {"adjust": adjust, "grow_cloud_m": grow_cloud_m}
    return SceneStack(datasets, measurements=measurements, geobox=task.geobox(resolution_m), **options)


def tabulate_scenes(task: Task, sensor: str) -> pd.DataFrame:
    """The scenes of a tile and its input years, in order of time.

    Parameters
    ----------
    task, sensor
        As in :func:`open_clear`.

    Returns
    -------
    pd.DataFrame
        ``date`` (ISO 8601), ``platform``, ``sensor`` (name in ``catalogs/sensors.yml``) and ``scene``, its label.
    """
    rows = [
        {
            "date": dataset.center_time.date().isoformat(),
            "platform": str(dataset.metadata_doc["properties"].get("eo:platform", "")),
            "sensor": scene_sensor(dataset).name,
            "scene": str(dataset.metadata_doc.get("label", dataset.id)),
        }
        for dataset in task.datasets(sensor)
    ]
    return pd.DataFrame(rows).sort_values(["date", "scene"], ignore_index=True)


def accepted_scenes(task: Task) -> tuple[set[str], tuple[str, ...], dict[str, Shift], float]:
    """Ids of the scenes that ``clear_observations`` accepted, its clear classes, how far some scenes are to be moved, and the
    distance [m] that clouds grow by.

    Raises :class:`InputError` where the years disagree in their classes or that distance.
    """
    accepted: set[str] = set()
    masks: set[tuple[tuple[str, ...], float]] = set()
    shifts: dict[str, Shift] = {}
    for dataset in task.datasets("clear_observations"):
        scenes = pd.read_parquet(asset_paths(dataset)[SCENES_TABLE])
        accepted |= set(scenes.loc[scenes["accepted"], "dataset_id"])
        shifts |= kept_shifts(scenes)
        parameters = dataset.metadata_doc["properties"]["ceiba:parameters"]
        # Counts from before clouds could grow do not say it.
        masks.add((tuple(parameters["clear_classes"]), float(parameters.get("grow_cloud_m", 0.0))))
    if len(masks) != 1:
        raise InputError(
            f"{task.unit}: the years were masked by different classes or distances from clouds: {sorted(masks)}; "
            "run 01_ard again for all of them"
        )
    classes, grow_cloud_m = masks.pop()
    return accepted, classes, shifts, grow_cloud_m


def _load(task: Task, name: str, datasets: list, measurements: list[str], resolution_m: float) -> xr.Dataset:
    from ceiba.plan import select

    rule = next(rule for definition in task.unit.products for rule in definition.inputs if rule.name == name)
    found = Found(ids=tuple(str(dataset.id) for dataset in datasets), datasets=tuple(datasets))
    return task.source(name).load(select(task.unit, rule), found, measurements=measurements, resolution_m=resolution_m)
