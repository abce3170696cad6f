"""What a notebook holds in its hand: the task on one tile and period, with its inputs and its one write."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pandas as pd
import xarray as xr
from odc.geo.geobox import GeoBox

from ceiba import labels, store
from ceiba.catalog import find_source
from ceiba.errors import InputError, ParameterError, ProductError
from ceiba.grids import Area, Period, Tile
from ceiba.neighbors import neighbors_read, warn_of_missing
from ceiba.notebooks import read_parameters
from ceiba.plan import Snapshot, Unit, find_replaced, make_unit, map_years, select, take_snapshot, widened_inputs
from ceiba.products import ProductDefinition, eo3_document, period_times
from ceiba.rasters import write_cog
from ceiba.sources import Found

log = logging.getLogger(__name__)

Assets = Mapping[str, bytes | Path]
Data = xr.Dataset | pd.DataFrame | Assets | tuple[xr.Dataset, Assets]


def begin(notebook: str, **parameters: object) -> "Task":
    """Begin the work of a notebook on one tile and period.

    Parameters
    ----------
    notebook
        Own name, ``02_mosaics/01_make_geomedian``.
    parameters
        Every parameter of the notebook's parameters cell, by name.

    Raises
    ------
    ParameterError
        Where a parameter is unknown, missing or of the wrong type.
    InputError
        Where a required input has no data for the tile and period.
    """
    declared = read_parameters(notebook)
    missing = sorted(set(declared) - set(parameters))
    if missing:
        raise ParameterError(
            f"{notebook}: begin() was not given {', '.join(missing)}; give every parameter of the cell by name"
        )
    return Task(make_unit(notebook, parameters))


class Task:
    """One notebook on one tile and period: opens inputs by catalogue name and writes the products.

    The inputs are looked up once, at the start: the ids of the products stand for exactly the data that were read.
    """

    def __init__(self, unit: Unit):
        self.unit = unit
        self.snapshot: Snapshot = take_snapshot(unit)
        if self.snapshot.missing:
            raise InputError(f"{unit}: {'; '.join(self.snapshot.missing)}")
        self._rules = {rule.name: rule for definition in unit.products for rule in definition.inputs}

    @property
    def area(self) -> Area:
        """The area that is worked on: the simulated one where the asked-for sample is not on this machine."""
        return self.unit.area

    @property
    def tile(self) -> Tile:
        """The tile."""
        return self.unit.tile

    @property
    def period(self) -> Period:
        """The period."""
        return self.unit.period

    @property
    def year(self) -> int:
        """Last year of the period; the year, where it is one."""
        return self.unit.period.last_year

    @property
    def first_year(self) -> int:
        """First year of the period."""
        return self.unit.period.first_year

    @property
    def last_year(self) -> int:
        """Last year of the period."""
        return self.unit.period.last_year

    @property
    def parameters(self) -> dict[str, object]:
        """Every parameter, with area, tile and years as they turned out."""
        return self.unit.run_parameters()

    @property
    def simulated(self) -> bool:
        """Whether the data are simulated."""
        return self.unit.area.simulated

    @property
    def source_line(self) -> str:
        """First line of every report: whether the data are real or simulated, and where they come from."""
        titles = list(
            dict.fromkeys(
                (found.title["es"], found.title["en"]) for found in self.snapshot.found.values() if found.title
            )
        )
        place = self.unit.place.title
        lines = []
        for position, language in enumerate(("es", "en")):
            kind = labels.text("start.simulated_data" if self.simulated else "start.real_data", language)
            origin = "; ".join(title[position] for title in titles) or place[language]
            where = "" if origin == place[language] else f" ({origin})"
            wider = dict.fromkeys(str(period) for period in self.unit.widened.values())
            years = f" ({labels.text('start.input_years', language)} {', '.join(wider)})" if wider else ""
            lines.append(f"{kind}: {place[language]}{where}, {self.tile.name}, {self.period}{years}")
        return " | ".join(lines)

    def geobox(self, resolution_m: float) -> GeoBox:
        """Pixel grid of the tile."""
        return self.unit.tile.geobox(resolution_m)

    def place_setting(self, name: str) -> object:
        """A setting of the place for this stage (``catalogs/grids.yml``); raises :class:`ParameterError` naming those that exist."""
        if name not in self.unit.settings:
            raise ParameterError(
                f"place {self.unit.place.name} of area {self.area.name} has no setting {name!r} for stage {self.unit.stage}; "
                f"it has {', '.join(self.unit.settings) or 'none'} (catalogs/grids.yml)"
            )
        return self.unit.settings[name]

    def has(self, name: str) -> bool:
        """Whether an input has data for this tile and period."""
        return bool(self._found(name).ids)

    def map_years(self, name: str, year: int) -> tuple[int, ...]:
        """Years of an input that the map of ``year`` is made of, by the owner's tables; the year itself where they say nothing."""
        self._found(name)
        return map_years(self.unit, self._rules[name], year)

    def inputs(self, name: str) -> tuple[str, ...]:
        """Ids of what was found of an input."""
        return self._found(name).ids

    def datasets(self, name: str) -> tuple:
        """Datasets of the cube that were found of an input."""
        return self._found(name).datasets

    def source(self, name: str):
        """The intake source of an input, for what :meth:`open` does not cover."""
        self._found(name)
        return find_source(self.area, name)

    def open(
        self,
        name: str,
        *,
        measurements: Sequence[str] = (),
        resolution_m: float = 0,
        halo_px: int = 0,
        lazy: bool = False,
    ) -> xr.Dataset | pd.DataFrame | dict[str, Path]:
        """Load an input by its catalogue name.

        Parameters
        ----------
        name
            An input that the product definition declares.
        measurements
            Bands, all where empty.
        resolution_m
            Pixel size [units of the tile's CRS]; that of the input where 0.
        halo_px
            Pixels around the tile that are loaded too, from the tiles beside it, at the given ``resolution_m``; no data where
            these have none and beyond the place.
        lazy
            Rasters of the cube come as dask arrays: nothing is read before it is used, by :func:`ceiba.sources.load_block`, for what
            goes block by block. Files of other sources are read at once all the same.

        Returns
        -------
        xr.Dataset, pd.DataFrame, gpd.GeoDataFrame or dict
            Rasters with dims ``(time, y, x)`` or, for one time, ``(y, x)``; a table; files by name.

        Raises
        ------
        InputError
            Where the input has no data, or a halo is asked for that its rule or the size of the tiles does not allow.
        """
        found = self._found(name)
        if not found.ids:
            raise InputError(f"{self.unit}: input {name} has no data here; ask task.has({name!r}) first")
        selection = replace(select(self.unit, self._rules[name]), lazy=lazy)
        if halo_px:
            self._check_halo(name, halo_px, resolution_m)
            warn_of_missing(self.unit.place, self.tile, [self._rules[name]], self.snapshot.found)
            selection = replace(selection, halo_px=halo_px)
        return find_source(self.area, name).load(
            selection, found, measurements=tuple(measurements), resolution_m=resolution_m
        )

    def _check_halo(self, name: str, halo_px: int, resolution_m: float) -> None:
        if halo_px < 0 or not resolution_m > 0 or not self._rules[name].neighbors:
            raise InputError(
                f"input {name} with a halo of {halo_px} pixels of {resolution_m} m: it needs 0 pixels or more, a resolution, and "
                f"'neighbors: true' at this input in catalogs/products/{self.unit.stage}.yml"
            )
        place, tile = self.unit.place, self.tile
        beyond = set(place.neighbors(tile, within_m=halo_px * resolution_m)) - set(place.neighbors(tile))
        if beyond:
            raise InputError(
                f"a halo of {halo_px} pixels of {resolution_m} m reaches beyond the tiles around {tile.region_code}, to "
                f"{', '.join(sorted(each.name for each in beyond))}; choose larger tiles, a smaller window or a smaller unit"
            )

    def _found(self, name: str) -> Found:
        if name not in self.snapshot.found:
            known = ", ".join(self.snapshot.found) or "none"
            raise InputError(
                f"{self.unit.notebook} declares no input {name!r}; it declares {known} (catalogs/products/{self.unit.stage}.yml)"
            )
        return self.snapshot.found[name]

    def write(
        self, products: Mapping[str, Data], *, notes: Mapping[str, object] | None = None, threads: int = 1
    ) -> dict[str, UUID]:
        """Write every product of the notebook, each whole or not at all, and index them.

        Parameters
        ----------
        products
            Product name to data: an ``xr.Dataset`` with dims ``(y, x)`` for a raster (or a tuple of it and further files),
            a table, or ``{file name: bytes or Path}``.
        notes
            What a report should tell: figures of accuracy and the like, in JSON types. ``failures``, a list of texts, makes
            the run end as failed after the products are written.
        threads
            Threads that compress rasters.

        Returns
        -------
        dict
            Product name to id.

        Raises
        ------
        ProductError
            Where products are missing, unknown or do not fit their definitions; nothing is written then.
        """
        wanted = {definition.name: definition for definition in self.unit.products}
        if set(products) != set(wanted):
            raise ProductError(f"{self.unit.notebook} writes {', '.join(wanted)}, but was given {', '.join(products)}")
        facts = json.loads(json.dumps(dict(notes or {}), default=float))
        prepared = {name: prepare(wanted[name], data) for name, data in products.items()}
        ids = {}
        for name, (rasters, assets) in prepared.items():
            definition, dataset_id = wanted[name], self.snapshot.ids[name]

            def write_files(
                folder: Path, definition=definition, rasters=rasters, assets=assets, dataset_id=dataset_id
            ) -> dict:
                return self._write_files(folder, definition, rasters, assets, dataset_id, facts, threads)

            store.save_dataset(
                dataset_id,
                self.unit.folder(definition),
                write_files,
                find_replaced=lambda definition=definition, dataset_id=dataset_id: find_replaced(
                    self.unit, definition, dataset_id
                ),
            )
            log.info("wrote %s %s %s", name, self.tile.region_code, self.period)
            ids[name] = dataset_id
        return ids

    def _write_files(
        self,
        folder: Path,
        definition: ProductDefinition,
        rasters: xr.Dataset | None,
        assets: Assets,
        dataset_id: UUID,
        facts: Mapping,
        threads: int,
    ) -> dict:
        geobox = rasters.odc.geobox if rasters is not None else self.geobox(_table_resolution(self.tile))
        for band in definition.measurements:
            categorical = bool(band.legend) or band.units == "class"
            write_cog(
                folder / f"{band.name}.tif",
                rasters[band.name],
                geobox,
                dtype=band.dtype,
                nodata=band.nodata,
                categorical=categorical,
                threads=threads,
            )
            store.boundary(f"{definition.name}: {band.name} written")
        for name, content in assets.items():
            (folder / name).write_bytes(content if isinstance(content, bytes) else Path(content).read_bytes())
        rules = {rule.name for rule in definition.inputs}
        # The document's own start and end stay those of the product, by which it is looked up.
        widened, rejecting = widened_inputs(self.unit, definition), self.snapshot.rejected.get(definition.name)
        lineage, files = {}, {}
        for name in sorted(rules):
            found = self.snapshot.found[name]
            (lineage if found.datasets else files)[name] = [str(value) for value in found.ids]
        around = sorted(rule.name for rule in definition.inputs if rule.neighbors)
        neighbors = {name: list(neighbors_read(self.unit.place, self.tile, self.snapshot.found[name])) for name in around}
        return eo3_document(
            dataset_id=dataset_id,
            definition=definition,
            region_code=self.tile.region_code,
            period=period_times(self.period),
            geobox=geobox,
            measurements={band.name: f"{band.name}.tif" for band in definition.measurements},
            accessories={name: name for name in sorted(assets)} | {"checksums": store.CHECKSUMS_NAME},
            lineage=lineage,
            properties={
                "ceiba:area": self.area.name,
                "ceiba:tile": self.tile.name,
                "ceiba:period": str(self.period),
                "ceiba:simulated": self.simulated,
                "ceiba:notebook": self.unit.notebook,
                "ceiba:parameters": self.unit.own_parameters,
                "ceiba:settings": dict(self.unit.settings),
                "ceiba:file_inputs": files,
                "ceiba:source": self.source_line,
                "ceiba:notes": facts,
            }
            | ({"ceiba:input_period": widened} if widened else {})
            | ({"ceiba:neighbors": neighbors} if neighbors else {})
            | ({"ceiba:revision": str(rejecting.id)} if rejecting else {}),
        )


