"""What does not change and stands beside the scenes: climate as it is given, life zones as one column a class."""

import numpy as np

from ceiba.classification.features.pixel_blocks import PixelBlock
from ceiba.classification.features.schemas import Part
from ceiba.errors import InputError
from ceiba.legends import NODATA, load_legend


def ground_as_given(block: PixelBlock, part: Part) -> np.ndarray:
    """Layers of the ground as they are, dims ``(feature, pixel)``, float32.

    antares3 took its aspect in degrees, so that 359 and 1 lie far apart, from slopes of SRTM at 90 m on a grid of degrees, by
    the nearest pixel, and its -9999 (flat ground and edges) as a value; here flat ground has aspect 0 and unknown ground is NaN.
    """
    return np.stack([np.asarray(block.ground[feature.source], np.float32) for feature in part.features])


def classes_of_ground(block: PixelBlock, part: Part) -> np.ndarray:
    """One column a class of a legend, 1 where the pixel is of it and else 0, so that codes are never taken for amounts.

    Parameters
    ----------
    block
        Its ground holds codes of the legend that ``part`` names; 0 or NaN is no data.
    part
        Its options ``layer`` and ``legend``; one feature a class.

    Returns
    -------
    np.ndarray
        dims ``(feature, pixel)`` [1], float32, NaN in all columns where there is no data.

    Raises
    ------
    InputError
        Where the layer holds a code that the legend lacks.
    """
    layer, legend = str(part.options["layer"]), load_legend(str(part.options["legend"]))
    codes = np.nan_to_num(np.asarray(block.ground[layer], np.float64), nan=NODATA)
    unknown = np.setdiff1d(codes, [NODATA, *legend.codes])
    if unknown.size:
        raise InputError(f"{layer} holds {unknown[:5].tolist()}, which legend {legend.name} lacks; name its own legend")
    columns = (codes == legend.codes[:, np.newaxis]).astype(np.float32)
    columns[:, codes == NODATA] = np.nan
    return columns
