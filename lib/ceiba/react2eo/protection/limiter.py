"""How often a client may ask, and in which turn: allowances a minute, and fair turns at work that costs.

All of it lives in the memory of one process. With several worker processes each of them allows as much, so that a client may
ask as many times more often as there are workers; a limit that must hold for all of them together belongs into the proxy.
"""

import asyncio
import math
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable

from ceiba import labels
from ceiba.errors import CeibaError

MINUTE_S = 60.0
HEAVY = 120
"""Places of late from which on a client holds one at a time beside others: half a minute of a person's, a second of a flood."""
FORGET_S = 10.0
"""After so long only half of what a client had still counts against it [s]."""
CLIENTS = 20_000
"""Clients that are remembered; the one that was quiet for longest is forgotten first."""


class TokenBuckets:
    """A bucket of tokens for each client, full at first and refilled evenly, ``per_minute`` tokens a minute."""

    def __init__(self, per_minute: int, *, clients: int = CLIENTS, clock: Callable[[], float] = time.monotonic):
        self.per_minute, self.clients, self._clock = per_minute, clients, clock
        self._states: OrderedDict[Hashable, object] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> float:
        """Take a token; returns 0, or the seconds until there is one where there is none. Safe from any thread."""
        with self._lock:
            state, wait_s = self._spend(self._states.pop(key, None), self._clock())
            self._states[key] = state
            if len(self._states) > self.clients:
                self._states.popitem(last=False)
        return wait_s

    def _spend(self, state: tuple[float, float] | None, now: float) -> tuple[tuple[float, float], float]:
        rate = self.per_minute / MINUTE_S
        tokens, then = state or (float(self.per_minute), now)
        tokens = min(float(self.per_minute), tokens + (now - then) * rate)
        # A whole token less what rounding took from it is a whole one.
        if tokens < 1 - 1e-9:
            return (tokens, now), (1 - tokens) / rate
        return (tokens - 1, now), 0.0


class MinuteBuckets(TokenBuckets):
    """Buckets to which a token comes back a minute after it was taken: never more than so many in any minute."""

    def _spend(self, state: deque[float] | None, now: float) -> tuple[deque[float], float]:
        taken = state if state is not None else deque()
        while taken and taken[0] <= now - MINUTE_S:
            taken.popleft()
        if len(taken) >= self.per_minute:
            return taken, taken[0] + MINUTE_S - now
        taken.append(now)
        return taken, 0.0


class TooManyError(CeibaError):
    """A client asked too often; ``wait_s`` is how long it should wait [s]."""

    def __init__(self, wait_s: float):
        self.wait_s = max(1, math.ceil(wait_s))
        super().__init__(labels.both("react2eo.too_many").format(seconds=self.wait_s))


class CrowdedError(Exception):
    """No turn for a client; ``own`` where its own requests fill its queue, else because of everybody's."""

    def __init__(self, *, own: bool):
        super().__init__("a client's own queue is full" if own else "too much is being asked for by all")
        self.own = own


class Turns:
    """Places at work of which only so much may go on at once; those who wait get in client by client, each in turn.

    Who is alone may hold all places. Beside others one holds a few. After having had :data:`HEAVY` of late it is a single one, and
    everybody else goes first: however much a client asks for, it gets what nobody else needs.

    Parameters
    ----------
    at_once, each
        Places, and how many of them one client may hold beside others.
    waiting_each, waiting
        How many may wait of one client, and of all.
    patience_s
        How long one waits [s].
    """

    def __init__(self, at_once: int, *, each: int, waiting_each: int, waiting: int, patience_s: float):
        self.each, self.waiting_each, self.waiting, self.patience_s = each, waiting_each, waiting, patience_s
        self.at_once = self._free = at_once
        self._held: Counter[Hashable] = Counter()
        self._queues: dict[Hashable, deque[asyncio.Future]] = {}
        self._count = 0
        self._served: Counter[Hashable] = Counter()
        self._since_s = time.monotonic()

    @property
    def crowded(self) -> bool:
        """Whether somebody waits for others, and not for places of one's own."""
        return any(self._held[key] < self._most(key) for key in self._queues)

    async def enter(self, key: Hashable) -> None:
        """Wait for a place, to be given back by :meth:`leave`; raises :class:`CrowdedError`."""
        if self._free > 0 and self._may_take(key):
            self._take(key)
            return
        queue = self._queues.get(key)
        if queue is not None and len(queue) >= self.waiting_each:
            raise CrowdedError(own=True)
        if self._count >= self.waiting:
            raise CrowdedError(own=False)
        place = asyncio.get_running_loop().create_future()
        self._queues.setdefault(key, deque()).append(place)
        self._count += 1
        try:
            async with asyncio.timeout(self.patience_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave(key)
            else:
                self._withdraw(key, place)
            if isinstance(error, TimeoutError):
                raise CrowdedError(own=False) from error
            raise

    def leave(self, key: Hashable) -> None:
        """Give a place back; it goes to the client whose turn it is."""
        self._free += 1
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        while self._free > 0:
            able = [each for each in self._queues if self._may_take(each)]
            if not able:
                return
            # A dictionary keeps its order: the first one has waited for longest since its last turn.
            chosen = min(able, key=lambda each: self._served[each] > HEAVY)
            queue = self._queues.pop(chosen)
            place = queue.popleft()
            self._count -= 1
            if queue:
                self._queues[chosen] = queue
            if not place.done():
                self._take(chosen)
                place.set_result(None)

    def _may_take(self, key: Hashable) -> bool:
        held = self._held[key]
        alone = self.at_once - self._free == held and not any(each != key for each in self._queues)
        return alone or held < self._most(key)

    def _most(self, key: Hashable) -> int:
        return 1 if self._served[key] > HEAVY else self.each

    def _take(self, key: Hashable) -> None:
        self._free -= 1
        self._held[key] += 1
        now = time.monotonic()
        if now - self._since_s > FORGET_S or len(self._served) > CLIENTS:
            self._since_s = now
            self._served = Counter({each: count // 2 for each, count in self._served.items() if count > 1})
        self._served[key] += 1

    def _withdraw(self, key: Hashable, place: asyncio.Future) -> None:
        queue = self._queues.get(key)
        if queue is not None and place in queue:
            queue.remove(place)
            self._count -= 1
            if not queue:
                del self._queues[key]
