"""How each scene stores reflectance: read from its item, checked on its dark pixels, kept in its document of the cube."""

import re
from collections.abc import Iterator, Mapping

import numpy as np
from datacube.model import Dataset

from ceiba.ard.sensors import Encoding, Sensor, find_sensor, sensor_of_product
from ceiba.errors import SceneError

ENCODING_KEY = "ceiba:reflectance"
SENSOR_KEY = "ceiba:sensor"
BASELINE_KEYS = (
    "s2:processing_baseline",  # Earth Search v1, Planetary Computer
    "sentinel:processing_baseline",  # Earth Search v0
    "PROCESSING_BASELINE",  # metadata of the SAFE folder
    "processing:version",  # Copernicus Data Space
)
PRODUCT_NAME_KEYS = ("s2:product_uri", "PRODUCT_URI", "title", "id")
REMOVED_KEYS = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
ADD_OFFSET_KEYS = ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET")
QUANTIFICATION_KEYS = ("BOA_QUANTIFICATION_VALUE", "QUANTIFICATION_VALUE")
DARK_PERCENTILE = 1.0
MIN_PIXELS = 400  # with fewer, the darkest hundredth is a handful of pixels and says nothing
MAX_PIXELS = 500_000
# Dark land and water lie between 0 and 0.04 in the darkest band, so an offset left in shows as itself plus that.
DARK_REFLECTANCE = (-0.01, 0.04)


def resolve_encoding(sensor: Sensor, properties: Mapping[str, object]) -> Encoding:
    """The encoding of one item of an archive.

    Parameters
    ----------
    sensor
        Gives what the item does not say.
    properties
        Of a STAC item (with ``raster:bands`` of its reflectance assets, a list or one a band), or of a SAFE folder's metadata.

    Returns
    -------
    Encoding
        Which of these says the offset, the first that is there:

        1. ``BOA_ADD_OFFSET`` or ``RADIO_ADD_OFFSET`` [counts] of the SAFE metadata,
        2. ``earthsearch:boa_offset_applied``: true means that the archive has removed it. It goes before ``raster:bands``, in
           which Earth Search leaves -0.1 all the same (Element84/earth-search, issue 9),
        3. ``offset`` of ``raster:bands`` or ``raster:offset`` (STAC raster extension),
        4. the sensor's offset from the item's processing baseline on,
        5. the sensor's default.

    Raises
    ------
    SceneError
        Where bands of the item differ, or a number is none.
    """
    default = sensor.archive_encoding
    if any(key in properties for key in ADD_OFFSET_KEYS):
        return _of_safe(properties, default)
    declared = list(_raster_bands(properties))
    scale = _one_number(declared, "scale", default.scale)
    nodata = int(_one_number(declared, "nodata", default.nodata))
    offset = _one_number(declared, "offset", None)
    if sensor.offset_from_baseline and any(properties.get(key) is True for key in REMOVED_KEYS):
        offset = 0.0
    if offset is None:
        offset = _offset_of_baseline(sensor, processing_baseline(properties))
    return Encoding(scale, offset, nodata)


def processing_baseline(properties: Mapping[str, object]) -> str:
    """Processing baseline of a Sentinel-2 item as ESA writes it ("04.00"), or an empty text."""
    for key in BASELINE_KEYS:
        found = re.fullmatch(r"N?(\d\d?)\.?(\d\d?)", str(properties.get(key, "")).strip())
        if found:
            return f"{int(found[1]):02d}.{found[2]:0<2}"
    for key in PRODUCT_NAME_KEYS:
        found = re.search(r"_N(\d\d)(\d\d)_", str(properties.get(key, "")))
        if found:
            return f"{found[1]}.{found[2]}"
    return ""


def _offset_of_baseline(sensor: Sensor, baseline: str) -> float:
    since = [(start, offset) for start, offset in sensor.offset_from_baseline.items() if baseline >= start]
    return max(since)[1] if baseline and since else sensor.archive_encoding.offset


def _of_safe(properties: Mapping[str, object], default: Encoding) -> Encoding:
    counts = next(properties[key] for key in ADD_OFFSET_KEYS if key in properties)
    quantification = next((properties[key] for key in QUANTIFICATION_KEYS if key in properties), 1 / default.scale)
    offset = _one_number([{"offset": value} for value in _as_list(counts)], "offset", 0.0)
    divisor = _one_number([{"scale": quantification}], "scale", None)
    if divisor is None or divisor <= 0:
        raise SceneError(f"{_item_name(properties)}: quantification value {quantification!r} is no positive number")
    return Encoding(1 / divisor, offset / divisor, default.nodata)


