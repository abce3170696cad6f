"""The features of a recipe for a whole tile, from scenes that are read block by block."""

import xarray as xr
from odc.geo.xr import xr_coords

from ceiba.ard.stack_blocks import StackBlock
from ceiba.ard.stacks import BLOCK_BYTES, SceneStack
from ceiba.classification.features.recipes import Recipe
from ceiba.errors import InputError
from ceiba.mosaics.streaming import reduce_blocks_of_stack

NEAR = 0.01  # pixels by which the coordinates of a block may differ from those of the whole


def features_of_stack(
    stack: SceneStack, recipe: Recipe, terrain: xr.Dataset | None = None, *, threads: int = 1
) -> xr.Dataset:
    """The features of every pixel; a sample of :func:`ceiba.classification.samples.scene_samples.extract_from_stack` has the same.

    Parameters
    ----------
    stack
        Scenes of a tile and period with the bands of the recipe; what is not clear in them counts as no data.
    recipe
        What to compute.
    terrain
        Its layers on the grid of the stack, dims ``(y, x)``, as
        :func:`ceiba.classification.features.terrain.describe_terrain` makes them, where it needs any.
    threads
        Blocks that are read and computed at a time; each holds its part of all dates, and no more is in memory.

    Returns
    -------
    xr.Dataset
        One float32 variable a feature, dims ``(y, x)``; lazy where it is larger than 100 MB.

    Raises
    ------
    InputError
        Where the stack lacks a band, or the terrain is missing or on another grid.
    """
    missing = [name for name in recipe.inputs if name not in stack.measurements]
    if missing:
        raise InputError(f"the scenes were opened without {', '.join(missing)}, which recipe {recipe.name} needs")
    if terrain is not None and terrain.odc.geobox != stack.geobox:
        raise InputError(f"the terrain lies on another grid than the scenes: {terrain.odc.geobox} and {stack.geobox}")
    near = NEAR * abs(stack.geobox.affine.a)
    ground = terrain[list(recipe.ground)] if terrain is not None and recipe.ground else None

    def compute(block: StackBlock) -> xr.Dataset:
        coords = dict(xr_coords(block.geobox))
        bands = zip(block.measurements, block.reflectance(), strict=True)
        scenes = xr.Dataset({name: (("time", "y", "x"), values) for name, values in bands}, coords | {"time": block.times})
        below = None
        if ground is not None:
            place = {axis: scenes[axis] for axis in ("y", "x")}
            below = ground.sel(place, method="nearest", tolerance=near).assign_coords(place)
        return recipe.compute(scenes[list(recipe.inputs)], below)

    # twice the memory of the numbers as stored for reflectance, and as much again for what is made of it
    return reduce_blocks_of_stack(stack, compute, threads=threads, block_bytes=BLOCK_BYTES // 3)
