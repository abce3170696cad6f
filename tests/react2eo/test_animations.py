"""Animations: made once, kept by content, with what people must know burnt in."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pyproj import Geod

from ceiba.errors import InputError
from ceiba.grids import Period
from ceiba.react2eo.animations import animation_frames
from ceiba.react2eo.animations.animation_frames import View
from ceiba.react2eo.animations.file_cache import FileCache
from ceiba.react2eo.maps.rendering import paint, read_window


@pytest.fixture
def asked(module_snapshot) -> dict:
    """A good request."""
    bounds = module_snapshot.find_region("land").bounds
    return {"region": "land", "layer": "ndvi", "first": "2018", "last": "2020", "bounds": bounds, "width": 320}


def open_file(module_client, answer) -> Image.Image:
    return Image.open(io.BytesIO(module_client.get(answer.json()["url"]).content))


@pytest.mark.parametrize("layer", ["natural_color", "ndvi", "land_cover", "integrity", "change"])
@pytest.mark.parametrize("format", ["gif", "webp", "mp4"])
def test_every_kind_of_layer_becomes_every_format(module_client, asked, layer, format):
    years = {"first": "2018--2020", "last": "2018--2020"} if layer == "change" else {}
    answer = module_client.post("/api/animations", json=asked | {"layer": layer, "format": format} | years)
    assert answer.status_code == 201, answer.text
    file = module_client.get(answer.json()["url"])
    assert file.status_code == 200 and len(file.content) == answer.json()["bytes"]
    assert file.headers["content-type"] == {"gif": "image/gif", "webp": "image/webp", "mp4": "video/mp4"}[format]
    assert "immutable" in file.headers["cache-control"]
    if format != "mp4":
        picture = Image.open(io.BytesIO(file.content))
        assert picture.size == (answer.json()["width"], answer.json()["height"])
        assert getattr(picture, "n_frames", 1) == len(answer.json()["periods"])


def test_the_same_request_is_made_once(module_client, asked):
    first = module_client.post("/api/animations", json=asked | {"frame_ms": 500})
    second = module_client.post("/api/animations", json=asked | {"frame_ms": 500})
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    other = module_client.post("/api/animations", json=asked | {"frame_ms": 500, "language": "en"})
    assert other.status_code == 201 and other.json()["id"] != first.json()["id"]


def test_two_requests_at_one_moment_render_once(module_client, asked, monkeypatch):
    rendered, gate = [], threading.Event()
    render = animation_frames.render

    def slow(view):
        rendered.append(view)
        gate.wait(10)
        return render(view)

    monkeypatch.setattr(animation_frames, "render", slow)
    with ThreadPoolExecutor(3) as threads:
        answers = [threads.submit(module_client.post, "/api/animations", json=asked | {"frame_ms": 510}) for _ in range(3)]
        time.sleep(0.3)
        gate.set()
        bodies = [answer.result().json() for answer in answers]
    assert len(rendered) == 1 and bodies[0] == bodies[1] == bodies[2]


def test_too_much_work_is_refused_with_a_time_to_wait(module_client, asked, monkeypatch):
    monkeypatch.setattr(module_client.app.state.animations.workers, "_most", 0)
    answer = module_client.post("/api/animations", json=asked | {"frame_ms": 520})
    assert answer.status_code == 503 and int(answer.headers["retry-after"]) > 0
    assert "try again" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"region": "mars"}, 404, "no region 'mars'; there are land"),
        ({"layer": "fire"}, 404, "it has natural_color"),
        ({"first": "1999"}, 404, "it has 2018, 2019, 2020"),
        ({"first": "2020", "last": "2018"}, 422, "earlier one first"),
        ({"width": 5000}, 422, "width: Input should be less than or equal to 1024, given 5000"),
        ({"frame_ms": 1}, 422, "frame_ms"),
        ({"format": "png"}, 422, "'gif', 'webp' or 'mp4'"),
        ({"bounds": [0, 0, 1, 1]}, 422, "show nothing of land; it lies in"),
        ({"bounds": [-97, 20, -98, 21]}, 422, "west below east"),
        ({"bounds": [-100, 17.0, -80, 17.1]}, 422, "pixels high at a width of 320"),
        ({"bounds": [-90, 0]}, 422, "bounds"),
        ({"path": "/etc/passwd"}, 422, "path: Extra inputs are not permitted"),
    ],
)
def test_what_is_not_allowed_is_told(module_client, asked, change, status, words):
    answer = module_client.post("/api/animations", json=asked | change)
    assert answer.status_code == status and words in answer.json()["detail"]


def test_frames_and_pixels_are_limited(module_snapshot):
    layer = module_snapshot.find_layer("land", "ndvi")
    west, south, east, north = layer.bounds
    square = (west, south, east, south + (east - west) * 0.97)
    years = tuple(Period(year, year) for year in range(1980, 2021))
    with pytest.raises(InputError, match="41 periods; an animation has 40 at most"):
        View(layer, years, square, 640, "es").check()
    with pytest.raises(InputError, match="give a width of [0-9]+ or less"):
        View(layer, years[:40], square, 1024, "es").check()
    middle = (west + east) / 2, (south + north) / 2
    with pytest.raises(InputError, match="smaller than 0.1 m"):
        View(layer, years[:1], (*middle, middle[0] + 1e-5, middle[1] + 1e-5), 640, "es").check()


@pytest.mark.parametrize("latitude", [-54.0, 0.0, 19.4, 45.2, 80.0])
def test_the_scale_bar_is_true_on_the_ground(module_snapshot, latitude):
    # Outside answer: pyproj's geodesic over the width of the map at its middle latitude.
    view = View(module_snapshot.find_layer("land", "ndvi"), (), (22.0, latitude - 0.01, 22.02, latitude + 0.01), 640, "es")
    _, _, length_m = Geod(ellps="WGS84").inv(22.0, latitude, 22.02, latitude)
    assert view.pixel_size_m * view.width == pytest.approx(length_m, rel=1e-5)


def test_frames_show_what_the_map_shows(module_snapshot):
    bounds = module_snapshot.find_region("land").bounds
    for name in ("natural_color", "ndvi", "land_cover"):
        layer = module_snapshot.find_layer("land", name)
        view = View(layer, layer.periods, bounds, 300, "es")
        frames, empty = animation_frames.render(view)
        picture = paint(layer, read_window(layer, layer.periods[0], view.window))
        frame = np.asarray(frames[layer.periods[0]].convert("RGB"))[: len(picture)]
        shown = picture[..., 3] > 0
        # Title and scale bar lie along the upper and the lower edge.
        part = slice(40, len(picture) - 40)
        apart = abs(frame.astype(int) - picture[..., :3])[part][shown[part]]
        # A scale has 224 steps in an animation and 256 on a tile.
        assert apart.max() <= (3 if name == "ndvi" else 0), name
        assert (frame[part][~shown[part]] == 217).all() and not empty


def test_a_gif_of_classes_keeps_every_color(module_client, asked, module_snapshot):
    answer = module_client.post("/api/animations", json=asked | {"layer": "land_cover"})
    layer = module_snapshot.find_layer("land", "land_cover")
    view = View(layer, layer.periods, tuple(asked["bounds"]), 320, "es")
    frames, _ = animation_frames.render(view)
    with open_file(module_client, answer) as file:
        for position, frame in enumerate(frames.values()):
            file.seek(position)
            assert np.array_equal(np.asarray(file.convert("RGB")), np.asarray(frame.convert("RGB")))


def test_years_without_data_say_so(module_snapshot, monkeypatch):
    layer = module_snapshot.find_layer("land", "ndvi")
    view = View(layer, layer.periods, layer.bounds, 300, "es")
    read = animation_frames.read_whole

    def lose(layer, period, window):
        return read(layer, period, window) * (np.nan if str(period) in lost else 1)

    monkeypatch.setattr(animation_frames, "read_whole", lose)
    lost = {"2019"}
    frames, empty = animation_frames.render(view)
    assert [str(period) for period in empty] == ["2019"] and len(frames) == 3
    assert animation_frames.title_of(view, empty[0], True) == "2019: sin datos aquí"
    lost = {"2018", "2019", "2020"}
    with pytest.raises(InputError, match="has no data there in any of these years"):
        animation_frames.render(view)


def test_words_are_in_the_language_and_say_simulated(module_snapshot):
    layer = module_snapshot.find_layer("land", "ndvi")
    spanish, english = (View(layer, layer.periods, layer.bounds, 300, language).notes for language in ("es", "en"))
    assert spanish[0] == "Verdor (NDVI) · Galería" and "Datos simulados: Galería" in spanish
    assert "Simulated data: Gallery" in english and not any("Sentinel" in line for line in english)
    real = replace(layer, region=replace(layer.region, area=replace(layer.region.area, simulated=False)))
    assert "Contains modified Copernicus Sentinel data" in View(real, layer.periods, layer.bounds, 300, "en").notes


def test_noisy_scales_give_up_steps_and_not_the_limit(module_snapshot, monkeypatch):
    layer = module_snapshot.find_layer("land", "ndvi")
    view = View(layer, layer.periods, layer.bounds, 400, "es")
    noise = np.random.default_rng(0)
    monkeypatch.setattr(
        animation_frames, "read_whole", lambda _, __, window: noise.random((1, window.height, window.width), np.float32)
    )
    frames, _ = animation_frames.render(view)
    whole = animation_frames.encode(view, frames, format="gif", frame_ms=800)
    monkeypatch.setattr(animation_frames, "MAX_BYTES", int(0.8 * len(whole)))
    assert len(animation_frames.encode(view, frames, format="gif", frame_ms=800)) <= 0.8 * len(whole)


def test_files_that_are_gone_can_be_made_again(module_client, asked):
    answer = module_client.post("/api/animations", json=asked | {"frame_ms": 530})
    module_client.app.state.animations.files.find(answer.json()["url"].rpartition("/")[2]).unlink()
    gone = module_client.get(answer.json()["url"])
    assert gone.status_code == 404 and "make it again" in gone.json()["detail"]
    assert module_client.post("/api/animations", json=asked | {"frame_ms": 530}).status_code == 201
    for name in ("..%2f..%2fetc%2fpasswd.gif", "0" * 31 + ".gif", "g" * 32 + ".gif", "0" * 32 + ".json"):
        assert module_client.get(f"/api/animations/{name}").status_code in (404, 422)


def test_the_cache_drops_what_was_not_asked_for_longest(tmp_path):
    cache = FileCache(tmp_path / "files", max_bytes=250)
    for number, name in enumerate("abc"):
        if name == "c":
            assert cache.find("a")  # asked for after b
        path = cache.save(name, bytes(100))
        os.utime(path, ns=(number, number)) if name != "c" else None
    assert cache.find("b") is None and cache.find("a").read_bytes() == bytes(100)
    assert sorted(path.name for path in (tmp_path / "files").iterdir()) == ["a", "c"]


def test_neither_names_nor_contents_of_kept_files_tell_the_place(module_client, asked):
    module_client.post("/api/animations", json=asked | {"frame_ms": 540})
    folder = module_client.app.state.animations.files.find(
        module_client.post("/api/animations", json=asked | {"frame_ms": 540}).json()["url"].rpartition("/")[2]
    ).parent
    for path in folder.iterdir():
        assert len(path.stem) == 32
        assert not any(f"{value:.3f}".encode() in path.read_bytes() for value in asked["bounds"])
