"""Observations of some pixels with all their dates: what the parts of a recipe work on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from ceiba.spectral_indices import compute_index


@dataclass(frozen=True)
class PixelBlock:
    """Observations of pixels, wherever these lie: samples and pixels of a map are the same here.

    Attributes
    ----------
    bands
        Reflectance [1] by band, float32, dims ``(time, pixel)``, NaN is no data.
    times
        Of each date, datetime64, dims ``(time,)``.
    ground
        What does not change by layer, dims ``(pixel,)``: terrain [m, degree], codes of life zones.
    radar
        Backscatter [dB] by polarization, float32, dims ``(date, pixel)``, NaN is no data; its dates are its own.
    pixels
        How many they are.
    """

    bands: Mapping[str, np.ndarray]
    times: np.ndarray
    pixels: int
    ground: Mapping[str, np.ndarray] = field(default_factory=dict)
    radar: Mapping[str, np.ndarray] = field(default_factory=dict)

    def with_bands(self, names: Mapping[str, str]) -> "PixelBlock":
        """The block with other bands in the place of some, ``{name: band that is taken for it}``."""
        return replace(self, bands={**self.bands, **{name: self.bands[band] for name, band in names.items()}})

    def during(self, dates: np.ndarray) -> "PixelBlock":
        """The dates that ``dates`` (bool, dims ``(time,)``) chooses."""
        return replace(self, bands={name: band[dates] for name, band in self.bands.items()}, times=self.times[dates])

    def index(self, name: str) -> np.ndarray:
        """A spectral index [1] of each date, dims ``(time, pixel)``, see :mod:`ceiba.spectral_indices`."""
        return index_of(name, self.bands)


def index_of(name: str, bands: Mapping[str, np.ndarray]) -> np.ndarray:
    """A spectral index [1] of bands in any one unit that cancels out, or in reflectance [1]; dims as the bands."""
    dims = ("time", "pixel")[-next(iter(bands.values())).ndim :]
    return compute_index(name, xr.Dataset({key: (dims, values) for key, values in bands.items()})).values
