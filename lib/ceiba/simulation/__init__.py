"""A small country made by the computer, always called simulated, where the truth behind every map and sound
is known.
"""

from ceiba.simulation.area import write_area

__all__ = ["write_area"]
