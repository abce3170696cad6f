"""Positions of the scenes of a tile: measured against the area's reference image, kept with the list of scenes, undone on reading.

The reference is a fixed image that the area's catalogue names (``position_reference``), not whatever geomedian the cube
holds: it enters the ids of what is made with it, and a mosaic that appears or is made again later would make every year
before it anew. A geomedian of a year that was found to lie well is a good one: its file, copied out of the store.
"""

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.ard.coregistration import Position, Shift, check_scene_position
from ceiba.ard.sensors import Sensor
from ceiba.errors import InputError
from ceiba.tasks import Task

REFERENCE = "position_reference"
UNCHECKED = {"position": "unchecked", "shift_x_m": np.nan, "shift_y_m": np.nan, "position_note": ""}


def open_reference(task: Task, sensor: Sensor, resolution_m: float) -> xr.Dataset | None:
    """The reference image on the tile's grid, with bands that scenes of ``sensor`` have too; None where the area names none.

    Raises :class:`InputError` where it has no such band.
    """
    if not task.has(REFERENCE):
        return None
    reference = task.open(REFERENCE, resolution_m=resolution_m)
    size = min(sensor.bands, key=lambda pixel: abs(pixel - resolution_m))
    shared = [str(name) for name in reference.data_vars if name in sensor.bands[size] and not str(name).startswith("quality")]
    if not shared:
        raise InputError(
            f"{REFERENCE} of area {task.area.name} has {', '.join(map(str, reference.data_vars))}; "
            f"it needs a file called after a band of the scenes, as red.tif or nir.tif"
        )
    return reference[shared]


def scene_position(
    bands: xr.Dataset, clear: xr.DataArray, reference: xr.Dataset, *, nodata: float, misregistered: str
) -> Position:
    """Verdict on a scene as stored.

    Parameters
    ----------
    bands
        The bands of ``reference`` as stored, dims ``(y, x)``.
    clear
        Clear pixels, dims ``(y, x)``.
    reference
        From :func:`open_reference`.
    nodata
        Number without a value.
    misregistered
        "refuse" or "shift": what becomes of a scene more than half a pixel off.
    """
    valid = clear
    for band in bands.data_vars.values():
        valid = valid & (band != nodata)
    return check_scene_position(bands, reference, valid=valid, misregistered=misregistered)


def position_columns(position: Position) -> dict[str, object]:
    """What the list of scenes keeps of a verdict; the shift [m] only where it says that the scene is moved."""
    moved = position.status == "shifted"
    return {
        "position": position.status,
        "shift_x_m": position.shift.x_m if moved else np.nan,
        "shift_y_m": position.shift.y_m if moved else np.nan,
        "position_note": position.note,
    }


def kept_shifts(scenes: pd.DataFrame) -> dict[str, Shift]:
    """Shifts of the scenes to be moved by dataset id, from a list of scenes; lists of before 1.1.0 have none."""
    if "position" not in scenes:
        return {}
    moved = scenes[scenes["position"] == "shifted"]
    return {
        row.dataset_id: Shift(row.shift_x_m, row.shift_y_m, np.nan, np.nan, 0) for row in moved.itertuples(index=False)
    }
