"""Recipes: named sets of features, computed pixel by pixel from scenes, so that a sample has what its pixel has in the map."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from ceiba.classification.features.ground import classes_of_ground, ground_as_given
from ceiba.classification.features.phenology import phenology
from ceiba.classification.features.pixel_blocks import PixelBlock
from ceiba.classification.features.radar import radar_statistics
from ceiba.classification.features.schemas import Feature, Part, find_part, part_groups, read_catalog
from ceiba.classification.features.spectra import geomedian_spectra, percentiles, seasonal_geomedians
from ceiba.classification.features.temporal_statistics import madmex_statistics
from ceiba.classification.features.terrain import terrain_with_direction
from ceiba.errors import CatalogError, InputError

STRIP_PX = 1 << 13  # pixels that are worked on at a time, so that what a part holds stays in the processor's cache
FUNCTIONS: Mapping[str, Callable[[PixelBlock, Part], np.ndarray]] = {
    function.__name__: function
    for function in (
        madmex_statistics, geomedian_spectra, seasonal_geomedians, percentiles, phenology, radar_statistics,
        terrain_with_direction, ground_as_given, classes_of_ground,
    )  # fmt: skip
}


@dataclass(frozen=True)
class Recipe:
    """A named set of features.

    Attributes
    ----------
    name
        In ``catalogs/recipes.yml``; several are joined by ``+``.
    title, source
        Language ("es", "en") to what people read; where it comes from.
    parts
        What computes the features.
    clear
        Scene product to the quality classes of the original's mask, as :class:`ceiba.ard.stacks.SceneStack` takes them; empty
        where the sensor's own apply.
    """

    name: str
    title: Mapping[str, str]
    source: str
    parts: tuple[Part, ...]
    clear: Mapping[str, tuple[str, ...]]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Bands of the scenes that it needs."""
        return tuple(dict.fromkeys(band for part in self.parts for band in part.inputs))

    @property
    def ground(self) -> tuple[str, ...]:
        """Layers of ``terrain`` that it needs."""
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.sources("ground")))

    @property
    def radar(self) -> tuple[str, ...]:
        """Polarizations of radar scenes that it needs."""
        return tuple(dict.fromkeys(layer for part in self.parts for layer in part.sources("radar")))

    @property
    def features(self) -> tuple[Feature, ...]:
        """The declared schema, in the order of the result."""
        return tuple(feature for part in self.parts for feature in part.features)

    def table(self) -> pd.DataFrame:
        """The schema as a table: ``feature``, ``units``, ``es``, ``en``, ``part``, one row a feature."""
        rows = [
            {"feature": feature.name, "units": feature.units, **feature.title, "part": part.name}
            for part in self.parts
            for feature in part.features
        ]
        return pd.DataFrame(rows)

    def compute(
        self, scenes: xr.Dataset | None, terrain: xr.Dataset | None = None, *, radar: xr.Dataset | None = None
    ) -> xr.Dataset:
        """The features of each pixel or sample, from its own observations only.

        Parameters
        ----------
        scenes
            :attr:`inputs` as surface reflectance [1], NaN where there is no clear observation, dims ``(time, y, x)`` or
            ``(time, sample)``. May be None for a recipe that needs none.
        terrain
            :attr:`ground`, dims ``(y, x)`` or ``(sample,)``, as :func:`ceiba.classification.features.terrain.describe_terrain`
            makes it for a map; what does not change, life zones for one, lies here too.
        radar
            :attr:`radar` as backscatter [dB], dims as ``scenes``, on dates of its own.

        Returns
        -------
        xr.Dataset
            One float32 variable a feature, in the order of :attr:`features`, dims ``(y, x)`` or ``(sample,)``, NaN where it is
            unknown. Lazy where the input is, chunk by chunk with all dates; else strip by strip, so that no more than the input
            and the result are in memory.

        Raises
        ------
        InputError
            Where a band or layer is missing, there is no date, or dims, shapes or coordinates differ.
        """
        table = self._gather(scenes, terrain, radar)
        place = tuple(
            str(dim) for dim in next(iter(table.data_vars.values())).dims if dim not in ("time", "radar_time")
        )
        if not table.chunks:
            return self._of_block(table, place)
        import dask.array

        table = table.chunk({dim: -1 for dim in ("time", "radar_time") if dim in table.dims})
        chunks = tuple(table.chunksizes.get(dim, (table.sizes[dim],)) for dim in place)
        shape = tuple(table.sizes[dim] for dim in place)
        coords = _coords_of_place(table)
        empty = dask.array.empty(shape, dtype=np.float32, chunks=chunks)
        template = self._dress({feature.name: (place, empty) for feature in self.features}, coords)
        return xr.map_blocks(self._of_block, table, kwargs={"place": place}, template=template)

    def _gather(self, scenes: xr.Dataset | None, terrain: xr.Dataset | None, radar: xr.Dataset | None) -> xr.Dataset:
        """All that is needed in one dataset, radar under names and dates of its own; raises :class:`InputError`."""
        found: dict[str, xr.DataArray] = {}
        for kind, given, wanted in (
            ("scenes", scenes, self.inputs),
            ("terrain", terrain, self.ground),
            ("radar", radar, self.radar),
        ):
            missing = [name for name in wanted if given is None or name not in given]
            if missing:
                exist = "nothing" if given is None else ", ".join(map(str, given.data_vars))
                raise InputError(f"recipe {self.name} needs {', '.join(missing)} of its {kind}; given: {exist}")
            for name in wanted:
                layer = given[name]
                if (kind != "terrain") != ("time" in layer.dims):
                    expected = "no dim time" if kind == "terrain" else "dims (time, y, x) or (time, sample)"
                    raise InputError(
                        f"{name!r} of the {kind} has dims {layer.dims}; recipe {self.name} needs {expected}"
                    )
                if kind != "terrain" and not layer.sizes["time"]:
                    raise InputError(f"{name!r} of the {kind} has no date; recipe {self.name} needs at least one")
                found[f"radar_{name}" if kind == "radar" else name] = (
                    layer.rename(time="radar_time") if kind == "radar" else layer
                )
        places = {
            str(name): tuple(dim for dim in layer.dims if "time" not in str(dim)) for name, layer in found.items()
        }
        if len(set(map(frozenset, places.values()))) > 1:
            raise InputError(f"recipe {self.name} needs all layers on the same dims; given: {places}")
        try:
            aligned = xr.align(*(layer.reset_coords(drop=True) for layer in found.values()), join="exact", copy=False)
        except ValueError as error:
            raise InputError(f"what recipe {self.name} was given is not on one grid: {error}") from error
        first = next(iter(places.values()))
        dated = [dim for dim in ("time", "radar_time") if any(dim in layer.dims for layer in found.values())]
        table = xr.Dataset(dict(zip(found, aligned, strict=True)))
        kept = _coords_of_place(next(iter(found.values())))
        return table.transpose(*dated, *first).assign_coords(kept)

    def _of_block(self, table: xr.Dataset, place: Sequence[str]) -> xr.Dataset:
        """The features of what is in memory."""
        shape = tuple(table.sizes[dim] for dim in place)
        flat = {
            str(name): layer.values.reshape(*layer.shape[: layer.ndim - len(place)], -1)
            for name, layer in table.items()
        }
        pixels = int(np.prod(shape))
        times = table["time"].values if "time" in table.dims else np.empty(0, "datetime64[ns]")
        result = np.empty((len(self.features), pixels), np.float32)
        for start in range(0, pixels, STRIP_PX):
            part = slice(start, min(start + STRIP_PX, pixels))
            block = PixelBlock(
                bands={name: np.asarray(flat[name][:, part], np.float32) for name in self.inputs},
                times=times,
                pixels=part.stop - part.start,
                ground={name: flat[name][part] for name in self.ground},
                radar={name: np.asarray(flat[f"radar_{name}"][:, part], np.float32) for name in self.radar},
            )
            row = 0
            for member in self.parts:
                values = FUNCTIONS[member.function](block.with_bands(member.bands), member)
                result[row : row + len(member.features), part] = values
                row += len(member.features)
        layers = {
            feature.name: (tuple(place), values.reshape(shape))
            for feature, values in zip(self.features, result, strict=True)
        }
        return self._dress(layers, _coords_of_place(table))

    def _dress(self, layers: Mapping[str, tuple], coords: Mapping[str, xr.DataArray]) -> xr.Dataset:
        features = xr.Dataset(layers, coords=coords, attrs={"recipe": self.name})
        grid = {"grid_mapping": "spatial_ref"} if "spatial_ref" in features.coords else {}
        for feature in self.features:
            features[feature.name].attrs = {
                "units": feature.units, "long_name": feature.title["en"], "nodata": np.nan, **grid,
            }  # fmt: skip
        return features


