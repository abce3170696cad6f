"""Pictures and animations of annual mosaics."""

import io

import av
import matplotlib
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageColor

from ceiba.errors import InputError, LegendError
from ceiba.legends import LandCoverClass, Legend, load_legend
from ceiba.mosaics.animation import encode_animation, render_thematic_years, render_years
from ceiba.mosaics.animation_formats import write_gif
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
    mosaics = mosaics.where((mosaics.x < 5600) | (mosaics.y < 800))
    frames = render_years(mosaics, composite="natural_color", notes=["simulated"], width_px=320)
    assert list(frames) == [2018, 2019, 2020]
    content = encode_animation(frames, format="gif", frame_ms=700)
    shown, durations = decode(content)
    assert durations == [700, 700, 1400]
    for picture, frame in zip(shown, frames.values(), strict=True):
        assert abs(picture.astype(int) - np.asarray(frame)).mean() < 6
        assert (picture[-3:] == 255).all(), "paper is not white"
        assert (picture[:80, 240:] == NO_DATA_COLOR).all(), "missing data have another color"
    assert count_local_palettes(content) == 0


def decode(content: bytes) -> tuple[list[np.ndarray], list[int]]:
    """Frames of a GIF or WebP in full color, and how long each stays [ms]."""
    shown, durations = [], []
    with Image.open(io.BytesIO(content)) as animation:
        assert animation.info["loop"] == 0, "does not repeat"
        for position in range(animation.n_frames):
            animation.seek(position)
            shown.append(np.asarray(animation.convert("RGB")))
            durations.append(animation.info["duration"])
    return shown, durations


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


def test_gif_gives_up_colors_where_it_would_be_too_large():
    random = np.random.default_rng(0)
    frames = {2018 + k: Image.fromarray(random.integers(0, 256, (90, 90, 3), dtype=np.uint8)) for k in range(4)}
    plain = encode_animation(frames, format="gif")
    small = encode_animation(frames, format="gif", max_bytes=26_000)
    assert len(plain) > 30_000 and len(small) <= 26_000
    colors = [len(np.unique(decode(content)[0][0].reshape(-1, 3), axis=0)) for content in (plain, small)]
    assert colors[0] > 200 and 16 < colors[1] < 180


@pytest.mark.parametrize("format", ["webp", "mp4"])
def test_other_formats_give_up_detail_where_they_would_be_too_large(format):
    random = np.random.default_rng(0)
    frames = {2018 + k: Image.fromarray(random.integers(0, 256, (90, 90, 3), dtype=np.uint8)) for k in range(4)}
    plain, small = (encode_animation(frames, format=format, max_bytes=size) for size in (8_000_000, 20_000))
    assert len(small) < 0.7 * len(plain)


@pytest.fixture
def maps() -> xr.DataArray:
    """Three years of 60 x 80 pixels of 10 m: classes 1 to 8, no data in a corner, changes in blocks and in grains."""
    random = np.random.default_rng(2)
    codes = np.repeat(random.integers(1, 9, (1, 6, 8)).repeat(10, axis=1).repeat(10, axis=2), 3, axis=0)
    codes[1:, 20:30, 20:60] = 3
    grains = random.random(codes.shape) < 0.05
    codes[grains] = random.integers(1, 9, grains.sum())
    codes[:, :20, -30:] = 0
    coords = {"time": np.array(["2018", "2019", "2020"], "datetime64[ns]")}
    coords |= {"y": 1000.0 - 10 * np.arange(60), "x": 5000.0 + 10 * np.arange(80)}
    return xr.DataArray(codes.astype(np.uint8), dims=("time", "y", "x"), coords=coords)


@pytest.mark.parametrize("format", ["gif", "webp"])
def test_no_pixel_of_a_map_of_classes_changes(maps, format):
    legend = load_legend("mexico_8")
    frames = render_thematic_years(maps, legend=legend, notes=["Simulado | Simulated"], width_px=400)
    shown, durations = decode(encode_animation(frames, format=format, frame_ms=500))
    assert len(shown) == 3
    if format == "gif":
        assert durations == [500, 500, 1000]
    for picture, frame in zip(shown, frames.values(), strict=True):
        np.testing.assert_array_equal(picture, np.asarray(frame.convert("RGB")))
    # the middle of the map, where neither year nor scale bar is: every pixel five times, in its color of the legend
    colors = {0: NO_DATA_COLOR} | {code: ImageColor.getrgb(text) for code, text in legend.colors().items()}
    for picture, codes in zip(shown, maps.values, strict=True):
        expected = np.array([[colors[code] for code in row] for row in codes.tolist()], np.uint8)
        np.testing.assert_array_equal(picture[50:270], expected.repeat(5, axis=0).repeat(5, axis=1)[50:270])


def test_map_frames_name_the_classes_that_occur_in_any_year(maps):
    legend = load_legend("mexico_8")
    maps = maps.where(maps.isin([0, 2, 3]), 2).astype(np.uint8)
    maps[0] = maps[0].where(maps[0] != 3, 2)
    frames = render_thematic_years(maps, legend=legend, notes=["source"], width_px=400)
    assert len({frame.size for frame in frames.values()}) == 1
    strip = np.asarray(frames[2018])[300:]
    assert sorted(set(np.unique(strip).tolist()) & {0, *legend.codes.tolist()}) == [0, 2, 3], "no swatch of a class"
    assert 0 < (np.asarray(frames[2018].convert("RGB"))[300:] == 20).mean() < 0.2, "no letters in ink"
    assert (np.asarray(frames[2018].convert("RGB"))[300:] == 255).mean() > 0.5, "no paper around them"


