"""Archives of scenes that are not yet in the cube: cubes of many dates in NetCDF, and folders with one scene each."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import fsspec
import numpy as np
import rasterio
import xarray as xr
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from ceiba.ard.encoding import resolve_encoding
from ceiba.ard.sensors import Encoding, Sensor, find_sensor
from ceiba.errors import CatalogError, InputError, SceneError
from ceiba.products import content_id
from ceiba.samples import find_sample
from ceiba.sources import Found, Selection, Source


@dataclass(frozen=True)
class SceneGrid:
    """Bands of a scene on one grid: ``bands`` name to array ``(y, x)``; ``properties`` go into the scene's document."""

    geobox: GeoBox
    bands: Mapping[str, np.ndarray]
    properties: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class ArchivedScene:
    """A scene of an archive, not yet read.

    Attributes
    ----------
    path
        File, folder or address that an error names.
    time
        Acquisition as ISO 8601 text, UTC.
    properties
        What the archive says of the scene, under the names it uses (:func:`ceiba.ard.encoding.resolve_encoding` reads them).
    """

    name: str
    time: str
    sensor: Sensor
    platform: str
    path: Path | str
    archive: "ArchiveSource"
    properties: Mapping[str, object] = field(default_factory=dict)

    def encoding(self) -> Encoding:
        """How the numbers that :meth:`read` gives store reflectance; raises :class:`SceneError`."""
        return self.archive.scene_encoding(self)

    def read(self) -> dict[int, SceneGrid]:
        """Bands by pixel size [m]; raises :class:`SceneError` naming the file and what is wrong."""
        return self.archive.read_scene(self)


class ArchiveSource(Source):
    """Base of the archives."""

    def list_scenes(self) -> Iterator[ArchivedScene | SceneError]:
        """Every scene, or the error of a scene that cannot even be described."""
        raise CatalogError(f"driver {type(self).__name__} is no archive of scenes")

    def read_scene(self, scene: ArchivedScene) -> dict[int, SceneGrid]:
        """Bands of a scene by pixel size [m]; raises :class:`SceneError`."""
        raise CatalogError(f"driver {type(self).__name__} cannot read scenes")

    def scene_encoding(self, scene: ArchivedScene) -> Encoding:
        """How the numbers of a scene store reflectance; raises :class:`SceneError`."""
        return resolve_encoding(scene.sensor, scene.properties)


class ListedArchiveSource(ArchiveSource):
    """Base of the archives that are a tree of files as an agency delivers them, local or in a bucket."""

    def find(self, selection: Selection) -> Found:
        """Id of the listing, by names, sizes and times or entity tags."""
        if self.sample or "://" not in self.urlpath:
            return super().find(selection)
        lines = [
            f"{path} {entry.get('size')} {entry.get('ETag', entry.get('LastModified'))}"
            for path, entry in sorted(self._listing.items())
        ]
        sha256 = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        return Found(ids=(content_id(sha256),), title={"es": self.urlpath, "en": self.urlpath})

    @cached_property
    def _root(self) -> tuple[fsspec.AbstractFileSystem, str]:
        remote = not self.sample and "://" in self.urlpath
        return fsspec.core.url_to_fs(self.urlpath if remote else str(self.locate()))

    @cached_property
    def _listing(self) -> dict[str, dict]:
        filesystem, root = self._root
        try:
            return filesystem.find(root, detail=True)
        except OSError as error:
            raise InputError(f"source {self.name!r}: {self.urlpath} cannot be listed: {error}") from error

    def _address(self, path: str) -> str:
        """Path or address that rasterio opens."""
        filesystem, _ = self._root
        local = isinstance(filesystem, fsspec.implementations.local.LocalFileSystem)
        return path if local else filesystem.unstrip_protocol(path)

    def _address_below(self, path: str) -> str:
        """Address of a file given by an address, an absolute path or a path below the archive; empty stays empty."""
        if not path or "://" in path or path.startswith("/"):
            return path
        _, root = self._root
        return self._address(f"{root.rstrip('/')}/{path}")


