"""Odd requests to the Web Map Service: none ends in an error of the server, hangs, or has a file read outside the store.

``CEIBA_FUZZ=50000`` sends so many instead of the small share.
"""

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, quote_from_bytes, urlencode
from xml.etree import ElementTree

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import fuzzing  # noqa: E402

REQUESTS = int(os.environ.get("CEIBA_FUZZ", "1500"))
SEED = 20_260_401
SLOW_S = 10.0
"""More than any answer takes, even the first capabilities on a machine that is busy with other things [s]."""
STATUSES = {200, 400, 413, 414, 422}
NAMES = [
    "SERVICE", "VERSION", "REQUEST", "LAYERS", "STYLES", "CRS", "SRS", "BBOX", "WIDTH", "HEIGHT", "FORMAT", "TRANSPARENT",
    "BGCOLOR", "TIME", "EXCEPTIONS", "QUERY_LAYERS", "INFO_FORMAT", "I", "J", "X", "Y", "LAYER", "STYLE", "LANGUAGE",
    "UPDATESEQUENCE", "FEATURE_COUNT", "SLD", "SLD_BODY", "MAP", "ELEVATION", "DPI", "",
]  # fmt: skip
NUMBERS = [
    "0", "-0", "-1", "1", "2", "3.5", "1e3", "1e308", "-1e308", "1e-300", "NaN", "inf", "-inf", "Infinity", "0x10", "1_000",
    " 7 ", "1,5", "2048", "2049", "1000000000", "99999999999999999999999999", "٣", "१२", "1" * 400, "+5", "--5", "5.", ".5",
    "1e",
]  # fmt: skip
BITS = [
    "../../../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "file:///etc/passwd",
    "/vsicurl/http://127.0.0.1:9/x.tif", "/vsizip//etc/x.zip", "/vsistdin/", "WMS:http://127.0.0.1:9/", "<VRTDataset/>",
    "<!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>", "' OR 1=1 --", "'; drop table agdc.dataset; --", "{{7*7}}",
    "${jndi:ldap://127.0.0.1/a}", "%00", "\x00", "\x1b[31m", "\ufffe", "\U0001f33d", "<script>alert(1)</script>", "]]>",
    "&amp;", "+proj=longlat", "EPSG:", "EPSG:0", "EPSG:-1", "EPSG:999999", "EPSG:27700", "EPSG:4326+5773",
    "urn:ogc:def:crs:EPSG::4326", "http://www.opengis.net/def/crs/EPSG/0/4326", "AUTO2:42001,1,0,0", "CRS:83", "epsg:3857",
    "land", "land.", ".ndvi", "land.ndvi.x", "land..ndvi", "__class__", "land.__class__", "default", "current",
    "2018-01-01/2020-12-31/P1Y", "2018/2019", "P1Y", "0000-00-00", "9999-12-31", "2018-01-01T25:61:61Z", "-2018",
    "image/png; mode=8bit", "image/svg+xml", "application/x-python", "GetMap ", "getmap", "Execute", "1.3.0 ", "1.3", "9.9.9",
    "0.0.0", ",", ",,,", ",".join(["land.ndvi"] * 50), "a" * 3000, "\r\nSet-Cookie: a=b", "TRUE", "0xGGGGGG", "#ffffff",
]  # fmt: skip
OPERATIONS = ["GetMap"] * 5 + ["GetFeatureInfo"] * 3 + ["GetLegendGraphic", "GetCapabilities"]
CHOICES = {
    "VERSION": ["1.3.0", "1.1.1"],
    "LAYERS": ["land.ndvi", "land.land_cover,land.ndvi", "land.natural_color", "land.change", "land.integrity"],
    "CRS": ["EPSG:4326", "CRS:84", "EPSG:3857", "EPSG:6372"], "FORMAT": ["image/png", "image/jpeg", "image/webp"],
    "TIME": ["", "2018", "2019-06-01", "current", "2018-01-01T00:00:00Z/2018-12-31T23:59:59Z"], "TRANSPARENT": ["TRUE", "FALSE"],
    "INFO_FORMAT": ["text/plain", "text/html", "application/json"], "LANGUAGE": ["", "es", "en"], "BGCOLOR": ["0x102030"],
}  # fmt: skip


def make_valid(random_: random.Random, bounds) -> dict[str, str]:
    """A request that can be answered, with a small picture of a random window around the region."""
    west, south, east, north = bounds
    wide, high = (east - west) * 10 ** random_.uniform(-2, 2), (north - south) * 10 ** random_.uniform(-2, 2)
    left, bottom = random_.uniform(west - wide / 2, east), random_.uniform(south - high / 2, north)
    asked = {name: random_.choice(values) for name, values in CHOICES.items()}
    asked |= {"SERVICE": "WMS", "REQUEST": random_.choice(OPERATIONS), "STYLES": "", **dict.fromkeys("IJXY", "0")}
    asked |= {name: str(random_.randint(1, 48)) for name in ("WIDTH", "HEIGHT")}
    asked |= {"QUERY_LAYERS": asked["LAYERS"], "LAYER": asked["LAYERS"].split(",")[0]}
    corners = (left, bottom, left + wide, bottom + high)
    if asked["CRS"] == "EPSG:4326" and asked["VERSION"] == "1.3.0":
        corners = (bottom, left, bottom + high, left + wide)
    elif asked["CRS"] in ("EPSG:3857", "EPSG:6372"):
        corners = tuple(value * 111_000 for value in corners)
    asked["SRS"] = asked["CRS"]
    if asked["REQUEST"] == "GetLegendGraphic":
        asked["FORMAT"] = random_.choice(["image/png", "application/json"])
    return asked | {"BBOX": ",".join(map(repr, corners))}


