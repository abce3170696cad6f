"""Sentinel Hub against a stand-in on loopback that answers tokens, searches and real GeoTIFFs."""

import asyncio
import socket
import threading
import time

import numpy as np
import pytest
import rasterio
import uvicorn
import yaml
from affine import Affine
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from loopback import PATIENCE
from odc.geo.geom import box
from rasterio.io import MemoryFile

from ceiba import ard
from ceiba import cube as index
from ceiba.ard.sentinel_hub import cut, request_units, tile_grids
from ceiba.errors import InputError, ParameterError
from ceiba.prices import load_prices

DATES = ("2019-03-04T16:32:10Z", "2019-03-04T16:32:25Z", "2019-03-14T16:32:10Z", "2019-07-02T16:32:10Z")
CLOUDS = (10, 30, 5, 90)


def digital_numbers(x: np.ndarray, y: np.ndarray, band: str) -> np.ndarray:
    """What the stand-in gives for a place: a number that tells where it was asked for, 4 (vegetation) for the classes."""
    if band == "SCL":
        return np.full(np.broadcast_shapes(x.shape, y.shape), 4, dtype="uint16")
    return (1000 + int(band[1:].rstrip("A")) + (x // 20) % 500 + (y // 20) % 300).astype("uint16")


class StandIn:
    """Sentinel Hub as its documentation describes it: OAuth, Catalog API with pages, Process API."""

    def __init__(self, outline: dict):
        self.outline, self.faults, self.requests, self.searches = outline, [], [], 0
        app = FastAPI()
        app.post("/token")(self.token)
        app.post("/api/v1/catalog/1.0.0/search")(self.search)
        app.post("/api/v1/process")(self.process)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="error"))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        for _ in range(200):
            if self._server.started:
                return
            time.sleep(0.05)
        pytest.fail("the stand-in does not start")

    async def token(self, request: Request):
        form = (await request.body()).decode()
        if "client_secret=right" not in form:
            return JSONResponse({"error": "invalid_client", "error_description": "wrong key"}, 401)
        return {"access_token": "granted", "expires_in": 3600, "token_type": "Bearer"}

    async def search(self, request: Request):
        if request.headers.get("authorization") != "Bearer granted":
            return JSONResponse({"error": {"message": "no token"}}, 401)
        asked, self.searches = await request.json(), self.searches + 1
        first = int(asked.get("next", 0))
        features = [
            {
                "type": "Feature", "id": f"S2A_MSIL2A_{number}", "geometry": self.outline,
                "properties": {"datetime": DATES[number], "eo:cloud_cover": CLOUDS[number], "platform": "sentinel-2a"},
            }
            for number in range(first, min(first + 3, len(DATES)))
        ]  # fmt: skip
        context = {"next": first + 3} if first + 3 < len(DATES) else {}
        return {"type": "FeatureCollection", "features": features, "context": context}

    async def process(self, request: Request):
        asked = await request.json()
        self.requests.append(asked)
        fault = self.faults.pop(0) if self.faults else ""
        if fault.isdigit():
            return JSONResponse({"error": {"message": "as the test asked"}}, int(fault))
        if fault == "stall":
            await asyncio.sleep(1.5)
        script = asked["evalscript"]
        bands = script.partition("bands: [")[2].partition("]")[0].replace('"', "").split(", ")
        output = asked["output"]
        width, height = output["width"], output["height"]
        left, bottom, right, top = asked["input"]["bounds"]["bbox"]
        epsg = int(asked["input"]["bounds"]["properties"]["crs"].rsplit("/", 1)[1])
        size = (right - left) / width
        x = left + size * (np.arange(width) + 0.5)
        y = (top - size * (np.arange(height) + 0.5))[:, None]
        with MemoryFile() as memory:
            with memory.open(
                driver="GTiff", width=width, height=height, count=len(bands), dtype="uint16", crs=f"EPSG:{epsg}",
                transform=Affine(size, 0, left, 0, -size, top),
            ) as file:  # fmt: skip
                for number, band in enumerate(bands, 1):
                    file.write(digital_numbers(x, y, band), number)
            content = memory.read()
        if fault == "half":
            content = content[: len(content) // 2]
        spent = width * height / 512**2 * len(bands) / 3
        return Response(content, media_type="image/tiff", headers={"x-processingunits-spent": str(spent)})

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)


