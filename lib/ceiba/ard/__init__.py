"""Analysis-ready data: scenes indexed, masked by named quality classes, counted."""

from ceiba.ard.band_adjustment import oli_lines
from ceiba.ard.clear import count_clear, open_clear, open_stack, tabulate_scenes
from ceiba.ard.encoding import resolve_encoding, scene_encoding, scene_sensor
from ceiba.ard.fetch_plans import list_scenes, plan_fetch, plan_table
from ceiba.ard.fetching import check_arrived, fetch_scenes, index_archive
from ceiba.ard.sensors import Encoding, Sensor, clear_mask, find_sensor, sensor_of_product

__all__ = [
    "Encoding", "Sensor", "check_arrived", "clear_mask", "count_clear", "fetch_scenes", "find_sensor", "index_archive",
    "list_scenes", "oli_lines", "open_clear", "open_stack", "plan_fetch", "plan_table", "resolve_encoding", "scene_encoding",
    "scene_sensor", "sensor_of_product", "tabulate_scenes",
]  # fmt: skip
