"""Spectra of the plants of a simulated country: of a class, alike within its parent, varied by region, stand and pixel."""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ceiba.config import project_root
from ceiba.simulation.land_cover import class_prior, class_traits
from ceiba.simulation.layout import random_stream
from ceiba.simulation.spectra import BANDS, SpectralLibrary, spectral_library

LANDSAT_BANDS = ("blue", "green", "red", "nir", "swir_1", "swir_2")
_POSITIONS = [BANDS.index(name) for name in LANDSAT_BANDS]
LATENT = 3
# Standard deviations between plants of one class at a variation of 1: shares of the value, but for days of the season.
VARIATIONS = {"vigor": 0.10, "canopy": 0.06, "ground": 0.10, "moisture": 0.06, "season": 8.0, "texture": 1.0}
# The same between regions, whatever the variation.
REGIONAL = {"canopy": 0.05, "ground": 0.07, "vigor": 0.06, "season": 10.0}
# Wet ground and leaves are darker, and most so in the short-wave infrared (Lobell and Asner 2002, doi:10.2136/sssaj2002.7220).
MOISTURE_WEIGHTS = np.array([0.3, 0.4, 0.5, 0.3, 1.0, 1.3], dtype=np.float32)[:, None]


@dataclass(frozen=True)
class Plants:
    """What stands on each of some pixels before any date.

    Attributes
    ----------
    codes
        Class codes, dims ``(pixel,)``.
    canopy, ground
        Reflectance [1], dims ``(band, pixel)`` with bands :data:`LANDSAT_BANDS`.
    vigor
        Factor on green cover [1], dims ``(pixel,)``.
    lag_d
        Days [d] by which the season is later than that of the class, dims ``(pixel,)``.
    """

    codes: np.ndarray
    canopy: np.ndarray
    ground: np.ndarray
    vigor: np.ndarray
    lag_d: np.ndarray


@functools.cache
def alike_library(sister_distance: float, cousin_distance: float) -> SpectralLibrary:
    """The spectral library of the 31 classes, with classes of one parent moved together or apart.

    Parameters
    ----------
    sister_distance
        Factor on the distance of each class from the mean of its parent among the 17 [1]; 1 leaves it.
    cousin_distance
        Factor on the distance of that mean from the mean of its parent among the 8 [1].

    Notes
    -----
    Means are weighted by the national shares of the classes. Reflectance and cover are kept within 0.001 to 1.
    """
    legend = pd.read_csv(project_root() / "catalogs" / "legends" / "mexico_31.csv", index_col="code")
    weights = class_prior()

    def moved(values: np.ndarray, lowest: float | None) -> np.ndarray:
        table = pd.DataFrame(values[legend.index].reshape(len(legend), -1), index=legend.index)
        weighted = table.mul(weights, axis=0)
        means = {}
        for level in ("parent_17", "parent_8"):
            sums = weighted.groupby(legend[level]).transform("sum")
            means[level] = sums.div(weights.groupby(legend[level]).transform("sum"), axis=0)
        result = (
            means["parent_8"]
            + cousin_distance * (means["parent_17"] - means["parent_8"])
            + sister_distance * (table - means["parent_17"])
        ).to_numpy(np.float32)
        out = np.zeros_like(values)
        out[legend.index] = (result if lowest is None else result.clip(lowest, 1)).reshape(len(legend), *values.shape[1:])
        return out

    library = spectral_library()
    return SpectralLibrary(
        moved(library.canopy, 0.001), moved(library.ground, 0.001),
        moved(library.cover_dry, 0.0), moved(library.cover_wet, 0.0), moved(library.lag_d, None),
    )  # fmt: skip


@functools.cache
def regional_loads(seed: int) -> np.ndarray:
    """How each class answers to the regions, dims ``(code, property, latent)``; properties are canopy and ground by band,
    vigor and season. Part of the answer is common to all classes, as soils and rains are.
    """
    random = random_stream(seed, "country loads")
    properties = 2 * len(LANDSAT_BANDS) + 2
    common = random.standard_normal((1, properties, LATENT))
    own = random.standard_normal((len(class_traits()) + 1, properties, LATENT))
    return ((0.6 * common + 0.8 * own) / np.sqrt(LATENT)).astype(np.float32)


def plants_of(
    codes: np.ndarray,
    *,
    seed: int,
    regions: np.ndarray,
    variations: dict[str, np.ndarray],
    variation: float,
    library: SpectralLibrary,
) -> Plants:
    """Plants of given classes at given places.

    Parameters
    ----------
    codes
        Class codes, dims ``(pixel,)``.
    seed
        Of the country.
    regions
        Regional fields at the pixels [1], dims ``(latent, pixel)``.
    variations
        Fields of :data:`VARIATIONS` at the pixels [1], dims ``(pixel,)``.
    variation
        Factor on the differences within a class [1].
    library
        Of :func:`alike_library`.
    """
    bands = len(LANDSAT_BANDS)
    answers = np.einsum("pqk,kp->qp", regional_loads(seed)[codes], regions, dtype=np.float32)
    own = {name: variation * scale * variations[name] for name, scale in VARIATIONS.items()}
    roughness = class_traits()["texture"].reindex(range(32), fill_value=0).to_numpy(np.float32)[codes]
    bright = (1 + roughness * own["texture"]) * (1 - MOISTURE_WEIGHTS * own["moisture"])
    canopy = library.canopy[codes][:, _POSITIONS].T * (1 + REGIONAL["canopy"] * answers[:bands] + own["canopy"])
    ground = library.ground[codes][:, _POSITIONS].T * (1 + REGIONAL["ground"] * answers[bands : 2 * bands] + own["ground"])
    return Plants(
        codes=codes,
        canopy=np.maximum(canopy * bright, 0.001),
        ground=np.maximum(ground * bright, 0.001),
        vigor=np.maximum(1 + REGIONAL["vigor"] * answers[2 * bands] + own["vigor"], 0.2),
        lag_d=REGIONAL["season"] * answers[2 * bands + 1] + own["season"],
    )