def mutate(random_: random.Random, asked: dict[str, str]) -> dict[str, str]:
    """The request with a few of its values or names made odd."""
    changed = dict(asked)
    for _ in range(random_.randint(1, 4)):
        name = random_.choice(NAMES)
        kind = random_.random()
        if kind < 0.3:
            value = random_.choice(NUMBERS)
        elif kind < 0.6:
            value = random_.choice(BITS)
        elif kind < 0.7:
            value = ",".join(random_.choice(NUMBERS) for _ in range(random_.randint(1, 6)))
        elif kind < 0.8:
            value = "".join(chr(random_.randint(1, 0x2FFF)) for _ in range(random_.randint(0, 30)))
        elif kind < 0.9:
            place = random_.randint(0, len(changed.get(name, "")))
            value = changed.get(name, "")[:place] + random_.choice(BITS + NUMBERS) + changed.get(name, "")[place:]
        else:
            changed.pop(name, None)
            continue
        if name == "BBOX" and random_.random() < 0.7:
            corners = (changed.get("BBOX", "0,0,1,1") + ",0,0,0,0").split(",")[:4]
            corners[random_.randrange(4)] = random_.choice(NUMBERS)
            value = ",".join(corners)
        changed[name if random_.random() < 0.9 else name.lower()] = value
    return changed


def make_requests(number: int, bounds) -> Iterator:
    """Requests in an order that the seed decides."""
    random_ = random.Random(SEED)  # noqa: S311 - no secret
    for _ in range(number):
        kind = random_.random()
        if kind < 0.05:
            yield fuzzing.Asked(bytes(random_.randint(0, 255) for _ in range(random_.randint(0, 200))))
            continue
        valid = make_valid(random_, bounds)
        asked = valid if kind < 0.1 else mutate(random_, valid)
        if kind < 0.2:
            # Bytes that are no UTF-8, names twice, and bare texts.
            extra = quote_from_bytes(bytes(random_.randint(0, 255) for _ in range(8)))
            query = f"{urlencode(asked, errors='replace')}&{random_.choice(NAMES)}={extra}"
            query += f"&{random_.choice(NAMES)}&{quote(random_.choice(BITS))}"
            yield fuzzing.Asked(query.encode("latin-1", "replace"))
        elif kind < 0.25:
            form = urlencode(asked, errors="replace").encode()
            yield fuzzing.Asked(b"", method="POST", body=form, content_type="application/x-www-form-urlencoded")
        else:
            yield fuzzing.Asked(urlencode(asked, errors="replace").encode())


@pytest.fixture(scope="module")
def fuzzed_app(gallery_environment):
    """The application with everything around it but the limits of requests a minute."""
    from ceiba.react2eo.server import create_app

    with pytest.MonkeyPatch.context() as patch:
        for name, value in gallery_environment.items():
            patch.setenv(name, value)
        patch.setenv("CEIBA_LIMITS", "wms=900000000")
        yield create_app()


def allowed_folders(gallery_environment) -> list[Path]:
    """The store, and what every Python program reads: its own library and packages."""
    import matplotlib
    import pyproj

    return [
        Path(gallery_environment["CEIBA_STORE"]).parent, Path(sys.base_prefix), Path(sys.prefix), Path(os.__file__).parent,
        Path(pyproj.datadir.get_data_dir()), Path(matplotlib.get_data_path()), Path(__file__).parents[2] / "catalogs",
        Path(__file__).parents[2] / "lib",
    ]  # fmt: skip


@pytest.mark.timeout(max(900, REQUESTS // 10))
def test_odd_requests_are_answered_or_refused(fuzzed_app, gallery_environment):
    region = fuzzed_app.state.snapshots.current().find_region("land")
    faults, slowest = [], (0.0, b"")
    counts = Counter()

    def check(number, asked, answered) -> None:
        nonlocal slowest
        counts[answered.status, answered.content_type.partition(";")[0]] += 1
        slowest = max(slowest, (answered.seconds, asked.query or asked.body))
        if answered.error or answered.status not in STATUSES or answered.seconds > SLOW_S:
            faults.append((number, asked, answered.status, answered.error, round(answered.seconds, 2)))
        elif answered.status == 200 and answered.content_type.startswith("image/png"):
            assert answered.body[:8] == b"\x89PNG\r\n\x1a\n"
        elif "xml" in answered.content_type:
            ElementTree.fromstring(answered.body)

    begun_s = time.monotonic()
    with fuzzing.Opened.watching() as opened:
        sent = fuzzing.send_all(fuzzed_app, make_requests(REQUESTS, region.bounds), check)
    lines = [f"{sent} requests in {time.monotonic() - begun_s:.0f} s, slowest {slowest[0]:.2f} s: {slowest[1][:300]!r}", f"{dict(counts)}"]
    print("\n".join(lines))
    assert sent == REQUESTS and not faults, f"{len(faults)} faults, the first: {faults[:3]}"
    assert not opened.outside(*allowed_folders(gallery_environment))
    assert any(name.endswith(".tif") for name in opened.files), "maps were made"
    # Requests that can be answered are among them, and most of the odd ones are told what is wrong.
    assert counts[200, "image/png"] > sent / 50 and sum(number for (status, _), number in counts.items() if status == 400) > sent / 4


def test_the_watch_sees_what_is_opened(tmp_path):
    outside = Path(tempfile.gettempdir()) / "ceiba-watched.txt"
    with fuzzing.Opened.watching() as opened:
        outside.write_text("seen")
    outside.unlink()
    assert opened.outside(tmp_path) == [str(outside)]
