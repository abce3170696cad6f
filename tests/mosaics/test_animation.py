"""Pictures and animations of annual mosaics."""

import io

import matplotlib
import numpy as np
import pytest
import xarray as xr
from PIL import Image

from ceiba.errors import InputError
from ceiba.mosaics.animation import encode_gif, render_years
from ceiba.mosaics.display import (
    NO_DATA_COLOR,
    draw_composite,
    render_frame,
    scale_bar_length_m,
    show_map,
    stretch,
    stretch_limits,
)

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

BANDS = ("red", "green", "blue")


@pytest.fixture
def mosaics() -> xr.Dataset:
    """Three years of 60 x 80 pixels of 10 m."""
    random = np.random.default_rng(1)
    base = np.linspace(0.02, 0.3, 80)[None, None, :] * np.ones((3, 60, 1))
    data = {name: (("time", "y", "x"), base + random.normal(0, 0.01, base.shape)) for name in BANDS}
    coords = {
        "time": np.array(["2018-07-01", "2019-07-01", "2020-07-01"], "datetime64[ns]"),
        "y": 1000.0 - 10 * np.arange(60),
        "x": 5000.0 + 10 * np.arange(80),
    }
    return xr.Dataset(data, coords=coords)


def test_stretch_is_linear_between_the_limits_and_grey_without_data():
    values = np.array([[0.0, 0.1, 0.2, 0.3, np.nan]])
    image = xr.Dataset(dict.fromkeys(BANDS, (("y", "x"), values)))
    picture = stretch(image, BANDS, [(0.1, 0.3)] * 3)
    assert picture[0, :4, 0].tolist() == [0, 0, 128, 255]
    assert tuple(picture[0, 4]) == NO_DATA_COLOR


def test_limits_are_the_percentiles_of_all_images_together():
    first, second = (xr.Dataset({"red": ("x", np.arange(start, start + 50.0))}) for start in (0, 51))
    assert stretch_limits([first, second], ["red"], percentiles=(0, 50)) == [(0.0, 50.0)]
    with pytest.raises(InputError, match="'blue' is missing"):
        stretch_limits([first], ["blue"])
    with pytest.raises(InputError, match="no data to show"):
        stretch_limits([first * np.nan], ["red"])


def test_a_flat_image_can_be_shown():
    image = xr.Dataset({name: (("y", "x"), np.full((2, 2), 0.2)) for name in BANDS})
    assert stretch(image, BANDS, stretch_limits([image], BANDS)).shape == (2, 2, 3)


@pytest.mark.parametrize(("width_m", "expected"), [(1000, 200), (2560, 500), (90, 20), (100_000, 20_000), (4, 1)])
def test_scale_bar_is_a_round_length(width_m, expected):
    assert scale_bar_length_m(width_m) == expected


def test_frame_has_its_size_its_text_and_its_picture():
    picture = np.full((50, 100, 3), 90, np.uint8)
    frame = render_frame(picture, title="2019", notes=["a", "b " * 200], pixel_size_m=10, width_px=400)
    assert frame.width == 400
    assert frame.height > 200 + 4 * 10
    pixels = np.asarray(frame)
    assert (pixels[100, 200] == 90).all()
    assert (pixels[8:40, 8:120] == 255).all(axis=-1).any(), "no year in the upper left"
    bar = pixels[200 - 12 : 200 - 8, 150:395]
    assert (bar == 255).all(axis=-1).sum(axis=1).max() == pytest.approx(200 * 400 / 1000, abs=2)


def test_gif_plays_every_year_with_one_palette(mosaics):
    frames = render_years(mosaics, composite="natural_color", notes=["simulated"], width_px=320)
    assert list(frames) == [2018, 2019, 2020]
    content = encode_gif(frames, frame_ms=700)
    with Image.open(io.BytesIO(content)) as gif:
        assert (gif.n_frames, gif.info["loop"], gif.width) == (3, 0, 320)
        seen = []
        for position in range(gif.n_frames):
            gif.seek(position)
            assert gif.info["duration"] == (1400 if position == 2 else 700)
            seen.append(np.asarray(gif.convert("RGB")).astype(int))
    for shown, frame in zip(seen, frames.values(), strict=True):
        assert abs(shown - np.asarray(frame)).mean() < 6
    assert count_local_palettes(content) == 0


def count_local_palettes(content: bytes) -> int:
    """Image descriptors of a GIF that carry a palette of their own (GIF89a, section 20)."""
    position = 13 + 3 * 2 ** ((content[10] & 7) + 1)
    local = 0
    while content[position] != 0x3B:
        if content[position] == 0x2C:
            flags = content[position + 9]
            local += flags >> 7
            position += 10 + (3 * 2 ** ((flags & 7) + 1) if flags >> 7 else 0) + 1
        else:
            position += 2
        while content[position]:
            position += content[position] + 1
        position += 1
    return local


def test_refuses_what_makes_no_animation(mosaics):
    with pytest.raises(InputError, match="no composite 'false_color'; there are natural_color, cwbg"):
        render_years(mosaics, composite="false_color", notes=[])
    with pytest.raises(InputError, match="at least one frame"):
        encode_gif({})
    with pytest.raises(InputError, match="one size"):
        encode_gif({2018: Image.new("RGB", (4, 4)), 2019: Image.new("RGB", (5, 4))})


def test_an_index_has_the_same_stretch_everywhere():
    forest = xr.Dataset({name: ("x", np.full(9, -0.5)) for name in ("ndbi", "ndvi", "ndwi")})
    assert stretch_limits([forest], ["ndbi", "ndvi", "ndwi"]) == [(-0.4, 0.4), (0.0, 1.0), (-0.6, 0.6)]


def test_maps_are_drawn_with_units_and_in_meters(mosaics):
    figure, (left, right) = plt.subplots(1, 2)
    draw_composite(left, mosaics.isel(time=0), "natural_color")
    show_map(right, mosaics.red.isel(time=0), label="mosaics.ndvi", cmap="viridis")
    assert left.images[0].get_extent() == [4995.0, 5795.0, 405.0, 1005.0]
    assert "[m]" in right.get_xlabel()
    assert "[1]" in figure.axes[2].get_ylabel()
    plt.close(figure)
