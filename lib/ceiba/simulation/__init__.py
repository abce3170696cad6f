"""A small country made by the computer, always called simulated: the truth behind every map and sound is known."""

from ceiba.simulation.area import write_area

__all__ = ["write_area"]

# Catalogue files that the simulation is made from: where one changes, the area is made anew.
CATALOG_FILES = (
    "legends/mexico_31.csv",
    "networks/simulated.yml",
    "simulation/bat_species.csv",
    "simulation/class_traits.csv",
    "simulation/endmember_spectra.csv",
    "simulation/reactions.yml",
)
