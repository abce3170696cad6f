"""Random numbers that belong to a pixel and a purpose: the same whichever other pixels are asked for."""

import zlib

import numpy as np
from scipy.special import ndtri

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def uniform_of_pixels(seed: int, name: str, pixels: np.ndarray) -> np.ndarray:
    """Even random numbers, 0 to 1 with both excluded, one a pixel.

    Parameters
    ----------
    seed, name
        What the numbers are for; another name gives numbers independent of these.
    pixels
        Flat pixel numbers, any dims, integers from 0.

    Returns
    -------
    np.ndarray
        Same dims, float64: the splitmix64 mix (Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195) of the pixel's number.
    """
    stream = np.uint64((zlib.crc32(name.encode()) << 32) ^ (seed & 0xFFFFFFFF))
    # Two rounds: the first parts the streams, the second the pixels.
    with np.errstate(over="ignore"):
        start = _mixed(np.atleast_1d(stream + _STEP))[0]
        bits = _mixed(start + (pixels.astype(np.uint64) + np.uint64(1)) * _STEP)
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53


def normal_of_pixels(seed: int, name: str, pixels: np.ndarray) -> np.ndarray:
    """Normal random numbers of mean 0 and standard deviation 1, one a pixel, float32; arguments as
    :func:`uniform_of_pixels`.
    """
    return ndtri(uniform_of_pixels(seed, name, pixels)).astype(np.float32)


def _mixed(bits: np.ndarray) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * _MIX[0]
    bits = (bits ^ (bits >> np.uint64(27))) * _MIX[1]
    return bits ^ (bits >> np.uint64(31))
