"""From archives into the cube: each scene checked, written as Cloud-Optimised GeoTIFF and indexed."""

import hashlib
import uuid
from pathlib import Path

import numpy as np
import rasterio
from rasterio.io import MemoryFile

from ceiba import cube as index
from ceiba import store
from ceiba.ard.archives import ArchivedScene, SceneGrid
from ceiba.ard.encoding import ENCODING_KEY, SENSOR_KEY, check_encoding, processing_baseline
from ceiba.ard.sensors import clear_mask, clear_mask_of_bits
from ceiba.errors import SceneError
from ceiba.products import NAMESPACE, ProductDefinition, eo3_document, find_definition
from ceiba.tasks import Task


def index_scene(task: Task, scene: ArchivedScene) -> dict:
    """Check, write and index one scene; raises :class:`SceneError`. Returns its row of the inventory."""
    grids = scene.read()
    check_scene(task, scene, grids)
    definition = find_definition(scene.sensor.product)
    dataset_id = scene_id(definition, scene, grids)
    if index.get_dataset(index.connect(), dataset_id) is None:
        store.save_dataset(
            dataset_id,
            f"scenes/{definition.name}/{scene.time[:4]}/{scene.name}",
            lambda folder: _write_scene(folder, task, definition, scene, grids, dataset_id),
        )
    quality = grids[min(grids)].bands["quality"]
    return {
        "scene": scene.name, "time": scene.time, "sensor": scene.sensor.name, "platform": scene.platform, "status": "indexed",
        "reason": "", "clear_share": float(_clear(scene, quality).mean()), "dataset_id": str(dataset_id),
    }  # fmt: skip


def _clear(scene: ArchivedScene, quality: np.ndarray) -> np.ndarray:
    import xarray as xr

    band = xr.DataArray(quality)
    if scene.sensor.quality_kind == "classes":
        return clear_mask(band, scene.sensor.quality_classes, clear=scene.sensor.clear).values
    return clear_mask_of_bits(band, scene.sensor.quality_classes, unwanted=scene.sensor.unwanted).values


def check_scene(task: Task, scene: ArchivedScene, grids: dict[int, SceneGrid]) -> None:
    """Raise :class:`SceneError` on a scene outside the area, with unknown classes, or not encoded as it says."""
    place = task.unit.place.whole.extent
    for size, grid in grids.items():
        extent = grid.geobox.extent.to_crs(place.crs)
        if not extent.intersects(place):
            raise SceneError(
                f"{scene.path} ({size} m) lies outside area {task.area.name}: its CRS is {grid.geobox.crs}, "
                f"its bounds are {tuple(round(value, 1) for value in grid.geobox.boundingbox.bbox)}; is the CRS wrong?"
            )
        known = set(scene.sensor.quality_classes.values())
        if scene.sensor.quality_kind == "classes" and not set(np.unique(_quality(grid))) <= known:
            raise SceneError(
                f"{scene.path} ({size} m): the quality band holds values that are no class of {scene.sensor.name}"
            )
        if scene.sensor.quality_kind == "bits" and not _quality(grid).all():
            # Bands of a file share one number for no data, 0: a clear pixel without any bit would be read as one not seen.
            raise SceneError(f"{scene.path} ({size} m): the quality band has pixels without any bit; set clear or fill")
    finest = grids[min(grids)]
    check_encoding(
        str(scene.path),
        scene.sensor,
        scene.encoding(),
        {name: band for name, band in finest.bands.items() if not name.startswith("quality")},
        baseline=processing_baseline(scene.properties),
        clear=_clear(scene, _quality(finest)),
    )


def _quality(grid: SceneGrid) -> np.ndarray:
    return next(band for name, band in grid.bands.items() if name.startswith("quality"))


def scene_id(definition: ProductDefinition, scene: ArchivedScene, grids: dict[int, SceneGrid]) -> uuid.UUID:
    """Deterministic id from the name, the grids and every pixel of a scene."""
    digest = hashlib.sha256()
    if scene.encoding() != scene.sensor.encoding:  # the same numbers with another meaning are another scene
        digest.update(repr(scene.encoding()).encode())
    for size in sorted(grids):
        digest.update(repr((size, tuple(grids[size].geobox.affine), str(grids[size].geobox.crs))).encode())
        for name, band in sorted(grids[size].bands.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(band).tobytes())
    return uuid.uuid5(
        NAMESPACE, f"{definition.name} {definition.version} {scene.name} {scene.time} {digest.hexdigest()}"
    )


def _write_scene(
    folder: Path,
    task: Task,
    definition: ProductDefinition,
    scene: ArchivedScene,
    grids: dict[int, SceneGrid],
    dataset_id: uuid.UUID,
) -> dict:
    finest = min(grids)
    measurements, places = {}, {}
    for size, grid in grids.items():
        _write_bands(folder / f"{size}m.tif", grid, definition)
        for position, name in enumerate(grid.bands):
            measurements[name] = f"{size}m.tif"
            places[name] = ("default" if size == finest else f"{size}m", position + 1)
    return eo3_document(
        dataset_id=dataset_id,
        definition=definition,
        region_code=scene.name,
        period=(scene.time, scene.time),
        geobox=grids[finest].geobox,
        grids={f"{size}m": grid.geobox for size, grid in grids.items() if size != finest},
        measurements=measurements,
        measurement_grids=places,
        accessories={"checksums": store.CHECKSUMS_NAME},
        lineage={},
        properties={
            "eo:platform": scene.platform,
            "eo:instrument": scene.sensor.name,
            SENSOR_KEY: scene.sensor.name,
            ENCODING_KEY: scene.encoding().to_properties(),
            "ceiba:simulated": task.simulated,
        }
        | {name: value for grid in grids.values() for name, value in grid.properties.items()},
    )


def _write_bands(path: Path, grid: SceneGrid, definition: ProductDefinition) -> None:
    nodata = next(band.nodata for band in definition.measurements if band.name in grid.bands)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=grid.geobox.height, width=grid.geobox.width, count=len(grid.bands), dtype="uint16", nodata=nodata,
            crs=rasterio.crs.CRS.from_user_input(str(grid.geobox.crs)), transform=grid.geobox.affine,
        ) as file:  # fmt: skip
            for position, (name, band) in enumerate(grid.bands.items()):
                file.write(band.astype("uint16"), position + 1)
                file.set_band_description(position + 1, name)
        rasterio.shutil.copy(memory.name, path, driver="COG", compress="deflate", predictor="yes", blocksize=512)
    with rasterio.open(path) as written:
        if not all(
            np.array_equal(written.read(position + 1), band) for position, band in enumerate(grid.bands.values())
        ):
            raise OSError(f"{path} read back differs from what was written; is the disk full?")