def load_recipe(name: str) -> Recipe:
    """A recipe of ``catalogs/recipes.yml`` by its name, or several joined by ``+``, as "ceiba_annual+terrain".

    "life_zones:LEGEND" takes the life zones of another legend than the catalogue's.

    Raises
    ------
    CatalogError
        Where there is no recipe of this name, or two of those joined give a feature of one name from different parts.
    """
    entries = [_find(single) for single in name.split("+")]
    found = tuple(find_part(part) for part in dict.fromkeys(part for _, entry in entries for part in entry["parts"]))
    features = [feature.name for part in found for feature in part.features]
    twice = sorted({feature for feature in features if features.count(feature) > 1})
    if twice:
        raise CatalogError(f"recipe {name!r} would hold features of one name twice: {', '.join(twice)}")
    unknown = [part.function for part in found if part.function not in FUNCTIONS]
    if unknown:
        raise CatalogError(f"recipe {name!r} names functions that are not there: {', '.join(unknown)}")
    title = {language: " + ".join(entry["title"][language] for _, entry in entries) for language in ("es", "en")}
    source = "; ".join(dict.fromkeys(entry["source"] for _, entry in entries))
    clear = {product: tuple(classes) for _, entry in entries for product, classes in entry.get("clear", {}).items()}
    return Recipe("+".join(dict.fromkeys(single for single, _ in entries)), title, source, found, clear)


