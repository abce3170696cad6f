"""Quality bands by name: one kind told in another, masks grown by meters, pixels counted."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr
from scipy.ndimage import distance_transform_edt

from ceiba.ard.sensors import Quality, clear_mask, clear_mask_of_bits, known_names
from ceiba.errors import SceneError

HIGH = 3  # of two confidence bits: 0 not determined, 1 low, 2 medium, 3 high


def has_class(quality: xr.DataArray, kind: Quality, name: str) -> xr.DataArray:
    """Pixels of a class or with a bit set, by name, any dims; raises :class:`SceneError` on a name that is none."""
    (name,) = known_names([name], kind.classes)
    if kind.kind == "classes":
        return quality == kind.classes[name]
    return (quality.astype("uint32") & (1 << kind.classes[name])) != 0


def confidence(quality: xr.DataArray, kind: Quality, name: str) -> xr.DataArray:
    """Two confidence bits by name: 0 not determined, 1 low, 2 medium, 3 high; raises :class:`SceneError`."""
    (name,) = known_names([name], kind.levels)
    return (quality.astype("uint32") >> kind.levels[name]) & 3


def translate_quality(quality: xr.DataArray, kind: Quality, to: Quality) -> xr.DataArray:
    """A quality band of bits told in another kind of bits, by name.

    Parameters
    ----------
    quality
        Of ``kind``, any dims.
    to
        The kind wanted, as ``qa_pixel`` of Collection 2.

    Returns
    -------
    xr.DataArray
        uint16. A bit is set where the same name is set in ``kind``, or one that counts as it, or where ``kind`` has only a
        confidence of that name (``snow_confidence``) and it is high. Confidences of the same name are kept, those that ``kind``
        has not stay 0, "not determined". ``clear`` is told as Collection 2 does: neither fill nor cloud nor dilated cloud.

    Raises
    ------
    SceneError
        Where either kind is of classes, not bits.
    """
    if "classes" in (kind.kind, to.kind):
        raise SceneError(f"quality {kind.name!r} cannot be told as {to.name!r}: only kinds of bits can")
    if kind == to:
        return quality.astype("uint16")
    result = xr.zeros_like(quality, dtype="uint16")
    for name, bit in to.classes.items():
        if name != "clear":
            result = result | (_is_told(quality, kind, name).astype("uint16") << bit).astype("uint16")
    if "clear" in to.classes:
        covered = [name for name in ("fill", "cloud", "dilated_cloud") if name in to.classes]
        clear = clear_mask_of_bits(result, to.classes, unwanted=covered)
        result = result | (clear.astype("uint16") << to.classes["clear"]).astype("uint16")
    for name, bit in to.levels.items():
        if name in kind.levels:
            result = result | (confidence(quality, kind, name).astype("uint16") << bit).astype("uint16")
    return result.astype("uint16")


def _is_told(quality: xr.DataArray, kind: Quality, name: str) -> xr.DataArray:
    told = xr.zeros_like(quality, dtype=bool)
    for own in kind.classes:
        if own == name or kind.counts_as.get(own) == name:
            told = told | has_class(quality, kind, own)
    level = f"{name}_confidence"
    if name not in kind.classes and level in kind.levels:
        told = told | (confidence(quality, kind, level) == HIGH)
    return told


def quality_of_fill(fill: xr.DataArray, to: Quality) -> xr.DataArray:
    """Quality bits [uint16] of a scene that came without a quality band: fill, and clear elsewhere as far as is known."""
    bits = {name: np.uint16(1 << to.classes[name]) for name in known_names(("fill", "clear"), to.classes)}
    return xr.where(fill, bits["fill"], bits["clear"]).astype("uint16")


def clear_pixels(
    quality: xr.DataArray,
    kind: Quality,
    *,
    classes: Iterable[str] | None = None,
    grow_m: Mapping[str, float] | None = None,
    resolution_m: float | None = None,
) -> xr.DataArray:
    """Clear pixels of a quality band.

    Parameters
    ----------
    quality
        Of ``kind``, dims ``(..., y, x)``.
    classes
        Classes that are clear, or bits that must not be set; the kind's own by default.
    grow_m
        Name of a class or bit to the distance [m] around it that is not clear either.
    resolution_m
        Pixel size [m], needed by ``grow_m``. A tile's clouds end at its border: give a margin of the greatest distance.

    Returns
    -------
    xr.DataArray
        Dims as ``quality``.

    Raises
    ------
    SceneError
        On a name that is no class, or a distance without a pixel size.
    """
    if kind.kind == "classes":
        clear = clear_mask(quality, kind.classes, clear=kind.clear if classes is None else classes)
    else:
        clear = clear_mask_of_bits(quality, kind.classes, unwanted=kind.unwanted if classes is None else classes)
    for name, distance_m in (grow_m or {}).items():
        if resolution_m is None:
            raise SceneError(f"growing {name} by {distance_m} m needs the pixel size, resolution_m")
        clear = clear & ~grow_mask(has_class(quality, kind, name), distance_m=distance_m, resolution_m=resolution_m)
    return clear


def grow_mask(mask: xr.DataArray, *, distance_m: float, resolution_m: float) -> xr.DataArray:
    """A mask with every pixel whose center is within ``distance_m`` of one of its pixels' centers.

    ``mask`` has dims ``(..., y, x)``, each layer is grown by itself; ``resolution_m`` is the pixel size [m]. Raises
    :class:`SceneError` on a negative distance or a pixel size that is not above 0.
    """
    if not (distance_m >= 0 and resolution_m > 0):
        raise SceneError(f"a mask cannot grow by {distance_m} m on pixels of {resolution_m} m")
    if distance_m < resolution_m:
        return mask
    return xr.apply_ufunc(
        grow_layer,
        mask,
        input_core_dims=[["y", "x"]],
        output_core_dims=[["y", "x"]],
        vectorize=True,
        dask="parallelized",
        output_dtypes=[bool],
        kwargs={"pixels": distance_m / resolution_m},
    ).transpose(*mask.dims)


def grow_layer(mask: np.ndarray, *, pixels: float) -> np.ndarray:
    """A mask, dims ``(y, x)``, with every pixel whose center is within ``pixels`` of one of its pixels' centers."""
    if not mask.any():
        return mask
    return distance_transform_edt(~mask) <= pixels * (1 + 1e-9)


def count_classes(quality: xr.DataArray, kind: Quality) -> dict[str, int]:
    """Number of pixels of each class, or with each bit set, by name."""
    return {name: int(has_class(quality, kind, name).sum()) for name in kind.classes}


def enough_observations(clear_count: xr.DataArray, *, minimum: int) -> xr.DataArray:
    """Pixels with at least ``minimum`` clear observations; ``clear_count`` [1] has any dims. Raises :class:`SceneError`."""
    if minimum < 1:
        raise SceneError(f"a minimum of {minimum} observations masks nothing; give 1 or more")
    return clear_count >= minimum
