"""Work that takes long: a few threads, a short queue, and each piece of work once however often it is asked for at one moment."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from ceiba.errors import CeibaError

RETRY_S = 5
"""What a client is told to wait where the queue is full [s]."""


class BusyError(CeibaError):
    """More work is waiting than will be done soon."""


class Workers:
    """Threads apart from those that answer requests, so that tiles are not kept waiting.

    Parameters
    ----------
    name
        What the work is called in errors.
    threads
        Pieces of work at one time.
    most
        Pieces of work running or waiting at most.
    """

    def __init__(self, name: str, *, threads: int = 2, most: int = 16):
        self._name, self._most = name, most
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.RLock()
        self._running: dict[object, Future] = {}

    async def run(self, key: object, work: Callable[[], object]) -> object:
        """Result of ``work``; who asks for the same ``key`` meanwhile gets the same result. Raises :class:`BusyError`."""
        # Shielded: who hangs up must not stop the work for the others.
        return await asyncio.shield(asyncio.wrap_future(self._submit(key, work)))

    def _submit(self, key: object, work: Callable[[], object]) -> Future:
        with self._lock:
            if key in self._running:
                return self._running[key]
            if len(self._running) >= self._most:
                raise BusyError(f"{self._name}: {self._most} are being made or waiting; try again in {RETRY_S} seconds")
            future = self._running[key] = self._pool.submit(work)
        future.add_done_callback(lambda _: self._forget(key))
        return future

    def _forget(self, key: object) -> None:
        with self._lock:
            self._running.pop(key, None)
