"""Folders of Landsat scenes as USGS delivers them: found by their MTL files, read as one kind of surface reflectance."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ceiba.ard import landsat_reading
from ceiba.ard.archives import ArchivedScene, ListedArchiveSource, SceneGrid
from ceiba.ard.landsat_metadata import LandsatMetadata, read_mtl
from ceiba.ard.sensors import Encoding, Sensor, sensor_of_scene
from ceiba.config import tell_gdal_the_endpoint
from ceiba.errors import CatalogError, SceneError

log = logging.getLogger(__name__)

METADATA_FILE = re.compile(r"(?P<stem>[^/\\]+)_MTL\.(txt|json)$", re.IGNORECASE)
SUN_ANGLES = ("scene", "pixel")


@dataclass(frozen=True)
class LandsatScene(ArchivedScene):
    """A Landsat scene of a folder: ``files`` maps what follows the scene's name, in lower case ("b4", "qa_pixel"), to an address."""

    metadata: LandsatMetadata | None = None
    files: Mapping[str, str] = field(default_factory=dict)


class LandsatFolderSource(ListedArchiveSource):
    """Landsat scenes, an MTL file with its TIFs beside it: Level 1 or 2, Collection 1 or 2, local or in a bucket.

    Level 1 is turned into surface reflectance when read. Whatever comes in is stored as Collection 2 Level 2 is, with its
    scale and offset and the bits of its QA_PIXEL, so that the product is of one kind.

    Parameters
    ----------
    elevation
        GeoTIFF with heights [m] for the correction of terrain and atmosphere, an address or a path below the archive; none by
        default, then the terrain is not corrected.
    method
        Atmospheric correction of Level 1 (:func:`ceiba.ard.atmosphere.correct_atmosphere`).
    sun
        Elevation of the sun for reflectance at the top of the atmosphere: "scene" (of its center, as USGS does) or "pixel".
    brdf
        Whether level 1 is told as seen from straight above (:func:`ceiba.ard.brdf.adjust_brdf`), with view angles by the place
        in the swath (:func:`ceiba.ard.landsat_view.view_angles`, whose docstring tells their error). Off by default: within one
        path it changes hardly anything, it is wrong over water and snow, and on slopes unless the terrain is corrected. It helps
        where neighboring paths overlap in one mosaic. Level 2 stays as USGS made it.
    grow_cloud_m
        Distance [m] around cloud that is marked as dilated cloud, where the archive's quality band does not do it.
    """

    name = "landsat_folders"

    def __init__(
        self,
        *,
        sample: str = "",
        path: str = "",
        urlpath: str = "",
        elevation: str = "",
        method: str = "auto",
        sun: str = "scene",
        brdf: bool = False,
        grow_cloud_m: float = 0.0,
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, path=path, urlpath=urlpath, metadata=metadata)
        if sun not in SUN_ANGLES:
            raise CatalogError(f"source {self.name!r}: sun is {sun!r}; allowed are {', '.join(SUN_ANGLES)}")
        self.elevation, self.method, self.sun, self.grow_cloud_m = elevation, method, sun, grow_cloud_m
        self.brdf = bool(brdf)

    def list_scenes(self) -> Iterator[ArchivedScene | SceneError]:
        """One scene an MTL file; of several levels or collections of one acquisition the highest only."""
        best: dict[tuple, LandsatScene] = {}
        for folder, stem, path in self._metadata_files():
            try:
                scene = self._describe(folder, stem, path)
            except (OSError, SceneError) as error:
                yield error if isinstance(error, SceneError) else SceneError(f"{path} cannot be read: {error}")
                continue
            described = scene.metadata
            acquisition = (described.platform, described.wrs_path, described.wrs_row, described.time.date())
            other = best.get(acquisition)
            if other is not None:
                log.warning("%s and %s are of one acquisition; the higher level is used", other.name, scene.name)
            if other is None or _rank(scene.sensor) > _rank(other.sensor):
                best[acquisition] = scene
        yield from sorted(best.values(), key=lambda scene: (scene.time, scene.name))

    def _metadata_files(self) -> Iterator[tuple[str, str, str]]:
        """Folder, stem and path of the MTL files, the text where there is also one in JSON."""
        found: dict[tuple[str, str], str] = {}
        for path in sorted(self._listing, reverse=True):
            match = METADATA_FILE.search(path)
            if match:
                found[path[: match.start()], match["stem"]] = path if path.lower().endswith("txt") else found.get(
                    (path[: match.start()], match["stem"]), path
                )
        for (folder, stem), path in sorted(found.items()):
            yield folder, stem, path

    @cached_property
    def _by_folder(self) -> dict[str, list[str]]:
        """Folder, with its last slash, to the files in it: an archive of a country has a million of them."""
        files: dict[str, list[str]] = defaultdict(list)
        for path in self._listing:
            files[path[: path.rfind("/") + 1]].append(path)
        return files

    def _describe(self, folder: str, stem: str, path: str) -> LandsatScene:
        filesystem, _ = self._root
        metadata = read_mtl(filesystem.cat_file(path), name=self._address(path))
        prefix = f"{folder}{stem}_".lower()
        files = {
            found[len(prefix) :].lower().rpartition(".")[0]: self._address(found)
            for found in self._by_folder[folder]
            if found.lower().startswith(prefix) and found.lower().endswith((".tif", ".tiff"))
        }
        sensor = _sensor_of(metadata, files)
        return LandsatScene(
            name=metadata.name,
            time=metadata.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            sensor=sensor,
            platform=metadata.platform,
            path=self._address(folder.rstrip("/")),
            archive=self,
            properties=_properties(metadata, sensor),
            metadata=metadata,
            files=files,
        )

    def scene_encoding(self, scene: ArchivedScene) -> Encoding:
        """That of Collection 2 Level 2, in which all scenes are read."""
        return scene.sensor.encoding

    def read_scene(self, scene: ArchivedScene) -> dict[int, SceneGrid]:
        """Surface reflectance and quality bits of one folder."""
        tell_gdal_the_endpoint()
        if scene.sensor.level == 2:
            return landsat_reading.read_level_2(scene, grow_cloud_m=self.grow_cloud_m)
        return landsat_reading.read_level_1(
            scene,
            elevation=self._address_below(self.elevation),
            method=self.method,
            sun_by_pixel=self.sun == "pixel",
            brdf=self.brdf,
            grow_cloud_m=self.grow_cloud_m,
        )


def _rank(sensor: Sensor) -> tuple[int, int]:
    return sensor.level, sensor.collection


def _sensor_of(metadata: LandsatMetadata, files: Mapping[str, str]) -> Sensor:
    """The sensor by the metadata; Level 2 of Collection 1 comes with the MTL file of Level 1, and its files tell."""
    level = metadata.level
    if metadata.collection == 1 and any(name.startswith("sr_band") for name in files):
        level = 2
    return sensor_of_scene(platform=metadata.platform, level=level, collection=metadata.collection)


def _properties(metadata: LandsatMetadata, sensor: Sensor) -> dict[str, object]:
    """For the scene's document, under the names of STAC's extensions."""
    properties = {
        "view:sun_elevation": metadata.sun_elevation_deg,
        "view:sun_azimuth": metadata.sun_azimuth_deg,
        "eo:cloud_cover": metadata.cloud_cover_percent,
        "landsat:wrs_path": f"{metadata.wrs_path:03d}",
        "landsat:wrs_row": f"{metadata.wrs_row:03d}",
        "landsat:collection_number": f"{metadata.collection:02d}",
        "ceiba:level": sensor.level,
    }
    return {name: value for name, value in properties.items() if value is not None}