def test_scale_bar_of_a_map_has_the_length_that_it_says(maps):
    # 800 m are 400 pixels, and the bar is 200 m: 100 pixels between ends of one pixel of ink
    frame = render_thematic_years(maps, legend=load_legend("mexico_8"), notes=[], width_px=400)[2018]
    bar = np.asarray(frame.convert("RGB"))[300 - 8 - 3]
    white = np.flatnonzero((bar == 255).all(axis=1))
    assert (white.min(), white.max()) == (400 - 8 - 100, 400 - 8)


def test_a_legend_without_room_for_letters_still_keeps_its_colors():
    classes = tuple(
        LandCoverClass(code, f"clase {code}", f"class {code}", f"#{code:02x}{255 - code:02x}80") for code in range(1, 256)
    )
    codes = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    coords = {"time": np.array(["2018"], "datetime64[ns]"), "y": -10.0 * np.arange(16), "x": 10.0 * np.arange(16)}
    maps = xr.DataArray(codes, dims=("time", "y", "x"), coords=coords)
    frames = render_thematic_years(maps, legend=Legend("full", classes), notes=["n"], width_px=320)
    (picture,), _ = decode(encode_animation(frames, format="gif"))
    expected = np.array([NO_DATA_COLOR, *((code, 255 - code, 128) for code in range(1, 256))], np.uint8)[codes[0]]
    np.testing.assert_array_equal(picture[60:280:20, 10:320:20], expected[3:14])


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 255)),
    st.booleans(),
)
def test_any_paletted_frames_come_back_from_a_gif(frames, still):
    frames = frames[[0, *range(len(frames)), -1]] if still else frames  # a frame that equals the one before is kept
    palette = np.random.default_rng(3).integers(0, 256, (256, 3), dtype=np.uint8)
    shown, durations = decode(write_gif(list(frames), palette, [100] * len(frames)))
    assert durations == [100] * len(frames)
    np.testing.assert_array_equal(np.stack(shown), palette[frames])


def test_gif_uses_all_256_indices_where_none_is_free():
    first = np.arange(256, dtype=np.uint8).reshape(16, 16)
    palette = np.stack([np.arange(256), np.arange(256)[::-1], np.full(256, 7)], axis=1).astype(np.uint8)
    shown, _ = decode(write_gif([first, first.T], palette, [100, 100]))
    np.testing.assert_array_equal(np.stack(shown), palette[np.stack([first, first.T])])


def test_webp_plays_every_year_in_its_colors(mosaics):
    frames = render_years(mosaics, composite="natural_color", notes=["simulated"], width_px=320)
    shown, _ = decode(encode_animation(frames, format="webp"))
    for picture, frame in zip(shown, frames.values(), strict=True):
        assert abs(picture.astype(int) - np.asarray(frame)).mean() < 4


def test_mp4_is_what_browsers_play():
    colors = [(200, 30, 40), (20, 160, 60), (40, 60, 210)]
    frames = {2018 + number: Image.new("RGB", (161, 91), color) for number, color in enumerate(colors)}
    content = encode_animation(frames, format="mp4", frame_ms=400)
    assert content[4:8] == b"ftyp"
    assert content.index(b"moov") < content.index(b"mdat"), "the whole film would be fetched before it begins"
    with av.open(io.BytesIO(content)) as film:
        (stream,) = film.streams
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.codec_tag) == ("h264", "yuv420p", "avc1")
        assert (context.width, context.height) == (162, 92)
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)
        pictures = [frame.to_ndarray(format="rgb24", src_colorspace="ITU709") for frame in film.decode(stream)]
        assert float(stream.duration * stream.time_base) == pytest.approx(4 * 0.4)
    assert len(pictures) == 4, "the last year does not stay twice as long"
    for picture, color in zip(pictures, [*colors, colors[-1]], strict=True):
        assert abs(picture.astype(int) - color).max() <= 4


def test_the_same_frames_give_the_same_film(mosaics):
    frames = render_years(mosaics, composite="natural_color", notes=["simulated"], width_px=160)
    assert encode_animation(frames, format="mp4") == encode_animation(frames, format="mp4")


def test_refuses_what_makes_no_animation(mosaics, maps):
    small = {2018: Image.new("RGB", (4, 4))}
    with pytest.raises(InputError, match="no composite 'false_color'; there are natural_color, cwbg"):
        render_years(mosaics, composite="false_color", notes=[])
    with pytest.raises(InputError, match="no format 'avi' for animations; there are gif, webp, mp4"):
        encode_animation(small, format="avi")
    with pytest.raises(InputError, match="cannot stay 5 ms; give 20 to 60000 ms"):
        encode_animation(small, format="gif", frame_ms=5)
    with pytest.raises(InputError, match="at least one frame"):
        encode_animation({}, format="gif")
    with pytest.raises(InputError, match="one size"):
        encode_animation(small | {2019: Image.new("RGB", (5, 4))}, format="gif")
    with pytest.raises(InputError, match="all RGB or all paletted; these are P, RGB"):
        encode_animation(small | {2019: Image.new("P", (4, 4))}, format="webp")
    other = Image.new("P", (4, 4))
    other.putpalette([9] * 768)
    with pytest.raises(InputError, match="one palette; these differ"):
        encode_animation({2018: Image.new("P", (4, 4)), 2019: other}, format="mp4")


def test_refuses_maps_that_cannot_be_shown(mosaics, maps):
    legend = load_legend("mexico_8")
    with pytest.raises(InputError, match="a year once; there are more of 2019"):
        render_years(mosaics.isel(time=[0, 1, 1]), composite="natural_color", notes=[])
    with pytest.raises(InputError, match="is uint8; this one is float64"):
        render_thematic_years(maps.astype(float), legend=legend, notes=[])
    with pytest.raises(LegendError, match="codes that legend mexico_8 does not have: 9"):
        render_thematic_years(maps + np.uint8(1), legend=legend, notes=[])


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