def load_available(name: str, *, ground: Collection[str] = (), radar: bool = False) -> Recipe:
    """The recipe without those of its members that a place cannot have: "ceiba_annual+climate" becomes "ceiba_annual".

    The name of what is loaded says so.

    Parameters
    ----------
    name
        As of :func:`load_recipe`.
    ground
        Layers of the ground that the place has.
    radar
        Whether it has radar scenes.

    Raises
    ------
    CatalogError
        Where nothing is left, naming what is missing.
    """
    lacks = {}
    for member in name.split("+"):
        recipe = load_recipe(member)
        lacks[member] = [*(layer for layer in recipe.ground if layer not in ground), *(() if radar else recipe.radar)]
    members = [member for member, missing in lacks.items() if not missing]
    if not members:
        missing = ", ".join(dict.fromkeys(layer for layers in lacks.values() for layer in layers))
        raise CatalogError(f"nothing of recipe {name!r} is left without {missing}")
    return load_recipe("+".join(members))


def list_recipes() -> tuple[str, ...]:
    """Names of all recipes, without older names and without what can be joined."""
    return tuple(read_catalog()["recipes"])


def _find(name: str) -> tuple[str, Mapping]:
    recipes = read_catalog()["recipes"]
    plain, colon, legend = name.partition(":")
    for known, entry in recipes.items():
        if name == known or name in entry.get("also", ()):
            return known, entry
        if plain == known and legend and any("legend" in group for part in entry["parts"] for group in part_groups(part)):
            return name, {**entry, "parts": [f"{part}{colon}{legend}" for part in entry["parts"]]}
    raise CatalogError(f"there is no recipe {name!r}; catalogs/recipes.yml has {', '.join(recipes)}, which + joins")


def _coords_of_place(data: xr.Dataset | xr.DataArray) -> dict[str, xr.DataArray]:
    return {
        str(name): coord
        for name, coord in data.coords.items()
        if not {"time", "radar_time"} & {*map(str, coord.dims), str(name)}
    }