class CubeArchiveSource(ArchiveSource):
    """NetCDF cubes, one a pixel size, with dims ``(time, y, x)`` and the bands under the sensor's own names."""

    name = "scene_cubes"

    def __init__(
        self,
        *,
        cubes: Mapping[int, str],
        sensor: str,
        sample: str = "",
        urlpath: str = "",
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, urlpath=urlpath, metadata=metadata)
        self.cubes, self.sensor = cubes, find_sensor(sensor)
        self._open: dict[int, xr.Dataset] = {}

    def _cube(self, size: int) -> tuple[xr.Dataset, Path]:
        path = find_sample(self.sample).path(self.cubes[size]) if self.sample else self.locate() / self.cubes[size]
        if size not in self._open:
            try:
                self._open[size] = xr.open_dataset(path, mask_and_scale=False, engine="netcdf4").load()
            except (OSError, ValueError) as error:
                raise InputError(f"{path} cannot be read: {error}") from error
        return self._open[size], path

    def list_scenes(self) -> Iterator[ArchivedScene]:
        """One scene a date, called after the sensor and date."""
        size = next(iter(self.cubes))
        cube, path = self._cube(size)
        for time in cube.time.values:
            date = np.datetime_as_string(time, unit="s")
            name = f"{self.sensor.name}_{date[:10].replace('-', '')}"
            yield ArchivedScene(name, f"{date}Z", self.sensor, "sentinel-2", path, self)

    def read_scene(self, scene: ArchivedScene) -> dict[int, SceneGrid]:
        """The bands of one date."""
        grids = {}
        for size in self.cubes:
            cube, path = self._cube(size)
            names = self.sensor.bands[size]
            missing = [own for own in names.values() if own not in cube]
            if missing:
                raise SceneError(
                    f"{path} lacks band {', '.join(missing)}; it has {', '.join(map(str, cube.data_vars))}"
                )
            date = cube.sel(time=np.datetime64(scene.time.rstrip("Z")))
            crs = CRS(cube.spatial_ref.attrs.get("crs_wkt") or cube.spatial_ref.attrs["spatial_ref"])
            grids[size] = SceneGrid(_cube_geobox(cube, crs), {name: date[own].values for name, own in names.items()})
        return grids


def _cube_geobox(cube: xr.Dataset, crs: CRS) -> GeoBox:
    x, y = cube.x.values, cube.y.values
    width, height = (x[-1] - x[0]) / (len(x) - 1), (y[-1] - y[0]) / (len(y) - 1)
    transform = rasterio.Affine(width, 0, x[0] - width / 2, 0, height, y[0] - height / 2)
    name = f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else str(crs)
    return GeoBox((len(y), len(x)), transform, name)


class FolderArchiveSource(ArchiveSource):
    """A folder a scene: GeoTIFF files with named bands (``10m.tif``), and ``scene.json`` with name, time, sensor and platform.

    ``properties`` in ``scene.json`` say what else the archive knows, as the processing baseline.
    """

    name = "scene_folders"

    def list_scenes(self) -> Iterator[ArchivedScene | SceneError]:
        """Every folder below the archive that holds a ``scene.json``."""
        for path in sorted(self.locate().rglob("scene.json")):
            try:
                described = json.loads(path.read_text("utf-8"))
                yield ArchivedScene(
                    described["name"],
                    described["time"],
                    find_sensor(described["sensor"]),
                    described["platform"],
                    path.parent,
                    self,
                    dict(described.get("properties", {})),
                )
            except (OSError, ValueError, KeyError, TypeError, SceneError) as error:
                yield SceneError(
                    f"{path} does not describe a scene ({error!r}); it needs name, time, sensor and platform"
                )

    def read_scene(self, scene: ArchivedScene) -> dict[int, SceneGrid]:
        """The bands of one folder."""
        return {
            size: _read_geotiff(scene.path / f"{size}m.tif", tuple(names)) for size, names in scene.sensor.bands.items()
        }


def _read_geotiff(path: Path, names: tuple[str, ...]) -> SceneGrid:
    if not path.exists():
        raise SceneError(f"{path} does not exist")
    try:
        with rasterio.open(path) as file:
            found = {description: position + 1 for position, description in enumerate(file.descriptions)}
            missing = [name for name in names if name not in found]
            if set(found) == {None}:
                raise SceneError(f"{path} cannot be read: its bands have no names; is the file damaged?")
            if missing:
                what = (
                    "its quality band"
                    if any(name.startswith("quality") for name in missing)
                    else f"band {', '.join(missing)}"
                )
                raise SceneError(
                    f"{path} lacks {what} ({', '.join(missing)}); it has {', '.join(map(str, file.descriptions))}"
                )
            if file.crs is None:
                raise SceneError(f"{path} has no CRS")
            geobox = GeoBox((file.height, file.width), file.transform, str(file.crs.to_string()))
            return SceneGrid(geobox, {name: file.read(found[name]) for name in names})
    except rasterio.errors.RasterioError as error:
        raise SceneError(f"{path} cannot be read: {error}") from error
