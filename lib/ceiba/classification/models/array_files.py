"""Arrays and facts in one file without pickle, byte for byte the same for the same content."""

import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from ceiba.errors import InputError

FACTS = "facts.json"
# What zipfile, NumPy and JSON raise on damaged content: a flipped bit may claim encryption (RuntimeError) or a huge array (MemoryError).
UNREADABLE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, KeyError, ValueError, OSError, EOFError, RuntimeError, MemoryError,
)  # fmt: skip


def to_bytes(arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> bytes:
    """A zip file of ``.npy`` arrays and one JSON document; names and order decide the bytes, the clock does not."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        text = json.dumps(dict(facts), sort_keys=True, ensure_ascii=False)
        archive.writestr(zipfile.ZipInfo(FACTS), text, zipfile.ZIP_DEFLATED)
        for name, array in arrays.items():
            part = io.BytesIO()
            np.lib.format.write_array(part, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), part.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def from_bytes(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Arrays and facts of :func:`to_bytes`; raises :class:`InputError` on anything else, and runs no code of the file."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            facts = json.loads(archive.read(FACTS).decode("utf-8"))
            arrays = {}
            for name in archive.namelist():
                if name.endswith(".npy"):
                    part = io.BytesIO(archive.read(name))
                    arrays[name.removesuffix(".npy")] = np.lib.format.read_array(part, allow_pickle=False)
    except UNREADABLE as error:
        raise InputError(f"these {len(content)} bytes are no model of Ceiba: {error}") from error
    if not isinstance(facts, dict):
        raise InputError("the facts of the model are no JSON object")
    return arrays, facts
