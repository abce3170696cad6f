"""Servers on loopback for the tests: a file server that fails on demand, and a STAC API over generated scenes."""

import hashlib
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from rasterio.io import MemoryFile

PATIENCE = {"timeout_s": 0.6, "attempts": 3, "base_delay_s": 0.02, "max_delay_s": 0.1}
STALL_S = 1.5
ASSETS = {
    "blue": "B02_10m", "green": "B03_10m", "red": "B04_10m", "nir": "B08_10m", "quality": "SCL_20m",
    "green_20m": "B03_20m", "red_20m": "B04_20m", "nir_narrow": "B8A_20m", "swir_1": "B11_20m", "quality_20m": "SCL_20m",
}  # fmt: skip
COLLECTION = "sentinel-2-l2a"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"


class FaultyServer:
    """Serves a folder with parts of files (RFC 9110, range requests), and fails as it is told, once an entry of ``fail``.

    Faults by the end of a path: "503", "404", "403", "stall" (no answer for a while), "half" (the connection breaks after
    half of the body), "cut" (half a body that says it is whole), "flip" (a byte in the middle is another one).

    It is a process of its own: GDAL holds Python's lock while it waits for an answer.
    """

    def __init__(self, folder: Path):
        command = [sys.executable, __file__, str(folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def fail(self, end: str, *kinds: str) -> None:
        """Fail the next answers for paths that end so, one by one."""
        self._tell({"fail": [end, list(kinds)]})

    def set(self, **state) -> None:
        """Change ``parts`` (whether parts of files are given), ``etags`` or ``token`` (what a query must hold)."""
        self._tell({"set": state})

    @property
    def gets(self) -> Counter:
        """Requests by path."""
        return Counter(self._tell({})["gets"])

    @property
    def sent_bytes(self) -> Counter:
        """Bytes of bodies sent by path."""
        return Counter(self._tell({})["sent_bytes"])

    @property
    def tokens_given(self) -> int:
        """Number of tokens."""
        return self._tell({})["tokens_given"]

    def _tell(self, message: dict) -> dict:
        request = urllib.request.Request(self.url + "/_control", data=json.dumps(message).encode())  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait(10)
        self._process.stdout.close()


class _State:
    def __init__(self, folder: Path):
        self.folder, self.parts, self.etags, self.token, self.tokens_given = folder, True, True, "", 0
        self.faults: dict[str, list[str]] = {}
        self.gets: Counter = Counter()
        self.sent_bytes: Counter = Counter()

    def next_fault(self, path: str) -> str:
        for end, kinds in self.faults.items():
            if path.endswith(end) and kinds:
                return kinds.pop(0)
        return ""


class _Handler(BaseHTTPRequestHandler):
    owner: _State
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_HEAD(self):  # noqa: N802 - the name that http.server calls
        self.do_GET()

    def do_POST(self):  # noqa: N802
        owner = self.owner
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "fail" in message:
            end, kinds = message["fail"]
            owner.faults.setdefault(end, []).extend(kinds)
        for name, value in message.get("set", {}).items():
            setattr(owner, name, value)
        told = {"gets": owner.gets, "sent_bytes": owner.sent_bytes, "tokens_given": owner.tokens_given}
        self._send(200, json.dumps(told).encode(), {})

    def do_GET(self):  # noqa: N802
        owner = self.owner
        path, _, query = self.path.partition("?")
        if path.startswith("/token/"):
            owner.tokens_given += 1
            body = {"token": f"sig={owner.token}", "msft:expiry": "2999-01-01T00:00:00Z"}
            return self._send(200, json.dumps(body).encode(), {})
        owner.gets[path] += 1
        fault = owner.next_fault(path) if self.command == "GET" else ""
        if fault == "stall":
            time.sleep(STALL_S)
            self.close_connection = True
            return None
        if fault.isdigit():
            return self._send(int(fault), b"", {})
        if owner.token and f"sig={owner.token}" not in query:
            return self._send(403, b"", {})
        file = owner.folder / path.lstrip("/")
        if not file.is_file():
            return self._send(404, b"", {})
        return self._send_file(path, file.read_bytes(), fault)

    def _send_file(self, path: str, content: bytes, fault: str):
        owner = self.owner
        etag = f'"{hashlib.md5(content).hexdigest()}"'  # noqa: S324 - a mark, no secret
        headers = {"ETag": etag} if owner.etags else {}
        asked = self.headers.get("Range", "") if owner.parts else ""
        if self.headers.get("If-Range", etag) != etag:
            asked = ""
        status, body = 200, content
        if asked:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            first, last = int(first), min(int(last or len(content) - 1), len(content) - 1)
            if first >= len(content):
                return self._send(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            status, body = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        if owner.parts:
            headers["Accept-Ranges"] = "bytes"
        if fault == "flip":
            middle = len(body) // 2
            body = body[:middle] + bytes([body[middle] ^ 0xFF]) + body[middle + 1 :]
        if fault == "cut":
            body = body[: len(body) // 2]
            headers.pop("Content-Range", None)
            status = 200
        owner.sent_bytes[path] += len(body) // 2 if fault == "half" else len(body)
        return self._send(status, body, headers, break_after=len(body) // 2 if fault == "half" else None)

    def _send(self, status: int, body: bytes, headers: dict, break_after: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body if break_after is None else body[:break_after])
        if break_after is not None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)


def write_cog(path: Path, values: np.ndarray, *, crs: str, transform: Affine, driver: str = "COG", nodata=0) -> None:
    """Write a band as Cloud-Optimized GeoTIFF, or with another driver."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with MemoryFile() as memory:
        with memory.open(
            driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype=values.dtype, nodata=nodata, crs=crs,
            transform=transform,
        ) as file:  # fmt: skip
            file.write(values, 1)
        options = {"blocksize": 128, "compress": "deflate"} if driver == "COG" else {}
        rasterio.shutil.copy(memory.name, path, driver=driver, **options)


def make_item(name: str, time: str, url: str, folder: Path, footprint: list, *, cloud_cover: float = 20.0) -> dict:
    """A STAC item of the COGs in ``folder``/``name``, with sizes and SHA-256 as the file extension has them."""
    assets = {}
    for key in sorted(set(ASSETS.values())):
        content = (folder / name / f"{key}.tif").read_bytes()
        assets[key] = {
            "href": f"{url}/{name}/{key}.tif", "type": COG_TYPE, "file:size": len(content),
            "file:checksum": "1220" + hashlib.sha256(content).hexdigest(),
        }  # fmt: skip
    xs, ys = [x for x, _ in footprint], [y for _, y in footprint]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": COLLECTION, "links": [],
        "geometry": {"type": "Polygon", "coordinates": [footprint]}, "bbox": [min(xs), min(ys), max(xs), max(ys)],
        "properties": {
            "datetime": time, "platform": "sentinel-2a", "eo:cloud_cover": cloud_cover, "grid:code": "MGRS-16QBH",
            "s2:processing_baseline": "02.11", "updated": "2020-01-01T00:00:00Z", "proj:code": "EPSG:6372",
        },
        "assets": assets,
    }  # fmt: skip


@contextmanager
def serve_stac(items: list[dict], folder: Path):
    """Address of a STAC API (rustac, memory) over the items; ends with the ``with``."""
    program = Path(sys.executable).with_name("rustac")
    program = program if program.exists() else shutil.which("rustac")
    if not program:
        pytest.skip("rustac, which serves a STAC API, is not installed: pip install rustac")
    collection = {
        "type": "Collection", "stac_version": "1.0.0", "id": COLLECTION, "description": "simulated", "license": "Apache-2.0",
        "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}, "links": [],
    }  # fmt: skip
    (folder / "collection.json").write_text(json.dumps(collection))
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(program), "serve", "--addr", f"127.0.0.1:{port}", "collection.json", "items.json"]
    server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/", server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait(10)


def _wait_for(url: str, server: subprocess.Popen) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - loopback
            return
        except OSError:
            if server.poll() is not None:
                break
            time.sleep(0.05)
    pytest.fail(f"no STAC API at {url}; rustac ended with {server.poll()}")




if __name__ == "__main__":
    handler = type("Handler", (_Handler,), {"owner": _State(Path(sys.argv[1]))})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    print(server.server_port, flush=True)  # noqa: T201 - how the caller learns of it
    server.serve_forever()
