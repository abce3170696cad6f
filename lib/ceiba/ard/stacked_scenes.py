"""One scene of a stack: where its bands lie, how they are stored, and which look at the ground it is of."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urljoin

import numpy as np
from odc.geo.geobox import GeoBox

from ceiba.ard.encoding import scene_encoding, scene_sensor
from ceiba.ard.sensors import Encoding, Sensor
from ceiba.config import tell_gdal_the_endpoint
from ceiba.errors import InputError


@dataclass(frozen=True)
class StackedScene:
    """One scene of the cube in a stack.

    Attributes
    ----------
    places
        Measurement to address and band number of its file.
    extent
        Outline of the scene in the CRS of the stack.
    gain, lift
        Measurement to what its reflectance is multiplied with and what is then added, to be like another sensor's.
    shift_m
        How far the scene lies too far east and north [m].
    """

    dataset_id: str
    platform: str
    time: np.datetime64
    day: np.datetime64
    sensor: Sensor
    encoding: Encoding
    places: Mapping[str, tuple[str, int]]
    extent: object
    gain: Mapping[str, float]
    lift: Mapping[str, float]
    shift_m: tuple[float, float]


def describe_scene(
    dataset,
    measurements: Sequence[str],
    geobox: GeoBox,
    shifts_m: Mapping[str, tuple[float, float]],
    adjust: Mapping[str, Mapping[str, tuple[float, float]]],
) -> StackedScene:
    """What a stack on the grid ``geobox`` needs to know of a scene of the cube; arguments as of :class:`ceiba.ard.stacks.SceneStack`.

    Raises :class:`InputError` where the scene lacks a measurement.
    """
    tell_gdal_the_endpoint()
    sensor = scene_sensor(dataset)
    document = dataset.metadata_doc
    known = document["measurements"]
    wanted = {name: name for name in measurements}
    wanted["quality"] = sensor.quality_band(abs(geobox.affine.a))
    missing = [name for name in wanted.values() if name not in known]
    if missing:
        raise InputError(
            f"scene {document.get('label', dataset.id)} has no {', '.join(missing)}; it has {', '.join(known)}"
        )
    places = {key: _place(dataset.uri, known[name]) for key, name in wanted.items()}
    changes = adjust.get(sensor.name, {})
    time = np.datetime64(dataset.center_time.replace(tzinfo=None), "ns")
    extent = dataset.extent.to_crs(geobox.crs)
    day, platform = overpass(dataset)
    return StackedScene(
        dataset_id=str(dataset.id),
        platform=platform,
        time=time,
        day=day,
        sensor=sensor,
        encoding=scene_encoding(dataset),
        places=places,
        extent=extent,
        gain={name: changes.get(name, (1.0, 0.0))[0] for name in measurements},
        lift={name: changes.get(name, (1.0, 0.0))[1] for name in measurements},
        shift_m=shifts_m.get(str(dataset.id), (0.0, 0.0)),
    )


def overpass(dataset) -> tuple[np.datetime64, str]:
    """Day by the sun and platform of a scene of the cube: scenes that share both are one look at the ground."""
    longitude = dataset.extent.to_crs("EPSG:4326").centroid.coords[0][0]
    solar = dataset.center_time.replace(tzinfo=None) + timedelta(hours=longitude / 15)
    return np.datetime64(solar.date()), str(dataset.metadata_doc["properties"].get("eo:platform", ""))


def date_key(scene: StackedScene) -> tuple:
    """What scenes of one date share: the overpass, and a way of storing that differs by whole numbers at most."""
    counts = scene.encoding.offset / scene.encoding.scale
    part = round(counts - round(counts), 3) + 0.0
    stored = (scene.encoding.scale, scene.encoding.nodata, part)
    return scene.day, scene.platform, scene.sensor.product, stored, tuple(scene.gain.values()), tuple(scene.lift.values())


def _place(uri: str, measurement: Mapping) -> tuple[str, int]:
    """Address for GDAL and band number of a measurement of a document at ``uri``."""
    path = str(measurement["path"])
    if "://" not in path:
        path = urljoin(uri, path) if uri.startswith("file:") else f"{uri.rsplit('/', 1)[0]}/{path}"
    return path.removeprefix("file://"), int(measurement.get("band", 1))


def stored_type(scene: StackedScene, measurements: Sequence[str]) -> str:
    """Type of the numbers of a scene, which all its bands of reflectance share."""
    return _stored_type(scene.sensor.product, measurements[0])


@functools.cache
def _stored_type(product: str, measurement: str) -> str:
    from ceiba.products import find_definition

    return next(band.dtype for band in find_definition(product).measurements if band.name == measurement)
