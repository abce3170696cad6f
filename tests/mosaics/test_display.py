"""Figures of rasters."""

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from ceiba.mosaics import display


def test_large_rasters_are_drawn_from_part_of_their_pixels_over_the_whole_extent():
    side = 2 * display.MOST_DRAWN_PX + 2
    raster = xr.DataArray(
        np.zeros((side, side), np.float32), dims=("y", "x"), coords={"y": -30.0 * np.arange(side), "x": 30.0 * np.arange(side)}
    )
    assert max(display.thin(raster).shape) <= display.MOST_DRAWN_PX
    figure, axes = plt.subplots()
    display.show_map(axes, raster, label="mosaics.ndvi", cmap="viridis", limits=(0, 1))
    (image,) = axes.images
    assert image.get_extent() == [-15.0, 30 * side - 15.0, -30.0 * side + 15, 15.0]
    assert max(image.get_array().shape) <= display.MOST_DRAWN_PX
    plt.close(figure)
