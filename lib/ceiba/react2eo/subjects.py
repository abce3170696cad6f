"""What a reaction is about: the years of a layer around a place, told by a cell and never by a point."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h3

from ceiba.errors import InputError

if TYPE_CHECKING:  # for people and editors: votes are written without the data cube
    from ceiba.react2eo.layers import Snapshot

FINEST = 7
"""Finest resolution of H3 that is ever kept: cells of 5 km2 on average."""
COARSEST = 2
CELLS_ACROSS = 4
"""A view is told by the cell at its middle, of which about so many lie side by side on it; finer ones would only seem exact."""
DEGREE_KM = 111.2

Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Subject:
    """Years of a layer around a place.

    Attributes
    ----------
    region, layer
        Names.
    first, last
        Texts of the first and the last period shown, "2018".
    cell
        H3 cell at the middle of what was on the screen.
    """

    region: str
    layer: str
    first: str
    last: str
    cell: str

    @property
    def key(self) -> str:
        """Id of the subject in addresses: 16 hexadecimal digits of SHA-256 over its parts."""
        return hashlib.sha256("\n".join((self.region, self.layer, self.first, self.last, self.cell)).encode()).hexdigest()[:16]


def find_subject(snapshot: "Snapshot", *, region: str, layer: str, first: str, last: str, bounds: Sequence[float]) -> Subject:
    """The subject of a view; raises :class:`InputError` where region, layer, a period or the bounds do not exist.

    Parameters
    ----------
    first, last
        Texts of two periods of the layer, the first not after the last.
    bounds
        West, south, east, north of the screen [degrees, WGS 84].
    """
    shown = snapshot.find_layer(region, layer)
    if shown.find_period(last) < shown.find_period(first):
        raise InputError(f"periods {first} to {last}: give the earlier one first")
    return Subject(region, layer, first, last, find_cell(bounds))


def find_cell(bounds: Sequence[float]) -> str:
    """H3 cell at the middle of bounds (west, south, east, north [degrees]); raises :class:`InputError` on bounds that are none."""
    west, south, east, north = bounds
    if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
        raise InputError(f"bounds {list(bounds)}: give west, south, east, north in degrees, west below east and south below north")
    latitude, longitude = (south + north) / 2, (west + east) / 2
    width_km = (east - west) * DEGREE_KM * math.cos(math.radians(latitude))
    resolution = FINEST
    while resolution > COARSEST and 2 * h3.average_hexagon_edge_length(resolution, unit="km") * CELLS_ACROSS < width_km:
        resolution -= 1
    return h3.latlng_to_cell(latitude, longitude, resolution)
