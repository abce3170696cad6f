"""A few people at once beside one who floods; the whole crowd is ``tests/benchmarks/bench_react2eo_load.py``."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from crowd import crowd, flood, tile_at  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from guarded_server import serving  # noqa: E402

SECONDS = 3


def test_people_are_served_while_one_floods(gallery, monkeypatch, tmp_path):
    from ceiba.react2eo.server import create_app

    monkeypatch.setenv("CEIBA_TRUSTED_PROXIES", "127.0.0.1")
    monkeypatch.setenv("CEIBA_REACTIONS_URL", f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    monkeypatch.setenv("CEIBA_LIMITS", "tiles=30")
    app = create_app()
    region = TestClient(app).get("/api/products").json()["regions"][0]
    region["layers"] = region["layers"][:2]
    west, south, east, north = region["bounds"]
    column, row = tile_at((west + east) / 2, (south + north) / 2, 15)
    path = region["layers"][0]["tiles"].format(period=2018, z=15, x=column, y=row)
    with serving(app) as address, ThreadPoolExecutor(2) as threads:
        flooding = threads.submit(lambda: asyncio.run(flood(address, path, seconds=SECONDS, client="203.0.113.7", at_once=8)))
        people = threads.submit(lambda: asyncio.run(crowd(address, region, people=20, seconds=SECONDS, every_s=1)))
        flooded, answers = flooding.result(), people.result()
    assert answers.wrong == [] and len(answers.seconds["tile"]) > 30 and answers.seconds["reaction"]
    assert flooded.wrong == [] and flooded.statuses[429] > 0
    assert flooded.statuses[200] <= 30 + 10, "a full bucket, and a token a second"
