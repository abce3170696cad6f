"""Which classes of a legend are crops."""

from collections.abc import Iterable

from ceiba.crosswalks import list_crosswalks, load_crosswalk
from ceiba.errors import InputError
from ceiba.legends import Legend, load_legend

COMMON = "ipcc_6"
CROPLAND = "Cropland"


def crop_codes(legend: Legend, names: Iterable[str] = ()) -> list[int]:
    """Codes of the crop classes of a legend.

    Parameters
    ----------
    legend
        The legend.
    names
        Names of its crop classes, Spanish or English; where none is given, those that its crosswalk calls cropland in the land-use
        categories of the IPCC.

    Raises
    ------
    LegendError
        Where a name is no class.
    InputError
        Where none is given and the legend has no such crosswalk.
    """
    given = list(names)
    if given:
        return [legend.code(name) for name in given]
    if f"{legend.name}__{COMMON}" not in list_crosswalks():
        raise InputError(f"legend {legend.name} has no crosswalk to {COMMON}: name its crop classes")
    walk, cropland = load_crosswalk(legend.name, COMMON), str(load_legend(COMMON).code(CROPLAND))
    return [int(link.from_code) for link in walk.links if link.to_code == cropland]