@pytest.fixture
def hub(empty_cube, add_area, monkeypatch):
    """The stand-in, as the source ``sentinel_hub`` of an area over one simulated tile."""
    monkeypatch.setenv("SH_CLIENT_ID", "me")
    monkeypatch.setenv("SH_CLIENT_SECRET", "right")
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # loopback has no certificate
    outline = box(4_000_000, 1_197_000, 4_003_000, 1_200_500, "EPSG:6372").to_crs("EPSG:4326").json
    stand_in = StandIn({"type": "Polygon", "coordinates": outline["coordinates"]})
    names = {"blue": "B02", "green": "B03", "red": "B04", "nir": "B08", "quality": "SCL", "green_20m": "B03", "red_20m": "B04",
        "nir_narrow": "B8A", "swir_1": "B11", "quality_20m": "SCL"}  # fmt: skip
    entry = {
        "title": {"es": "Doble", "en": "Stand-in"}, "kind": "sentinel_hub", "url": stand_in.url,
        "access": {"key_variable": "SH_CLIENT_ID", "secret_variable": "SH_CLIENT_SECRET"},
        "settings": {"token_url": stand_in.url + "/token"}, "patience": PATIENCE,
        "collections": {"sentinel-2-l2a": {"sensors": {"sentinel-2a": "sentinel_2_l2a"}, "assets": names}},
    }  # fmt: skip
    (empty_cube / "providers.yml").write_text(yaml.safe_dump({"sentinel_hub": entry}))
    yield stand_in
    stand_in.stop()


@pytest.fixture
def begin_hub(begin):
    return lambda **given: begin("hub", sources=["sentinel_hub"], **given)


def test_processing_units_are_as_documented():
    # Definition of a Processing Unit: 512 x 512 px, 3 bands, 16 bits, one sample.
    assert request_units(512, 512, 3) == pytest.approx(1.0)
    # Sentinel Hub forum, "How to calculate the Processing Unit": 250 ha at 10 m with 2 bands are 250/2621.44*2/3 = 0.064.
    assert request_units(500, 50, 2) == pytest.approx(250 / 2621.44 * 2 / 3)
    assert round(request_units(500, 50, 2), 3) == 0.064
    # The same thread: 20 x 20 px with 2 bands are 0.01 x 2/3 = 0.0067, the least size of output.
    assert request_units(20, 20, 2) == pytest.approx(0.0067, abs=5e-5)
    # Worked by hand from the table of rules: 1024 x 1024, 4 bands, 32-bit float, 2 samples: 4 x 4/3 x 2 x 2 = 21.33.
    assert request_units(1024, 1024, 4, floats=True, samples=2) == pytest.approx(21.3333, abs=1e-4)


def test_grids_lie_on_the_pixels_of_sentinel_2_and_are_cut_to_what_a_request_may_have():
    grids = tile_grids(box(2_500_000, 700_000, 2_600_000, 800_000, "EPSG:6372"), (10, 20))
    assert str(grids[10].crs) == "EPSG:32614" and grids[10].boundingbox == grids[20].boundingbox
    assert all(value % 20 == 0 for value in grids[10].boundingbox.bbox)
    parts = [part for _, _, part in cut(grids[10])]
    assert max(max(part.shape) for part in parts) <= 2500
    assert sum(part.width * part.height for part in parts) == grids[10].width * grids[10].height


def test_the_cost_is_shown_and_refused_before_anything_is_spent(hub, begin_hub):
    scenes = ard.list_scenes(begin_hub(), ["sentinel_hub"])
    # Two items of one pass are one scene; the second page of the search is read.
    assert [(scene.time[:10], scene.cloud_cover) for _, scene in scenes] == [
        ("2019-03-04", 20.0), ("2019-03-14", 5.0), ("2019-07-02", 90.0)]  # fmt: skip
    assert hub.searches == 2
    with pytest.raises(ParameterError, match="2 scenes would take about .* processing units .*USD.*Nothing was spent"):
        ard.plan_fetch(scenes, max_cloud_cover=50, max_processing_units=0.5)
    steps = ard.plan_fetch(scenes, max_cloud_cover=50, max_processing_units=100)
    table = ard.plan_table(steps).set_index("action")
    grids = scenes[0][1].grids
    units = sum(grid.width * grid.height / 512**2 * 5 / 3 for grid in grids.values())
    assert table.loc["process", "scenes"] == 2
    assert table.loc["process", "processing_units"] == pytest.approx(2 * units)
    assert table.loc["process", "cost_usd"] == pytest.approx(2 * units * load_prices().processing_unit)
    assert hub.requests == []


