"""Landsat scenes as USGS delivers them, a few pixels wide, for the tests."""

import json
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

ANGLES = {"SUN_AZIMUTH": 137.3, "SUN_ELEVATION": 30.0}
CORNERS = {
    f"CORNER_{corner}_{axis}_PRODUCT": value + (0.1 if corner[0 if axis == "LAT" else 1] in "UR" else 0.0)
    for corner in ("UL", "UR", "LL", "LR")
    for axis, value in (("LAT", 19.4), ("LON", -99.2))
}


def mtl_groups(
    *, collection: int = 2, level: int = 1, number: int = 8, name: str = "", reflectance: bool = True
) -> dict:
    """Groups of an MTL file; the keys of Collection 1 and 2 stand in other groups."""
    bands = range(1, 8)
    greatest = 65535 if number >= 8 else 255
    record = {"LANDSAT_PRODUCT_ID": name, "COLLECTION_NUMBER": collection, "PROCESSING_LEVEL": f"L{level}TP"}
    image = {
        "SPACECRAFT_ID": f"LANDSAT_{number}", "DATE_ACQUIRED": "2015-12-05", "SCENE_CENTER_TIME": "16:06:06.8773380Z",
        "WRS_PATH": 26, "WRS_ROW": 47, "CLOUD_COVER": 12.5, **ANGLES, "EARTH_SUN_DISTANCE": 0.985478,
    }  # fmt: skip
    scaling = {f"RADIANCE_MULT_BAND_{band}": 0.5 for band in bands} | {
        f"RADIANCE_ADD_BAND_{band}": -1.5 for band in bands
    }
    if reflectance:
        scaling |= {f"REFLECTANCE_MULT_BAND_{band}": 2e-05 for band in bands}
        scaling |= {f"REFLECTANCE_ADD_BAND_{band}": -0.1 for band in bands}
    pixels = {f"QUANTIZE_CAL_MAX_BAND_{band}": greatest for band in bands}
    if collection == 1:
        product = {"DATA_TYPE": "L1TP", **{key: image.pop(key) for key in list(image)[:5]}, **CORNERS}
        return {
            "METADATA_FILE_INFO": {"LANDSAT_PRODUCT_ID": name, "COLLECTION_NUMBER": "01"},
            "PRODUCT_METADATA": product, "IMAGE_ATTRIBUTES": image, "MIN_MAX_PIXEL_VALUE": pixels,
            "RADIOMETRIC_RESCALING": scaling,
        }  # fmt: skip
    groups = {"PRODUCT_CONTENTS": record, "IMAGE_ATTRIBUTES": image, "PROJECTION_ATTRIBUTES": CORNERS}
    if level == 2:
        groups["LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"] = {
            f"REFLECTANCE_{part}_BAND_{band}": value for band in bands for part, value in (("MULT", 2.75e-05), ("ADD", -0.2))
        }  # fmt: skip
    return groups | {"LEVEL1_MIN_MAX_PIXEL_VALUE": pixels, "LEVEL1_RADIOMETRIC_RESCALING": scaling}


def mtl_text(groups: dict, *, pad_to: int = 0) -> bytes:
    """The groups as the text that USGS writes, perhaps padded with zeros."""
    root = "L1_METADATA_FILE" if "METADATA_FILE_INFO" in groups else "LANDSAT_METADATA_FILE"
    lines = [f"GROUP = {root}"]
    for group, entries in groups.items():
        values = {
            key: f'"{value}"' if isinstance(value, str) and not key.startswith("DATE") else value
            for key, value in entries.items()
        }
        lines += [f"  GROUP = {group}", *(f"    {key} = {value}" for key, value in values.items())]
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, f"END_GROUP = {root}", "END", ""]).encode().ljust(pad_to, b"\0")


def mtl_json(groups: dict) -> bytes:
    """The groups as JSON of Collection 2, in which every value is a text."""
    return json.dumps(
        {"LANDSAT_METADATA_FILE": {group: {k: str(v) for k, v in entries.items()} for group, entries in groups.items()}}
    ).encode()


def write_scene(
    folder: Path, name: str, files: dict[str, np.ndarray], *, crs: str, origin: tuple[float, float], **mtl
) -> Path:
    """Write a scene: ``files`` maps what follows its name ("B4.TIF") to numbers; returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_MTL.txt").write_bytes(mtl_text(mtl_groups(name=name, **mtl)))
    for suffix, numbers in files.items():
        with rasterio.open(
            folder / f"{name}_{suffix}", "w", driver="GTiff", height=numbers.shape[0], width=numbers.shape[1], count=1,
            dtype=numbers.dtype, crs=crs, transform=Affine(30, 0, origin[0], 0, -30, origin[1]),
        ) as file:  # fmt: skip
            file.write(numbers, 1)
    return folder
