"""Raster files kept open between requests, with no handle ever used by two threads at once."""

import os
import threading
import time
import warnings
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import rasterio
from rasterio.errors import RasterioError
from rio_tiler.errors import NoOverviewWarning
from rio_tiler.io import Reader

from ceiba.errors import StoreError

EACH_AT_MOST = max(2, os.cpu_count() or 2)
"""Handles of one local file: each has decoded blocks of its own in GDAL's cache, and more of them than cores read no faster."""
REMOTE_AT_MOST = 8
"""Handles of one file in an object store, where reading is mostly waiting."""
AT_MOST = 256
"""Files that are kept open and not in use; the one that was idle longest is closed first."""
IDLE_S = 300.0
"""A file that nobody read for so long is closed, as are thereby those of layers that are no longer shown [s]."""
DESCRIBED = 20_000
SHRINK_MARGIN = 1.2
"""An overview is taken where its pixels are at most so many times wider than those asked for, as GDAL does."""


@dataclass(frozen=True)
class Shape:
    """What is known of a file without opening it again.

    Attributes
    ----------
    left, top
        Outer corner of the first pixel [units of the file's CRS].
    pixel
        Width and height of a pixel [units of the file's CRS].
    factors
        How many times coarser each of its overviews is, the finest first.
    """

    width: int
    height: int
    left: float
    top: float
    pixel: tuple[float, float]
    nodata: float | None
    factors: tuple[int, ...]

    def find_overview(self, shrink: float) -> int | None:
        """Number of the coarsest overview that is fine enough for pixels ``shrink`` times those of the file, None for the file."""
        fitting = [number for number, factor in enumerate(self.factors) if factor <= shrink * SHRINK_MARGIN]
        return fitting[-1] if fitting else None


@dataclass(frozen=True)
class _Idle:
    key: tuple[str, int | None]
    stamp: tuple
    reader: Reader
    since_s: float


class Readers:
    """Open files by path and overview.

    A thread takes an idle reader, opens another one, or waits where a file has as many as are worth while; no thread may borrow the
    same file twice at once. A file that was replaced is opened anew; what was read until then is the old file as a whole.
    """

    def __init__(self, *, at_most: int = AT_MOST, each_at_most: int = EACH_AT_MOST, idle_s: float = IDLE_S):
        self._at_most = at_most
        self._each_at_most = each_at_most
        self._idle_s = idle_s
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._in_use: Counter[tuple[str, int | None]] = Counter()
        self._idle: OrderedDict[int, _Idle] = OrderedDict()
        self._numbers: dict[tuple[str, int | None], list[int]] = {}
        self._shapes: OrderedDict[tuple[str, tuple], Shape] = OrderedDict()
        self._count = count()

    def __len__(self) -> int:
        """How many files are open and not in use."""
        return len(self._idle)

    @contextmanager
    def borrow(self, path: str, *, overview: int | None = None) -> Iterator[Reader]:
        """A reader of a file, or of one of its overviews (numbered from 0); raises :class:`StoreError` where it cannot be read."""
        key, stamp = (path, overview), _stamp(path)
        reader, sound = self._take(key, stamp), False
        try:
            reader = reader or _open(path, overview)
            yield reader
            sound = True
        except RasterioError as error:
            raise StoreError(f"{path} cannot be read: {error}; the product may have been removed or damaged") from error
        finally:
            if reader and not sound:
                _close(reader)
            self._give_back(key, _Idle(key, stamp, reader, time.monotonic()) if sound else None)

    def describe(self, path: str) -> Shape:
        """Size, place and overviews of a file; raises :class:`StoreError` where it cannot be read."""
        key = (path, _stamp(path))
        shape = self._shapes.get(key)
        if shape is None:
            with self.borrow(path) as reader:
                shape = _describe(reader.dataset)
            with self._lock:
                self._shapes[key] = shape
                while len(self._shapes) > DESCRIBED:
                    self._shapes.popitem(last=False)
        return shape

    def close(self) -> None:
        """Close what is not in use."""
        with self._lock:
            self._close_idle(lambda _: True)

    def _take(self, key: tuple, stamp: tuple) -> Reader | None:
        each_at_most = self._each_at_most if stamp else REMOTE_AT_MOST
        with self._returned:
            self._returned.wait_for(lambda: self._in_use[key] < each_at_most)
            self._in_use[key] += 1
            numbers = self._numbers.get(key, [])
            while numbers:
                # the one used last: its blocks are still in GDAL's cache
                idle = self._idle.pop(numbers.pop())
                if not numbers:
                    del self._numbers[key]
                if idle.stamp == stamp:
                    return idle.reader
                _close(idle.reader)
        return None

    def _give_back(self, key: tuple, idle: _Idle | None) -> None:
        with self._returned:
            self._in_use[key] -= 1
            if not self._in_use[key]:
                del self._in_use[key]
            self._returned.notify_all()
            if idle is None:
                return
            number = next(self._count)
            self._idle[number] = idle
            self._numbers.setdefault(idle.key, []).append(number)
            self._close_idle(lambda each: len(self._idle) > self._at_most or idle.since_s - each.since_s > self._idle_s)

    def _close_idle(self, condition) -> None:
        while self._idle:
            number, oldest = next(iter(self._idle.items()))
            if not condition(oldest):
                return
            del self._idle[number]
            numbers = self._numbers[oldest.key]
            numbers.remove(number)
            if not numbers:
                del self._numbers[oldest.key]
            _close(oldest.reader)


READERS = Readers()
"""Those of this process."""


def _stamp(path: str) -> tuple:
    # A product has a folder of its own that is never written again; only a local disk is worth the question.
    if path.startswith("/vsi"):
        return ()
    try:
        state = os.stat(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}; the product may have been removed") from error
    return state.st_ino, state.st_mtime_ns, state.st_size


def _open(path: str, overview: int | None) -> Reader:
    # A folder with thousands of files must not be listed for side files that products do not have.
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), warnings.catch_warnings():
        warnings.simplefilter("ignore", NoOverviewWarning)  # small files need none
        options = {} if overview is None else {"OVERVIEW_LEVEL": overview}
        return Reader(path, dataset=rasterio.open(path, **options))


def _close(reader: Reader) -> None:
    reader.dataset.close()


def _describe(dataset: rasterio.DatasetReader) -> Shape:
    transform = dataset.transform
    return Shape(
        dataset.width, dataset.height, transform.c, transform.f, (transform.a, -transform.e), dataset.nodata,
        tuple(dataset.overviews(1)),
    )  # fmt: skip
