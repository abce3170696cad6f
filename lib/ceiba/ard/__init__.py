"""Analysis-ready data: scenes indexed, masked by named quality classes, counted."""

from ceiba.ard.clear import count_clear, open_clear
from ceiba.ard.encoding import resolve_encoding, scene_encoding, scene_sensor
from ceiba.ard.scenes import index_archive
from ceiba.ard.sensors import Encoding, Sensor, clear_mask, find_sensor, sensor_of_product

__all__ = [
    "Encoding", "Sensor", "clear_mask", "count_clear", "find_sensor", "index_archive", "open_clear", "resolve_encoding",
    "scene_encoding", "scene_sensor", "sensor_of_product",
]  # fmt: skip
