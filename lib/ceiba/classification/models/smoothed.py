"""Calibration of probabilities that were smoothed in space: what a map shows is to be right as often as it says."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.classification.maps.smoothing import SHARE, SMOOTHNESS, WINDOW_PX, halo_px, smooth_probabilities
from ceiba.classification.models.calibration import Softening, calibration_error, fit_calibration, soften


@dataclass(frozen=True)
class SmoothedCalibration:
    """Temperature and even share of smoothed probabilities, and the smoothing for which they hold.

    A pixel borrows from neighbors that agree, so the map is right more often than smoothed probabilities say. The order of the
    classes stays: this changes no class of the map.

    Attributes
    ----------
    window_px, share, smoothness
        Of :func:`ceiba.classification.maps.smoothing.smooth_probabilities`.
    temperature, floor
        Of :func:`ceiba.classification.models.calibration.soften`.
    error_before, error
        Expected calibration error [1] of smoothed probabilities as they are, and calibrated by other folds.
    """

    window_px: int
    share: float
    smoothness: float
    temperature: float
    floor: float
    error_before: float
    error: float

    def is_of(self, window_px: int, share: float, smoothness: float) -> bool:
        """Whether it was fitted for such a smoothing."""
        return (self.window_px, self.share, self.smoothness) == (window_px, share, smoothness)

    def apply(self, smooth: xr.DataArray) -> xr.DataArray:
        """Calibrated probabilities [1] of smoothed ones, dims ``(class, y, x)``; NaN stays."""
        columns = smooth.values.reshape(smooth.sizes["class"], -1).T
        calibrated = Softening(self.temperature, self.floor).apply(columns)
        return smooth.copy(data=calibrated.T.reshape(smooth.shape))


def smooth_centers(windows: np.ndarray, *, share: float = SHARE, smoothness: float = SMOOTHNESS) -> np.ndarray:
    """Smoothed probabilities of the pixel in the middle of each window.

    Parameters
    ----------
    windows
        Probabilities [1] of all pixels of square windows, row by row, dims ``(sample, pixel, class)``; NaN is no data.
    share, smoothness
        As :func:`ceiba.classification.maps.smoothing.smooth_probabilities` takes them; its window is that of ``windows``.

    Returns
    -------
    np.ndarray
        Probabilities [1], dims ``(sample, class)``, float32: those of the map.
    """
    samples, pixels, classes = windows.shape
    side = round(pixels**0.5)
    # Windows stand below each other: that of a middle pixel is its own, whatever stands above and below.
    image = xr.DataArray(
        windows.reshape(samples * side, side, classes).transpose(2, 0, 1),
        dims=("class", "y", "x"),
        coords={"class": np.arange(classes)},
    )
    smooth = smooth_probabilities(image, window_px=side, share=share, smoothness=smoothness)
    return smooth.values[:, halo_px(side) :: side, halo_px(side)].T


def calibrate_smoothed(windows: np.ndarray, index: np.ndarray, folds: np.ndarray) -> SmoothedCalibration:
    """Fit temperature and even share to smoothed probabilities of held-out samples.

    Parameters
    ----------
    windows
        Calibrated probabilities [1] of the pixels around each sample by models that had not seen its block, dims
        ``(sample, pixel, class)``, of the smoothing's usual window, row by row; NaN is no data.
    index
        Column of the true class, dims ``(sample,)``.
    folds
        Fold of each sample, dims ``(sample,)``.
    """
    smooth = smooth_centers(windows)
    crossed = np.empty_like(smooth)
    for fold in np.unique(folds):
        held = folds == fold
        crossed[held] = soften(smooth[held], *fit_calibration(smooth[~held], index[~held], 0.0))
    before, after = (calibration_error(p.max(axis=1), p.argmax(axis=1) == index) for p in (smooth, crossed))
    temperature, floor = fit_calibration(smooth, index, 0.0)
    return SmoothedCalibration(WINDOW_PX, SHARE, SMOOTHNESS, temperature, floor, round(before, 4), round(after, 4))