def _raster_bands(properties: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """What the raster extension says of each band, in either version of it."""
    declared = properties.get("raster:bands")
    for group in _as_list(declared if declared is not None else []):
        for band in _as_list(group) if isinstance(group, list | tuple) else [group]:
            if not isinstance(band, Mapping):
                raise SceneError(f"{_item_name(properties)}: raster:bands {declared!r} lists no bands")
            yield band
    own = {key: properties[f"raster:{key}"] for key in ("scale", "offset") if f"raster:{key}" in properties}
    if own:
        yield own


def _as_list(value: object) -> list:
    if isinstance(value, Mapping) and not {"scale", "offset", "nodata"} & set(value):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else [value]


def _one_number(bands: list[Mapping[str, object]], key: str, default: float | None) -> float | None:
    try:
        values = {float(band[key]) for band in bands if band.get(key) is not None}
    except (TypeError, ValueError) as error:
        raise SceneError(f"{key} of the item's bands is no number: {bands!r}") from error
    if len(values) > 1:
        raise SceneError(
            f"the item's bands have {key} {', '.join(map(str, sorted(values)))}; one for all bands is needed"
        )
    value = values.pop() if values else default
    if value is not None and not np.isfinite(value):
        raise SceneError(f"{key} of the item's bands is {value}; a finite number is needed")
    return value


def check_encoding(
    name: str,
    sensor: Sensor,
    encoding: Encoding,
    bands: Mapping[str, np.ndarray],
    *,
    baseline: str = "",
    clear: np.ndarray | None = None,
) -> None:
    """Check on dark pixels that an item is stored as it says.

    Parameters
    ----------
    name
        Item that an error names.
    bands
        Numbers of reflectance bands as stored, dims ``(y, x)``; an overview is enough.
    baseline
        Processing baseline ("04.00"), where there is one.
    clear
        Pixels without cloud, dims ``(y, x)``; without it all count.

    Raises
    ------
    SceneError
        Where the darkest hundredth of the darkest band is below what any surface reflects (``floor`` of the sensor), so that
        an offset was taken off twice, or, declared without an offset from a baseline that has one, so bright that the offset is
        still in it. A scene without dark pixels (desert, snow) cannot be told and passes.
    """
    valid = [numbers[numbers != encoding.nodata] for numbers in bands.values()]
    darkest = _darkest(valid, encoding)
    told = f"{name}: baseline {baseline or 'unknown'}, reflectance declared as number * {encoding.scale:g} + {encoding.offset:g}"
    if darkest is not None and darkest < sensor.floor:
        raise SceneError(
            f"{told}, but then its darkest pixels reflect {darkest:.3f}, which no surface does (least {sensor.floor}); "
            f"was the offset removed already?"
        )
    expected = _offset_of_baseline(sensor, baseline)
    if encoding.offset == expected or not baseline:
        return
    if clear is not None:
        valid = [numbers[(numbers != encoding.nodata) & clear] for numbers in bands.values()]
    darkest = _darkest(valid, encoding)
    low, high = (limit - expected for limit in DARK_REFLECTANCE)
    if darkest is not None and encoding.offset == 0 and low <= darkest <= high:
        raise SceneError(
            f"{told}, but its darkest clear pixels reflect {darkest:.3f}, as if the offset {expected:g} of its baseline "
            f"were still in the numbers"
        )


def _darkest(valid: list[np.ndarray], encoding: Encoding) -> float | None:
    """Reflectance [1] of the darkest hundredth in the darkest band, or None where there are too few pixels."""
    dark = [
        float(np.percentile(numbers[:: numbers.size // MAX_PIXELS + 1], DARK_PERCENTILE))
        for numbers in valid
        if numbers.size >= MIN_PIXELS
    ]
    return min(dark) * encoding.scale + encoding.offset if dark else None


def scene_encoding(dataset: Dataset) -> Encoding:
    """The encoding of a scene of the cube, from its document; the sensor's default for documents that do not say it.

    Raises :class:`SceneError` where the document says something that is no encoding.
    """
    properties = dataset.metadata_doc["properties"]
    declared = properties.get(ENCODING_KEY)
    return scene_sensor(dataset).encoding if declared is None else Encoding.from_properties(declared)


def scene_sensor(dataset: Dataset) -> Sensor:
    """The sensor of a scene of the cube, from its document or else its product; raises :class:`SceneError`."""
    name = dataset.metadata_doc["properties"].get(SENSOR_KEY)
    return find_sensor(name) if name else sensor_of_product(dataset.product.name)


def _item_name(properties: Mapping[str, object]) -> str:
    return str(next((properties[key] for key in PRODUCT_NAME_KEYS if key in properties), "item"))
