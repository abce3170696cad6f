"""A crowd on the whole server: 200 people, one thing each every 10 s, then the same with one who asks as fast as possible.

The server is one process with the limits that it has by default, behind a proxy that it trusts, on loopback. Both sides share
the machine's cores: the client is kept light, and its share of a core is told.
"""

import asyncio
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "react2eo")]
from crowd import Answers, crowd, tile_at  # noqa: E402

PEOPLE = int(os.environ.get("CEIBA_CROWD", "200"))
SECONDS = float(os.environ.get("CEIBA_CROWD_SECONDS", "60"))
TILE_M = 7680
FLOODER = "203.0.113.7"
RSS_AT_S = (10, 30, 60)
KINDS = ("tile", "page", "animation again", "new animation", "file", "reaction", "map of reactions")
P95_BAR_S = 0.25


def main(*, people: int = PEOPLE, seconds: float = SECONDS) -> dict:
    """Figures of both crowds, beside what is asked."""
    with serving() as (address, process):
        region = ask(f"{address}/api/products")["regions"][0]
        alone, alone_memory, own = measure(address, process, region, people=people, seconds=seconds, seed=1)
        west, south, east, north = region["bounds"]
        column, row = tile_at((west + east) / 2, (south + north) / 2, 15)
        path = region["layers"][0]["tiles"].format(period=region["layers"][0]["periods"][0], z=15, x=column, y=row)
        command = [sys.executable, str(TESTS / "react2eo" / "crowd.py"), address, path, str(seconds), FLOODER]
        flood = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        beside, beside_memory, _ = measure(address, process, region, people=people, seconds=seconds, seed=2)
        flooded = json.loads(flood.communicate(timeout=60)[0])
    return {
        f"{people} people for {seconds:.0f} s": describe(alone, alone_memory, seconds) | {"client's share of a core": own},
        f"{people} people for {seconds:.0f} s beside one who floods": describe(beside, beside_memory, seconds)
        | {"answers to who floods, by status": dict(sorted(flooded["statuses"].items())), "its errors": len(flooded["wrong"])},
        "asked": {"errors": 0, "tiles, 95 % [ms]": P95_BAR_S * 1000, "who floods": "429, and harms nobody"},
    }


def measure(
    address: str, process: subprocess.Popen, region: dict, *, people: int, seconds: float, seed: int
) -> tuple[Answers, dict, float]:
    """Answers to a crowd, memory of the server at some moments [MiB], and the client's own share of a core."""
    memory: dict[str, float] = {}
    moments = [seconds * at / RSS_AT_S[-1] for at in RSS_AT_S]

    def watch(second: float) -> None:
        for moment in moments:
            if second >= moment - 0.5:
                memory.setdefault(f"memory after {moment:.0f} s [MiB]", read_rss_mib(process.pid))

    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    answers = asyncio.run(crowd(address, region, people=people, seconds=seconds, seed=seed, watch=watch))
    after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return answers, memory, used / (time.perf_counter() - start)


def describe(answers: Answers, memory: dict, seconds: float) -> dict:
    """Figures of a crowd."""
    times = {
        f"{kind}, {share:.0%} [ms]": answers.quantile(kind, share) * 1000
        for kind in KINDS
        for share in (0.5, 0.95)
        if answers.seconds[kind]
    }
    return {
        "requests": sum(answers.statuses.values()),
        "errors": len(answers.wrong),
        "what went wrong": ", ".join(f"{count} x {what}" for what, count in Counter(answers.wrong).most_common(5)) or "nothing",
        "tiles a second": len(answers.seconds["tile"]) / seconds,
        **times,
        **memory,
    }


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen]]:
    """The real server on a store of its own; gives its address and process."""
    from gallery import write_gallery

    with tempfile.TemporaryDirectory(prefix="ceiba-load-") as folder:
        Path(folder).chmod(0o755)
        settings = {"CEIBA_STORE": f"{folder}/store", "CEIBA_LOCAL": "", "CEIBA_DB_URL": "", "CEIBA_TRUSTED_PROXIES": "127.0.0.1"}
        os.environ |= settings
        write_gallery(Path(folder) / "store", tile_m=TILE_M)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "ceiba.cli", "serve", "--port", str(port)]
        process = subprocess.Popen(command, env=os.environ | {"CEIBA_LIMITS": ""})
        address = f"http://127.0.0.1:{port}"
        try:
            wait_for(f"{address}/health", process)
            yield address, process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(address: str, process: subprocess.Popen, *, patience_s: float = 180) -> None:
    """Wait until the server answers; raises ``RuntimeError`` where it ends or does not."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and process.poll() is None:
        try:
            ask(address)
            return
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"the server does not answer at {address} (exit code {process.poll()})")


def ask(address: str) -> dict:
    """The JSON of an address."""
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.loads(answer.read())


def read_rss_mib(pid: int) -> float:
    """Resident memory of a process [MiB]."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    print(json.dumps(main(), indent=1))
