"""A small driver of Debian's Firefox by WebDriver BiDi (W3C): what the journey needs, and no more.

Playwright drives a Firefox of its own build only, and Debian has no geckodriver; Firefox itself speaks BiDi.
"""

import base64
import itertools
import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

FIREFOX = Path(shutil.which("firefox-esr") or "/usr/bin/firefox-esr")
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.enabled": False,
    "browser.aboutConfig.showWarning": False,
    "browser.contentblocking.introCount": 99,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#none",
    "toolkit.telemetry.enabled": False,
    # Files are saved without a question.
    "browser.download.folderList": 2,
    "browser.download.useDownloadDir": True,
    "browser.download.alwaysOpenPanel": False,
}
START_S = 60
ANSWER_S = 60


class BidiError(Exception):
    """Firefox refused a command, or a script failed."""


class Page:
    """One tab of a running Firefox."""

    def __init__(self, connection: ClientConnection):
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[dict] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["network.beforeRequestSent", "log.entryAdded"])
        self.context = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **parameters: object) -> dict:
        """Result of a command; what happens meanwhile goes to ``events``."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + ANSWER_S
        while True:
            message = json.loads(self._connection.recv(timeout=max(deadline - time.monotonic(), 0.1)))
            if message.get("id") == number:
                break
            if message.get("type") == "event":
                self.events.append(message)
        if message["type"] == "error":
            raise BidiError(f"{method}: {message['error']}: {message['message']}")
        return message["result"]

    def set_viewport(self, width: int, height: int) -> None:
        """Size of the page [CSS px]."""
        self.call("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def goto(self, address: str) -> None:
        """Open an address and wait until it is loaded."""
        self.call("browsingContext.navigate", context=self.context, url=address, wait="complete")

    def reload(self) -> None:
        """Load the page again."""
        self.call("browsingContext.reload", context=self.context, wait="complete")

    def set_offline(self, offline: bool) -> None:
        """Take the network away from the tab, or give it back."""
        conditions = {"type": "offline"} if offline else None
        self.call("emulation.setNetworkConditions", networkConditions=conditions, contexts=[self.context])

    def evaluate(self, expression: str) -> object:
        """Value of an expression, or of what its promise gives, by way of JSON."""
        wrapped = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        result = self.call(
            "script.evaluate", expression=wrapped, target={"context": self.context}, awaitPromise=True, userActivation=False
        )
        if result["type"] == "exception":
            raise BidiError(f"{expression[:200]}: {result['exceptionDetails']['text']}")
        return json.loads(result["result"]["value"])

    def wait_for(self, expression: str, *, patience_s: float = 30) -> None:
        """Wait until an expression, or what its promise gives, is true."""
        deadline = time.monotonic() + patience_s
        while not self.evaluate(f"Promise.resolve({expression}).then(Boolean)"):
            if time.monotonic() > deadline:
                raise BidiError(f"not true within {patience_s:g} s: {expression}")
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """A real click in the middle of an element, which must be what lies on top there."""
        self.wait_for(f"document.querySelector({json.dumps(selector)})?.checkVisibility()")
        place = self.evaluate(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{ block: "nearest", inline: "nearest", behavior: "instant" }});
                const box = element.getBoundingClientRect();
                const [x, y] = [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
                const top = document.elementFromPoint(x, y);
                const reached = top && (element.contains(top) || top.contains(element));
                return {{ x, y, top: reached ? "" : top?.outerHTML.slice(0, 120) ?? "nothing" }};
            }})()"""
        )
        if place["top"]:
            raise BidiError(f"{selector} cannot be clicked: {place['top']} lies on top")
        steps = [self._move(place["x"], place["y"]), {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._perform("pointer", steps)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press at one point of the page, move to another, and let go."""
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        moves = [self._move(*point) | {"duration": 60} for point in (middle, end)]
        pause = {"type": "pause", "duration": 120}
        steps = [self._move(*start), {"type": "pointerDown", "button": 0}, *moves, pause, {"type": "pointerUp", "button": 0}]
        self._perform("pointer", steps)

    def press(self, *keys: str) -> None:
        """Press and release keys, as W3C WebDriver writes them ("\\ue004" is Tab)."""
        self._perform("key", [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")])

    def screenshot(self) -> bytes:
        """PNG of what the window shows."""
        return base64.b64decode(self.call("browsingContext.captureScreenshot", context=self.context)["data"])

    def addresses(self) -> list[str]:
        """Addresses of all requests so far."""
        self.evaluate("1")  # takes in what has arrived meanwhile
        return [each["params"]["request"]["url"] for each in self.events if each["method"] == "network.beforeRequestSent"]

    def errors(self) -> list[str]:
        """Errors of the page's scripts so far."""
        self.evaluate("1")
        logged = [each["params"] for each in self.events if each["method"] == "log.entryAdded"]
        return [each.get("text") or "" for each in logged if each["level"] == "error"]

    def _move(self, x: float, y: float) -> dict:
        return {"type": "pointerMove", "x": round(x), "y": round(y)}

    def _perform(self, kind: str, steps: list[dict]) -> None:
        source = {"type": kind, "id": kind, "actions": steps}
        self.call("input.performActions", context=self.context, actions=[source])
        self.call("input.releaseActions", context=self.context)


@contextmanager
def open_firefox(downloads: Path) -> Iterator[Page]:
    """Firefox without a window and with an empty profile; files that pages offer are saved in ``downloads``."""
    with tempfile.TemporaryDirectory(prefix="ceiba-firefox-", ignore_cleanup_errors=True) as profile:
        preferences = PREFERENCES | {"browser.download.dir": str(downloads)}
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items()]
        (Path(profile) / "user.js").write_text("\n".join(lines), "utf-8")
        log = Path(profile) / "firefox.log"
        command = [str(FIREFOX), "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", profile, "about:blank"]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        try:
            with connect(f"{wait_for_address(process, log)}/session", max_size=None, open_timeout=START_S) as connection:
                yield Page(connection)
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_for_address(process: subprocess.Popen, log: Path) -> str:
    """Where Firefox listens, as it writes it when it is ready."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if found := re.search(r"WebDriver BiDi listening on (ws://[\d.]+:\d+)", log.read_text("utf-8", errors="replace")):
            return found.group(1)
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise BidiError(f"Firefox did not start: {log.read_text('utf-8', errors='replace')[-1000:]}")
