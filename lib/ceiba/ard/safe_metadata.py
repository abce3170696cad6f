"""Metadata of Sentinel-2 products as ESA delivers them: ``MTD_MSIL1C.xml`` and ``MTD_MSIL2A.xml`` say how reflectance is
stored, ``MTD_TL.xml`` of each granule where the sun stood."""

import math
import xml.etree.ElementTree as ElementTree

from ceiba.ard.encoding import ADD_OFFSET_KEYS, QUANTIFICATION_KEYS
from ceiba.errors import SceneError

TEXT_KEYS = ("PRODUCT_URI", "PROCESSING_BASELINE", "PRODUCT_START_TIME", "SPACECRAFT_NAME", *QUANTIFICATION_KEYS)


def read_safe(content: bytes, *, name: str = "MTD_MSI.xml") -> dict[str, object]:
    """Properties of a product, for :func:`ceiba.ard.encoding.resolve_encoding`.

    Parameters
    ----------
    content
        Of the file.
    name
        File that an error names.

    Returns
    -------
    dict
        Under the names of the file: product, baseline, time, spacecraft, quantification value and, from baseline 04.00 on,
        ``BOA_ADD_OFFSET`` or ``RADIO_ADD_OFFSET`` [counts], one a band.

    Raises
    ------
    SceneError
        Where it is no such file.
    """
    root = _parse(content, name)
    properties: dict[str, object] = {}
    for element in root.iter():
        key = element.tag.rpartition("}")[2]
        text = (element.text or "").strip()
        if key in ADD_OFFSET_KEYS:
            properties.setdefault(key, {})[element.get("band_id", str(len(properties)))] = text
        elif key in TEXT_KEYS and text:
            properties.setdefault(key, text)
    missing = {"PRODUCT_URI", "PROCESSING_BASELINE"} - set(properties)
    if missing:
        raise SceneError(f"{name} says no {', '.join(sorted(missing))}; is it the metadata of a Sentinel-2 product?")
    return properties


def read_sun(content: bytes, *, name: str = "MTD_TL.xml") -> tuple[float, float]:
    """Mean zenith angle and azimuth of the sun over a granule.

    Parameters
    ----------
    content
        Of the granule's ``MTD_TL.xml``.
    name
        File that an error names.

    Returns
    -------
    zenith_deg, azimuth_deg
        ``Mean_Sun_Angle`` [degree], azimuth clockwise from north.

    Raises
    ------
    SceneError
        Where it is no such file, or the sun is not above the horizon.
    """
    root = _parse(content, name)
    mean = next((element for element in root.iter() if element.tag.rpartition("}")[2] == "Mean_Sun_Angle"), ())
    angles = {element.tag.rpartition("}")[2]: (element.text or "").strip() for element in mean}
    try:
        zenith, azimuth = float(angles["ZENITH_ANGLE"]), float(angles["AZIMUTH_ANGLE"])
    except (KeyError, ValueError) as error:
        raise SceneError(f"{name} says no Mean_Sun_Angle; is it the metadata of a Sentinel-2 granule?") from error
    if not (0 <= zenith < 90 and math.isfinite(azimuth)):
        raise SceneError(f"{name}: sun {zenith} degrees from the zenith, azimuth {azimuth}; it must be above the horizon")
    return zenith, azimuth % 360


def _parse(content: bytes, name: str) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SceneError(f"{name} is no XML: {error}") from error
