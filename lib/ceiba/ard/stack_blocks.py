"""What a stack of scenes gives of a block: numbers as stored, what is clear, and how reflectance is read from them."""

from dataclasses import dataclass

import numpy as np
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords


@dataclass(frozen=True)
class StackBlock:
    """What was read of a block.

    Attributes
    ----------
    bands
        Numbers as stored, dims ``(band, time, y, x)``, no data on dates of which nothing is clear; signed 16-bit numbers are
        shifted up where unsigned ones are beside.
    clear
        Whether an observation is clear, bool, dims ``(time, y, x)``.
    nodata, scale, offset
        Reflectance [1] is ``number * scale + offset``; dims ``(time,)``, and ``(time, band)`` for the last two.
    times
        Of each date, datetime64, dims ``(time,)``.
    measurements, geobox
        Names of the bands, and grid of the block.
    """

    bands: np.ndarray
    clear: np.ndarray
    nodata: np.ndarray
    scale: np.ndarray
    offset: np.ndarray
    times: np.ndarray
    measurements: tuple[str, ...]
    geobox: GeoBox

    def reflectance(self) -> np.ndarray:
        """Clear reflectance [1], float32 with NaN, dims ``(band, time, y, x)``."""
        seen = self.clear & (self.bands != self.nodata[:, None, None]).all(axis=0)
        values = np.empty(self.bands.shape, np.float32)
        for band, date in np.ndindex(values.shape[:2]):  # one at a time: all at once would take several times the memory
            values[band, date] = self.bands[band, date] * self.scale[date, band] + self.offset[date, band]
        values[:, ~seen] = np.nan
        return values

    def as_dataset(self) -> tuple[xr.Dataset, xr.DataArray]:
        """Bands and clear mask, dims ``(time, y, x)``.

        The bands are integers with the attributes ``nodata``, ``scale`` and ``offset`` where one set of these holds for all
        dates, or can be made to hold by adding a whole number to the darker ones; else clear reflectance [1] with NaN.
        """
        coords = {"time": self.times} | dict(xr_coords(self.geobox))
        whole = self._with_one_encoding()
        numbers = self.reflectance() if whole is None else whole[0]
        attrs = {"units": "1", "nodata": np.nan} if whole is None else whole[1]
        dims = ("time", "y", "x")
        attrs = attrs | {"grid_mapping": "spatial_ref"}
        bands = {name: (dims, numbers[at], dict(attrs)) for at, name in enumerate(self.measurements)}
        clear = xr.DataArray(self.clear, dims=dims, coords=coords)
        return xr.Dataset(bands, coords=coords), clear

    def _with_one_encoding(self) -> tuple[np.ndarray, dict[str, float]] | None:
        """The numbers as if all dates were stored like the one with the lowest offset, and its attributes."""
        if not len(self.times):
            return None
        lowest = np.unravel_index(self.offset.argmin(), self.offset.shape)
        scale, offset, nodata = float(self.scale[lowest]), float(self.offset[lowest]), int(self.nodata[lowest[0]])
        lift = (self.offset - offset) / scale
        whole = np.rint(lift)
        if (self.scale != scale).any() or (self.nodata != nodata).any() or (abs(lift - whole) > 1e-6).any():
            return None
        numbers = self.bands
        if whole.any():
            largest = np.iinfo(numbers.dtype).max
            lifted = np.minimum(numbers + whole.T[:, :, None, None].astype(np.int64), largest)
            numbers = np.where(numbers == nodata, nodata, lifted).astype(numbers.dtype)
        return numbers, {"nodata": nodata, "scale": scale, "offset": offset}
