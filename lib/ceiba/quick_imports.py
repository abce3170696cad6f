"""Two slow imports of the data cube put off: every notebook kernel pays for them, hundreds of times in a national run."""

import functools
import sys
from importlib.metadata import entry_points

# jsonschema imports this optional grammar (1.3 s of CPU) for a format that no dataset document uses; None makes it absent.
sys.modules.setdefault("rfc3987_syntax", None)

from datacube.drivers import indexes  # noqa: E402 - after the line above on purpose
from datacube.drivers._tools import singleton_setup  # noqa: E402


class IndexDriversOnDemand(indexes.IndexDriverCache):
    """The cube's index drivers by name, each imported when it is asked for: PostGIS alone costs 2 s of CPU."""

    def __init__(self):
        self._entries = {entry.name: entry for entry in entry_points(group="datacube.plugins.index")}

    @functools.cache  # noqa: B019 - one instance a process
    def __call__(self, name: str):
        """The driver ``name``, None where there is none."""
        return self._entries[name].load()() if name in self._entries else None

    def drivers(self) -> list[str]:
        """Names of all drivers that are installed."""
        return list(self._entries)


def defer_index_drivers() -> None:
    """Let datacube load index drivers on demand in this process."""
    singleton_setup(indexes.index_cache, "_instance", IndexDriversOnDemand)
