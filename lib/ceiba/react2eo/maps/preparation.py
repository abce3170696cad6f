"""What is made before anybody asks: coarse rasters of large regions, and how composites are stretched."""

import logging
import os
import threading
import time
from pathlib import Path

from ceiba.errors import CeibaError
from ceiba.locks import exclusive_if_free
from ceiba.react2eo.layers import REFRESH_S, Snapshot, Snapshots
from ceiba.react2eo.maps.overviews import WANTED, coarse_folder, make_coarse, plan_all, remove_old
from ceiba.react2eo.maps.rendering import layer_limits

log = logging.getLogger(__name__)

TELL_S = 30.0
"""How often progress is logged [s]."""
NICENESS = 10


class Preparation:
    """Works in one thread of low priority beside the requests; where several processes serve a store, in one of them."""

    def __init__(self, snapshots: Snapshots):
        self._snapshots = snapshots
        self._failed: set[Path] = set()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, and go on for as long as the process lives."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="preparation", daemon=True)
            self._thread.start()

    def prepare(self, snapshot: Snapshot) -> int:
        """Make what a snapshot lacks, what somebody waits for first; returns how many coarse rasters were made.

        Stops early where there is a newer snapshot. Does nothing where another process is at it.
        """
        plan = plan_all(snapshot)
        folder = coarse_folder()
        if not plan and not folder.exists():
            return 0
        lock = folder / "lock"
        with exclusive_if_free(lock) as free:
            if not free:
                return 0
            removed = remove_old({*plan, lock})
            if removed:
                log.info("overviews: removed %d files of products that are no longer shown", removed)
            missing = {path: None for path in plan if path not in self._failed and not path.exists()}
            return self._make(plan, missing, snapshot)

    def _make(self, plan: dict, missing: dict[Path, None], snapshot: Snapshot) -> int:
        made, told_s = 0, time.monotonic()
        total = len(missing)
        if total:
            log.info("overviews: %d of %d are to be made", total, len(plan))
        while missing:
            path = WANTED.choose(set(missing)) or next(iter(missing))
            del missing[path]
            coarse, period = plan[path]
            try:
                make_coarse(coarse, period)
                made += 1
            except CeibaError:
                # The views that it is for stay slow or empty, all others do not depend on it.
                log.exception("overview of %s/%s %s was not made", coarse.layer.region.name, coarse.layer.name, period)
                self._failed.add(path)
            if not missing or time.monotonic() - told_s > TELL_S:
                told_s = time.monotonic()
                log.info("overviews: %d of %d made", made, total)
            if self._snapshots.current() is not snapshot:
                break
        return made

    def _run(self) -> None:
        # On Linux a thread has a priority of its own.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            try:
                snapshot = self._snapshots.current()
                self.prepare(snapshot)
                for layer in snapshot.layers():
                    if layer.kind == "composite":
                        layer_limits(layer)
            except CeibaError:
                log.exception("preparation failed; it is tried again in %.0f s", REFRESH_S)
            time.sleep(REFRESH_S)