def prepare(definition: ProductDefinition, data: Data) -> tuple[xr.Dataset | None, Assets]:
    """Check data against a product definition and bring them into rasters and files; raises :class:`ProductError`."""
    assets: Assets = {}
    if isinstance(data, tuple):
        data, assets = data
    if definition.is_raster:
        names = [band.name for band in definition.measurements]
        if not isinstance(data, xr.Dataset):
            raise ProductError(
                f"product {definition.name} is a raster of {', '.join(names)}; it was given a {type(data).__name__}"
            )
        given = [str(name) for name in data.data_vars if name != "spatial_ref"]
        if set(given) != set(names):
            raise ProductError(
                f"product {definition.name} has measurements {', '.join(names)}; it was given {', '.join(given)}"
            )
        if data.odc.geobox is None:
            raise ProductError(f"product {definition.name}: the data carry no CRS; assign one with .odc.assign_crs()")
        return data, assets
    if isinstance(data, pd.DataFrame):
        tables = [name for name in definition.assets.values() if name.endswith(".parquet")]
        if len(tables) != 1:
            raise ProductError(f"product {definition.name} has {len(tables)} tables; give files by name")
        return None, {tables[0]: data.to_parquet(index=False)} | dict(assets)
    wanted = set(definition.assets.values())
    if not isinstance(data, Mapping) or not wanted <= set(data):
        raise ProductError(
            f"product {definition.name} consists of the files {', '.join(sorted(wanted))}; it was given {data!r:.200}"
        )
    return None, {
        name: content.to_parquet(index=False) if isinstance(content, pd.DataFrame) else content
        for name, content in data.items()
    }


def _table_resolution(tile: Tile) -> float:
    """A grid of a few pixels gives a table its place on the map."""
    left, bottom, right, top = tile.bounds
    return max(right - left, top - bottom)


def open_notes(task: Task, name: str) -> list[Mapping[str, object]]:
    """Notes that were written with the datasets of an input, a mapping a dataset."""
    return [dataset.metadata_doc["properties"].get("ceiba:notes", {}) for dataset in task.datasets(name)]
