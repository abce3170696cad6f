"""Reflectance of the simulated area: two-part spectra of canopy and ground, mixed by season and vigor."""

import datetime
import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ceiba.config import project_root
from ceiba.simulation.land_cover import class_traits

BANDS = ("blue", "green", "red", "red_edge", "nir", "swir_1", "swir_2")
PEAK_DAY = 245
IRRIGATED_LAG_D = 170
CROP = 28


@dataclass(frozen=True)
class SpectralLibrary:
    """Spectra and seasons by class code; index 0 of each array is unused.

    Attributes
    ----------
    canopy, ground
        Reflectance [1] of the class's vegetation and of what lies beneath, dims ``(code, band)``.
    cover_dry, cover_wet
        Share of ground under green canopy [1] in the dry and the wet season, dims ``(code,)``.
    lag_d
        Days after 2 September (day 245) at which the class is greenest, dims ``(code,)``.
    """

    canopy: np.ndarray
    ground: np.ndarray
    cover_dry: np.ndarray
    cover_wet: np.ndarray
    lag_d: np.ndarray


@functools.cache
def spectral_library() -> SpectralLibrary:
    """The library of the 31 classes from the traits and endmember tables in ``catalogs/simulation``.

    Shade darkens both parts. Each class deviates from its endmembers by its own few percent, the same in
    every simulation, because two classes never share a spectrum in nature.
    """
    endmembers = pd.read_csv(project_root() / "catalogs" / "simulation" / "endmember_spectra.csv", index_col="name")
    traits = class_traits()
    size = int(traits.index.max()) + 1
    canopy, ground = np.zeros((size, len(BANDS)), np.float32), np.zeros((size, len(BANDS)), np.float32)
    cover_dry, cover_wet, lag_d = (np.zeros(size, np.float32) for _ in range(3))
    for code, trait in traits.iterrows():
        own = np.random.default_rng(code).normal(1, 0.05, (2, len(BANDS)))
        canopy[code] = endmembers.loc[trait["canopy"], list(BANDS)] * own[0] * (1 - trait["shade"])
        ground[code] = endmembers.loc[trait["soil"], list(BANDS)] * own[1] * (1 - trait["shade"])
        cover_dry[code], cover_wet[code], lag_d[code] = (
            trait["cover_dry"],
            trait["cover_wet"],
            trait["season_lag_d"],
        )
    return SpectralLibrary(canopy, ground, cover_dry, cover_wet, lag_d)


def season(date: datetime.date, lag_d: np.ndarray | float = 0.0) -> np.ndarray:
    """Greenness phase [1], 0 at the end of the dry season and 1 at the peak of the rains (2 September plus
    ``lag_d`` [d]).
    """
    day = date.timetuple().tm_yday
    phase = np.cos(2 * np.pi * (day - PEAK_DAY - np.asarray(lag_d, dtype=np.float32)) / 365.25)
    # The power makes the rise and fall steeper than a cosine, as rains and harvests are.
    return ((0.5 + 0.5 * phase) ** 1.3).astype(np.float32)


def green_cover(
    codes: np.ndarray,
    date: datetime.date,
    *,
    vigor: np.ndarray | float = 1.0,
    swing: np.ndarray | float = 0.0,
    lag_d: np.ndarray | float = 0.0,
    library: SpectralLibrary | None = None,
) -> np.ndarray:
    """Share of ground under green canopy [1] on a day, the shape of ``codes``.

    Parameters
    ----------
    codes
        Class codes.
    date
        Day.
    vigor
        Factor on the cover of the whole year [1]: above 1 is denser than the class usually is.
    swing
        Added to half the difference between the seasons [1]: above 0 the year is more uneven than the class
        usually is.
    lag_d
        Days [d] by which a pixel is later than its class (irrigated fields).
    library
        Seasons by class; those of :func:`spectral_library` where it is None.
    """
    library = library or spectral_library()
    middle = 0.5 * (library.cover_dry + library.cover_wet)[codes]
    half = np.maximum(0.5 * (library.cover_wet - library.cover_dry)[codes] + swing, 0)
    phase = 2 * season(date, library.lag_d[codes] + lag_d) - 1
    return np.clip(vigor * middle + half * phase, 0, 1).astype(np.float32)


def mix_spectra(codes: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Reflectance [1] with bands :data:`BANDS`, dims ``(band, ...)``: canopy and ground of each class, mixed
    by ``cover`` [1].
    """
    library = spectral_library()
    return np.stack(
        [
            library.ground[:, band][codes] + cover * (library.canopy[:, band] - library.ground[:, band])[codes]
            for band in range(len(BANDS))
        ]
    )


def ndvi_of(reflectance: np.ndarray) -> np.ndarray:
    """Normalised difference vegetation index [1] of reflectance with dims ``(band, ...)``."""
    red, nir = reflectance[BANDS.index("red")], reflectance[BANDS.index("nir")]
    return (nir - red) / (nir + red)
