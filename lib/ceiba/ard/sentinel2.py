"""SAFE folders of Sentinel-2 as ESA delivers them, of level 1C and 2A, as one kind of surface reflectance."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ceiba.ard import sentinel2_reading
from ceiba.ard.archives import ArchivedScene, ListedArchiveSource, SceneGrid
from ceiba.ard.atmosphere import METHODS
from ceiba.ard.encoding import processing_baseline, resolve_encoding
from ceiba.ard.safe_metadata import read_safe, read_sun
from ceiba.ard.sensors import Encoding, sensor_of_scene
from ceiba.config import tell_gdal_the_endpoint
from ceiba.errors import CatalogError, SceneError

log = logging.getLogger(__name__)

SAFE_FILE = re.compile(r"^(?P<safe>.*?(?P<product>[^/\\]+)\.SAFE)[/\\](?P<below>.+)$")
PRODUCT_METADATA = re.compile(r"MTD_MSIL(?P<level>1C|2A)\.xml")
GRANULE_FILE = re.compile(r"GRANULE[/\\](?P<granule>[^/\\]+)[/\\](?P<rest>.+)")
IMAGE = re.compile(r"IMG_DATA[/\\](?:R\d+m[/\\])?[^/\\]*_(?P<band>B\d[\dA]|SCL)(?P<size>_\d+m)?\.jp2", re.IGNORECASE)
MGRS_TILE = re.compile(r"_T(\d\d[A-Z]{3})(?=_|$)")
SPACECRAFT = re.compile(r"^S(2[A-D])_")


@dataclass(frozen=True)
class Sentinel2Scene(ArchivedScene):
    """A granule of a SAFE folder.

    Attributes
    ----------
    files
        Band with its pixel size where the name says it ("B02", "B02_10m", "SCL_20m") to address.
    sun_zenith_deg, sun_azimuth_deg
        Mean over the granule [degree], azimuth from north by east.
    """

    files: Mapping[str, str] = field(default_factory=dict)
    sun_zenith_deg: float = 0.0
    sun_azimuth_deg: float = 0.0


class Sentinel2FolderSource(ListedArchiveSource):
    """Sentinel-2 scenes as SAFE folders, unpacked, local or in a bucket: level 2A, and level 1C where there is no 2A.

    Level 2A is stored as it is, its quality band the scene classification, and the offset of its processing baseline in its
    document. Level 1C becomes surface reflectance when read, stored like level 2A from baseline 04.00 on, whatever its own
    (below an offset of -0.1, slightly negative reflectance would be no data). Its quality band has the classes of the scene
    classification, but tells no more than what is known:

    - ``cloud_high`` and ``cloud_medium``: in the mask of s2cloudless; the first where the pixel's own probability is above 0.4,
      the second where only that of its surroundings is, or a cloud is within 110 m;
    - ``cloud_shadow``: dark ground where a cloud up to 4 km high could throw its shadow; water beside clouds is taken with it;
    - ``snow``: normalized difference of green and swir_1 above 0.4, near infrared above 0.11 (Hall et al. 1995,
      doi:10.1016/0034-4257(95)00137-P);
    - ``no_data``: no value in a band, or none from which clouds could be told;
    - ``unclassified``: all else, as far as is known clear ground. Thin cirrus is among it where s2cloudless does not see it.

    Products from before December 2016, whose metadata file has another name, are not read. Light on slopes is not corrected.

    Parameters
    ----------
    elevation
        GeoTIFF with heights [m] for the atmospheric correction of level 1C, an address or a path below the archive; by default
        all ground is taken as at the sea.
    method
        Atmospheric correction of level 1C (:func:`ceiba.ard.atmosphere.correct_atmosphere`).
    cloud_pixel_m
        Pixel size at which s2cloudless looks for clouds, 20 or 60 m: a tile takes 10 minutes of a processor or 1.
    """

    name = "safe_folders"

    def __init__(
        self,
        *,
        sample: str = "",
        path: str = "",
        urlpath: str = "",
        elevation: str = "",
        method: str = "auto",
        cloud_pixel_m: int = 60,
        metadata: Mapping | None = None,
    ):
        super().__init__(sample=sample, path=path, urlpath=urlpath, metadata=metadata)
        if cloud_pixel_m not in (20, 60):
            raise CatalogError(f"source {self.name!r}: cloud_pixel_m is {cloud_pixel_m!r}; allowed are 20 and 60")
        if method not in METHODS:
            raise CatalogError(f"source {self.name!r}: method is {method!r}; allowed are {', '.join(METHODS)}")
        self.elevation, self.method, self.cloud_pixel_m = elevation, method, cloud_pixel_m

    def list_scenes(self) -> Iterator[ArchivedScene | SceneError]:
        """One scene a granule; of several levels or baselines of one acquisition the highest only."""
        best: dict[tuple, Sentinel2Scene] = {}
        for safe, files in sorted(self._products().items()):
            try:
                scenes = self._describe(safe, files)
            except (OSError, SceneError) as error:
                yield error if isinstance(error, SceneError) else SceneError(f"{safe} cannot be read: {error}")
                continue
            for scene in scenes:
                acquisition = (scene.platform, scene.time, scene.properties["s2:mgrs_tile"])
                other = best.get(acquisition)
                if other is not None:
                    log.warning("%s and %s are of one acquisition; the higher level is used", other.name, scene.name)
                if other is None or _rank(scene) > _rank(other):
                    best[acquisition] = scene
        yield from sorted(best.values(), key=lambda scene: (scene.time, scene.name))

    def _products(self) -> dict[str, dict[str, str]]:
        """SAFE folder to its files: path below it to path in the archive."""
        products: dict[str, dict[str, str]] = defaultdict(dict)
        for path in self._listing:
            match = SAFE_FILE.match(path)
            if match:
                products[match["safe"]][match["below"]] = path
        return products

    def _describe(self, safe: str, files: Mapping[str, str]) -> list[Sentinel2Scene]:
        filesystem, _ = self._root
        own = next((below for below in sorted(files, reverse=True) if PRODUCT_METADATA.fullmatch(below)), None)
        if own is None:
            raise SceneError(
                f"{safe} has no MTD_MSIL1C.xml or MTD_MSIL2A.xml; products from before December 2016 are not read: "
                "order them anew"
            )
        said = read_safe(filesystem.cat_file(files[own]), name=self._address(files[own]))
        level = 1 if PRODUCT_METADATA.fullmatch(own)["level"] == "1C" else 2
        granules: dict[str, dict[str, str]] = defaultdict(dict)
        for below, path in files.items():
            match = GRANULE_FILE.fullmatch(below)
            if match:
                granules[match["granule"]][match["rest"]] = path
        if not granules:
            raise SceneError(f"{safe} has no granule; is it a whole product?")
        return [self._describe_granule(safe, name, granules[name], said, level, len(granules)) for name in sorted(granules)]

    def _describe_granule(
        self, safe: str, granule: str, files: Mapping[str, str], said: Mapping, level: int, granules: int
    ) -> Sentinel2Scene:
        filesystem, _ = self._root
        product = str(said["PRODUCT_URI"]).removesuffix(".SAFE")
        tile = MGRS_TILE.search(granule) or MGRS_TILE.search(product)
        if tile is None or "MTD_TL.xml" not in files:
            what = "MTD_TL.xml" if tile else "tile in its name"
            raise SceneError(f"{safe}: granule {granule} has no {what}; is it a whole product?")
        zenith, azimuth = read_sun(filesystem.cat_file(files["MTD_TL.xml"]), name=self._address(files["MTD_TL.xml"]))
        images = {rest: IMAGE.fullmatch(rest) for rest in files}
        told = {
            "s2:product_uri": str(said["PRODUCT_URI"]),
            "s2:processing_baseline": processing_baseline(said),
            "s2:mgrs_tile": tile[1],
            "view:sun_elevation": round(90 - zenith, 4),
            "view:sun_azimuth": round(azimuth, 4),
            "ceiba:level": level,
        }
        return Sentinel2Scene(
            name=product if granules == 1 else f"{product}_T{tile[1]}",
            time=_read_time(str(said.get("PRODUCT_START_TIME", "")), safe),
            sensor=sensor_of_scene(platform=_platform(said, product), level=level),
            platform=_platform(said, product),
            path=self._address(safe),
            archive=self,
            properties=dict(said) | told,
            files={
                f"{match['band'].upper()}{(match['size'] or '').lower()}": self._address(files[rest])
                for rest, match in images.items()
                if match
            },
            sun_zenith_deg=zenith,
            sun_azimuth_deg=azimuth,
        )

    def scene_encoding(self, scene: ArchivedScene) -> Encoding:
        """That of the product for level 2A; level 1C is stored like level 2A with an offset."""
        if scene.sensor.level == 2:
            return resolve_encoding(scene.sensor, scene.properties)
        return sentinel2_reading.stored_encoding(scene.sensor)

    def read_scene(self, scene: ArchivedScene) -> dict[int, SceneGrid]:
        """Surface reflectance and classes of one granule."""
        tell_gdal_the_endpoint()
        if scene.sensor.level == 2:
            return sentinel2_reading.read_level_2(scene)
        return sentinel2_reading.read_level_1(
            scene,
            elevation=self._address_below(self.elevation),
            method=self.method,
            cloud_pixel_m=self.cloud_pixel_m,
        )


def _rank(scene: Sentinel2Scene) -> tuple[int, str]:
    return scene.sensor.level, str(scene.properties["s2:processing_baseline"])


def _platform(said: Mapping, product: str) -> str:
    """The satellite, as the metadata or else the product's name say it."""
    spacecraft = SPACECRAFT.match(product)
    name = str(said.get("SPACECRAFT_NAME") or (f"Sentinel-{spacecraft[1]}" if spacecraft else product))
    return name.lower()


def _read_time(text: str, name: str) -> str:
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z?", text)
    if match is None:
        raise SceneError(f"{name}: PRODUCT_START_TIME {text[:40]!r} is no time")
    return f"{match[1]}Z"
