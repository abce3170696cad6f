"""Map layers of other servers, as ``catalogs/themes.yml`` lists them: where they are, whose they are, how often they may be asked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

import morecantile

from ceiba.errors import CatalogError

GRID = morecantile.tms.get("WebMercatorQuad")
KINDS = {"xyz": {"z", "x", "y", "key"}, "wms": {"key"}}
"""Kinds of servers, with the names that may stand in braces in their addresses."""
NEEDED = {"title", "kind", "address", "attribution", "terms", "per_day", "per_month"}
OPTIONAL = {"key", "parameters", "zooms", "bounds"}
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
TILE_PX = 256
WORLD = (-180.0, -85.06, 180.0, 85.06)
WMS_DEFAULTS = {"version": "1.1.1", "styles": "", "format": "image/png", "transparent": "TRUE", "srs": "EPSG:3857"}


@dataclass(frozen=True)
class ExternalLayer:
    """A layer of another server.

    Attributes
    ----------
    kind
        "xyz" or "wms".
    address
        Template of a tile's address, or the address of the service; ``{key}`` stands for the value of ``key``.
    attribution, terms
        Whose it is, and under which terms; shown wherever the layer is.
    per_day, per_month
        Requests to the server at most: days and months of UTC. What is kept here costs none.
    key
        Name of the environment variable that holds the key; empty where none is needed.
    parameters
        Further parameters of a WMS: layers, version, format and so on.
    zooms
        Lowest and highest zoom level.
    bounds
        West, south, east, north [degrees] outside of which the server has nothing.
    """

    name: str
    title: Mapping[str, str]
    kind: str
    address: str
    attribution: str
    terms: str
    per_day: int
    per_month: int
    key: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    zooms: tuple[int, int] = (0, 18)
    bounds: tuple[float, float, float, float] = WORLD

    def covers(self, z: int, x: int, y: int) -> bool:
        """Whether the server may have a tile."""
        if not self.zooms[0] <= z <= self.zooms[1] or not (0 <= x < 2**z and 0 <= y < 2**z):
            return False
        tile = GRID.bounds(x, y, z)
        west, south, east, north = self.bounds
        return tile.left < east and west < tile.right and tile.bottom < north and south < tile.top

    def tile_address(self, z: int, x: int, y: int, *, key: str = "") -> str:
        """Address of a tile on the server; it holds the key, so it must not be shown or logged."""
        secret = {"key": quote(key, safe="")}
        if self.kind == "xyz":
            return self.address.format(z=z, x=x, y=y, **secret)
        bounds = ",".join(f"{value:.6f}" for value in GRID.xy_bounds(x, y, z))
        query = WMS_DEFAULTS | dict(self.parameters) | {"service": "WMS", "request": "GetMap"}
        if query["version"] == "1.3.0":
            query["crs"] = query.pop("srs")
        query |= {"bbox": bounds, "width": str(TILE_PX), "height": str(TILE_PX)}
        return f"{self.address.format(**secret)}?{urlencode({name.upper(): value for name, value in query.items()})}"


def read_external(name: str, entry: Mapping, *, title: Mapping[str, str]) -> ExternalLayer:
    """Check an entry of a file of themes; raises :class:`CatalogError` that says what is wrong."""
    missing, unknown = sorted(NEEDED - set(entry)), sorted(set(entry) - NEEDED - OPTIONAL)
    if missing or unknown:
        raise CatalogError(f"external layer {name!r} lacks {', '.join(missing) or 'nothing'}; not known: {', '.join(unknown) or 'none'}")
    if entry["kind"] not in KINDS:
        raise CatalogError(f"external layer {name!r}: no kind {entry['kind']!r}; there are {', '.join(KINDS)}")
    _check_address(name, entry["kind"], entry["address"], keyed=bool(entry.get("key")))
    budget = entry["per_day"], entry["per_month"]
    if not all(isinstance(number, int) and number > 0 for number in budget):
        raise CatalogError(f"external layer {name!r}: per_day and per_month are {budget}; give whole numbers from 1 on")
    parameters = {key: str(value) for key, value in entry.get("parameters", {}).items()}
    if entry["kind"] == "wms" and "layers" not in parameters:
        raise CatalogError(f"external layer {name!r}: a wms needs parameters with layers")
    return ExternalLayer(
        name=name, title=title, kind=entry["kind"], address=entry["address"], attribution=str(entry["attribution"]),
        terms=str(entry["terms"]), per_day=budget[0], per_month=budget[1], key=entry.get("key", ""), parameters=parameters,
        zooms=tuple(map(int, entry.get("zooms", (0, 18)))), bounds=tuple(map(float, entry.get("bounds", WORLD))),
    )  # fmt: skip


def _check_address(name: str, kind: str, address: str, *, keyed: bool) -> None:
    parts = urlsplit(address)
    loopback = parts.scheme == "http" and parts.hostname in LOOPBACK
    if not (parts.scheme == "https" or loopback) or "@" in parts.netloc or "{" in parts.netloc or parts.fragment:
        raise CatalogError(f"external layer {name!r}: its address must begin with https:// and a host's name without a password")
    used = set(re.findall(r"{(.*?)}", address))
    if kind == "wms" and parts.query:
        raise CatalogError(f"external layer {name!r}: write what stands behind '?' under parameters")
    needed = KINDS[kind] - ({"key"} if not keyed else set())
    if used != needed:
        given, wanted = (", ".join(sorted(each)) or "nothing" for each in (used, needed))
        raise CatalogError(f"external layer {name!r}: its address has {given} in braces; needed: {wanted}")
