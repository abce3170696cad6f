"""Metadata of Sentinel-2 products as ESA delivers them: what ``MTD_MSIL1C.xml`` and ``MTD_MSIL2A.xml`` say of reflectance."""

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
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SceneError(f"{name} is no XML: {error}") from error
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
