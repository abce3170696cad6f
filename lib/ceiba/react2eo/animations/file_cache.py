"""Files that can be made again, kept by a name that says their content; the ones not asked for longest make room."""

import os
import threading
import uuid
from pathlib import Path

PART = ".part"


class FileCache:
    """A folder of bounded size, safe for several threads and processes.

    Parameters
    ----------
    folder
        Made where it is not there.
    max_bytes
        Size of all files together [bytes]; a single larger one is kept until the next comes.
    """

    def __init__(self, folder: Path, *, max_bytes: int):
        self._folder, self._max_bytes = folder, max_bytes
        self._lock = threading.Lock()

    def find(self, name: str) -> Path | None:
        """The file, which counts as asked for now, or None."""
        path = self._folder / name
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        return path

    def save(self, name: str, content: bytes) -> Path:
        """Write a file whole or not at all; older files go where there is no room."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        part = path.with_name(f"{uuid.uuid4().hex}{PART}")
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        self._make_room(path)
        return path

    def _make_room(self, newest: Path) -> None:
        with self._lock:
            files = []
            for entry in os.scandir(self._folder):
                try:
                    facts = entry.stat()
                except FileNotFoundError:  # another process made room too
                    continue
                files.append((facts.st_mtime_ns, facts.st_size, Path(entry.path)))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self._max_bytes:
                    break
                if path != newest and path.suffix != PART:
                    path.unlink(missing_ok=True)
                    total -= size
