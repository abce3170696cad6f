"""Pages of a browser profile, with all that goes wrong on them and every address that they ask for."""

import time
from dataclasses import dataclass, field

PATIENCE_MS = 30_000


@dataclass
class Profile:
    """A profile of Chromium (cookies, storage, service worker), with a watch on its pages.

    Attributes
    ----------
    expected
        Texts of console errors that a test brings about itself.
    """

    context: object
    origin: str
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    requested: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def __post_init__(self):
        self.context.set_default_timeout(PATIENCE_MS)
        self.context.on("request", self._note_request)
        self.context.on("response", self._note_answer)
        self.context.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.context.on("weberror", lambda error: self.errors.append(str(error.error)))

    def open(self, address: str = "/"):
        """A new tab at an address of the server."""
        page = self.context.new_page()
        page.goto(address)
        return page

    def verify(self) -> None:
        """No error, nothing that was not found, and no request that left the server."""
        unexpected = [text for text in self.errors if not any(known in text for known in self.expected)]
        assert unexpected == []
        assert self.outside == []
        assert self.failed == []

    def forget(self) -> None:
        """Forget the errors of what a test did on purpose."""
        self.errors.clear()
        self.failed.clear()

    def _note_request(self, request) -> None:
        self.requested.append(request.url)
        if not request.url.startswith((self.origin, "data:", "blob:")):
            self.outside.append(request.url)

    def _note_answer(self, answer) -> None:
        if answer.status >= 400:
            self.failed.append(f"{answer.status} {answer.url}")


def wait_until(page, expression: str, argument: object = None, *, patience_s: float = PATIENCE_MS / 1000) -> object:
    """Wait until a function of the page, which may be asynchronous, gives something true; returns that."""
    deadline = time.monotonic() + patience_s
    while not (value := page.evaluate(expression, argument)):
        assert time.monotonic() < deadline, f"not true within {patience_s:g} s: {expression}"
        page.wait_for_timeout(50)
    return value


def wait_for_worker(page) -> None:
    """Wait until the service worker has this page and has kept what it saw."""
    page.wait_for_function("() => navigator.serviceWorker.controller !== null")
    page.evaluate("navigator.serviceWorker.ready.then(() => undefined)")