def fetch(task, units=100.0):
    bounds = {"max_processing_units": units}
    steps = ard.plan_fetch(ard.list_scenes(task, ["sentinel_hub"]), max_cloud_cover=50, **bounds)
    return ard.fetch_scenes(task, steps, **bounds)


def test_scenes_are_made_indexed_and_not_paid_for_twice(hub, begin_hub, empty_cube):
    inventory, failures = fetch(begin_hub())
    assert failures == [] and sorted(inventory["status"]) == ["indexed", "indexed", "left out"]
    assert len(hub.requests) == 4  # two pixel sizes of two scenes
    data = hub.requests[0]["input"]["data"][0]
    assert data["dataFilter"]["timeRange"] == {"from": "2019-03-04T16:31:10Z", "to": "2019-03-04T16:33:25Z"}
    assert data["processing"]["harmonizeValues"] is True and data["type"] == "sentinel-2-l2a"
    dataset = index.find_datasets(index.connect(), "s2_l2a_scenes")[0]
    with rasterio.open(f"{dataset.uri.rsplit('/', 1)[0]}/10m.tif") as file:
        values, (x, y) = file.read(file.descriptions.index("red") + 1), file.xy(77, 101)
    assert values[77, 101] == digital_numbers(np.array(x), np.array(y), "B04")
    again, _ = fetch(begin_hub())
    assert sorted(again["status"]) == ["indexed", "indexed", "left out"] and len(hub.requests) == 4
    assert not list((empty_cube / "downloads").rglob("*.tif"))


@pytest.mark.parametrize("fault", ["503", "half", "stall"])
def test_what_did_not_arrive_is_told_and_asked_for_again(fault, hub, begin_hub):
    hub.faults = ["", *[fault] * 3]  # the second part of the first scene fails in each attempt
    inventory, _ = fetch(begin_hub())
    assert sorted(inventory["status"]) == ["indexed", "left out", "not arrived"]
    with pytest.raises(InputError, match="1 of 3 scenes did not arrive"):
        ard.check_arrived(inventory)
    hub.faults, before = [], len(hub.requests)
    inventory, _ = fetch(begin_hub())
    ard.check_arrived(inventory)
    assert len(hub.requests) == before + 1  # the part that had arrived was kept


def test_no_more_is_spent_than_allowed_whatever_the_server_charges(hub, begin_hub):
    task = begin_hub()
    steps = ard.plan_fetch(ard.list_scenes(task, ["sentinel_hub"]), max_cloud_cover=50, max_processing_units=100)
    first = next(step for step in steps if step.action == "process")
    inventory, failures = ard.fetch_scenes(task, steps, max_processing_units=first.processing_units * 1.2)
    assert sorted(inventory["status"]) == ["indexed", "left out", "refused"]
    assert "are left of max_processing_units" in failures[0]


def test_keys_come_from_the_environment_alone(hub, begin_hub, monkeypatch):
    monkeypatch.setenv("SH_CLIENT_SECRET", "wrong")
    monkeypatch.setenv("SH_CLIENT_ID", "other")
    with pytest.raises(InputError, match="cannot be searched"):
        ard.list_scenes(begin_hub(), ["sentinel_hub"])
    monkeypatch.delenv("SH_CLIENT_SECRET")
    with pytest.raises(InputError, match="needs a key: set SH_CLIENT_SECRET in the environment"):
        ard.list_scenes(begin_hub(), ["sentinel_hub"])


def test_a_request_that_is_refused_is_no_transfer_to_repeat(hub, begin_hub):
    hub.faults = ["400"]
    inventory, failures = fetch(begin_hub())
    assert sorted(inventory["status"]) == ["indexed", "left out", "refused"] and len(failures) == 1
    assert len(hub.requests) == 3
