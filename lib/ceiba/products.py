"""Product definitions, their deterministic ids and their EO3 documents."""

import functools
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import yaml
from odc.geo.geobox import GeoBox

from ceiba.config import project_root
from ceiba.errors import ProductError
from ceiba.grids import Period, Tile, crs_name

NAMESPACE = uuid.UUID("5d0c7a52-2f0c-5f5e-9d53-3f5f3c1f8c11")
UNITS_OF_WORK = ("tile year", "tile span", "area span", "scene", "review")
SCOPES = ("tile", "area")
INPUT_PERIODS = ("same", "any")
DOCUMENT_NAME = "dataset.odc-metadata.yaml"
EO3_SCHEMA = "https://schemas.opendatacube.org/dataset"


@dataclass(frozen=True)
class Measurement:
    """One band of a raster product: ``dtype``, ``units`` [UDUNITS text], ``nodata`` and an optional legend."""

    name: str
    dtype: str
    units: str
    nodata: float
    title: Mapping[str, str] = field(default_factory=dict)
    legend: str = ""


@dataclass(frozen=True)
class InputRule:
    """Which datasets of an input enter a product: of the same tile or the whole area, of the same period or any.

    ``input_years`` names a sensor of ``product_tables.yml``: a map of a year that the owner's table has is made of all the input
    years that the table gives it. ``neighbors`` takes those of the tiles that touch the product's own as well, as far as they
    are there.
    """

    name: str
    required: bool = True
    scope: str = "tile"
    period: str = "same"
    input_years: str = ""
    neighbors: bool = False


@dataclass(frozen=True)
class ProductDefinition:
    """An entry of ``catalogs/products/<stage>.yml``; ``on_request`` is made where its notebook is named, not with its stage.

    ``when`` names values of the notebook's parameters: only with these does the notebook write this product.
    """

    name: str
    stage: str
    title: Mapping[str, str]
    version: str
    per: str
    notebook: str = ""
    inputs: tuple[InputRule, ...] = ()
    files: tuple[str, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    assets: Mapping[str, str] = field(default_factory=dict)
    resolution_m: float = 0
    cost: Mapping[str, float] = field(default_factory=dict)
    on_request: bool = False
    when: Mapping[str, object] = field(default_factory=dict)

    def is_written(self, parameters: Mapping[str, object]) -> bool:
        """Whether its notebook writes it with these parameters."""
        return all(parameters.get(name) == value for name, value in self.when.items())

    @property
    def is_raster(self) -> bool:
        """Whether the product has bands (else it is a table or files)."""
        return bool(self.measurements)

    def to_odc(self) -> dict:
        """The product document of the Open Data Cube."""
        document = {
            "name": self.name,
            "description": self.title["en"],
            "metadata_type": "eo3",
            "metadata": {"product": {"name": self.name}},
        }
        if self.measurements:
            document["measurements"] = [
                {"name": band.name, "dtype": band.dtype, "units": band.units, "nodata": band.nodata}
                for band in self.measurements
            ]
        return document

    def file_hashes(self, parameters: Mapping[str, object], settings: Mapping[str, object]) -> dict[str, str]:
        """SHA-256 of the catalogue files whose content the product depends on; ``{name}`` stands for a parameter or setting."""
        hashes = {}
        for template in self.files:
            values = dict(settings) | {key: value for key, value in parameters.items() if value != ""}
            try:
                relative = template.format(**values)
            except KeyError as error:
                raise ProductError(
                    f"product {self.name}: file {template!r} needs {error}, which is no parameter or setting"
                ) from error
            path = project_root() / "catalogs" / relative
            if not path.exists():
                raise ProductError(f"product {self.name}: catalogs/{relative} does not exist")
            hashes[relative] = hashlib.sha256(path.read_bytes()).hexdigest()
        return hashes


@functools.cache
def load_definitions() -> dict[str, ProductDefinition]:
    """All product definitions by name, in the order of the stages; raises :class:`ProductError`."""
    definitions: dict[str, ProductDefinition] = {}
    for path in sorted((project_root() / "catalogs" / "products").glob("*.yml")):
        for name, entry in (yaml.safe_load(path.read_text("utf-8")) or {}).items():
            if name in definitions:
                raise ProductError(f"product {name!r} is defined twice, again in {path.name}")
            definitions[name] = read_definition(name, path.stem, entry)
    return definitions


def find_definition(name: str) -> ProductDefinition:
    """Definition by name; raises :class:`ProductError` naming those that exist."""
    definitions = load_definitions()
    if name not in definitions:
        raise ProductError(f"no product {name!r}; there are {', '.join(definitions)}")
    return definitions[name]


def read_definition(name: str, stage: str, entry: Mapping) -> ProductDefinition:
    """Check one entry of a product file; raises :class:`ProductError` that says what is wrong and what is allowed."""
    known = {"title", "version", "notebook", "per", "inputs", "files", "resolution_m", "measurements", "assets", "cost"}
    known |= {"on_request", "when"}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise ProductError(
            f"product {name!r}: unknown keys {', '.join(unknown)}; allowed are {', '.join(sorted(known))}"
        )
    missing = [key for key in ("title", "version", "per") if key not in entry]
    if missing or set(entry.get("title", {})) != {"es", "en"}:
        raise ProductError(f"product {name!r}: needs {', '.join(missing) or 'a title in es and en'}")
    if entry["per"] not in UNITS_OF_WORK:
        raise ProductError(f"product {name!r}: per is {entry['per']!r}; allowed are {', '.join(UNITS_OF_WORK)}")
    if bool(entry.get("measurements")) == bool(entry.get("assets")):
        raise ProductError(f"product {name!r}: give either measurements (a raster) or assets (tables, files)")
    return ProductDefinition(
        name=name,
        stage=stage,
        title=entry["title"],
        version=str(entry["version"]),
        per=entry["per"],
        notebook=entry.get("notebook", ""),
        inputs=tuple(_read_input(name, key, rule or {}) for key, rule in (entry.get("inputs") or {}).items()),
        files=tuple(entry.get("files") or ()),
        measurements=tuple(
            _read_measurement(name, key, band) for key, band in (entry.get("measurements") or {}).items()
        ),
        assets=entry.get("assets") or {},
        resolution_m=float(entry.get("resolution_m") or 0),
        cost=entry.get("cost") or {},
        on_request=bool(entry.get("on_request", False)),
        when=entry.get("when") or {},
    )


def _read_input(product: str, name: str, rule: Mapping) -> InputRule:
    unknown = sorted(set(rule) - {"required", "scope", "period", "input_years", "neighbors"})
    scope, neighbors = rule.get("scope", "tile"), rule.get("neighbors", False)
    strange = scope not in SCOPES or rule.get("period", "same") not in INPUT_PERIODS
    if unknown or strange or neighbors not in (True, False) or (neighbors and scope == "area"):
        raise ProductError(
            f"product {product!r}, input {name!r}: {dict(rule)}; allowed are required, scope ({', '.join(SCOPES)}), "
            f"period ({', '.join(INPUT_PERIODS)}), input_years (a sensor of product_tables.yml) and, of a tile, neighbors (true, false)"
        )
    return InputRule(name, **rule)


def _read_measurement(product: str, name: str, entry: Mapping) -> Measurement:
    try:
        np.dtype(entry["dtype"])
        return Measurement(
            name,
            entry["dtype"],
            str(entry["units"]),
            float(entry["nodata"]),
            entry.get("title") or {},
            entry.get("legend") or "",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProductError(
            f"product {product!r}, measurement {name!r}: needs dtype, units and nodata ({error!r})"
        ) from error


def product_id(
    definition: ProductDefinition,
    tile: Tile,
    period: Period,
    *,
    parameters: Mapping[str, object],
    inputs: Mapping[str, list[str]],
    files: Mapping[str, str],
    settings: Mapping[str, object],
) -> uuid.UUID:
    """Deterministic id (UUID version 5): the same work has the same id on every machine, changed work a new one.

    It covers the product's name and version, the tile with its grid, the period, every parameter, the settings of the
    place, the ids of the inputs and the SHA-256 of the model, legend and network files.
    """
    content = {
        "product": definition.name,
        "version": definition.version,
        "tile": [tile.region_code, crs_name(tile.crs), list(tile.bounds)],
        "period": str(period),
        "parameters": dict(parameters),
        "settings": dict(settings),
        "inputs": {name: sorted(ids) for name, ids in inputs.items()},
        "files": dict(files),
    }
    return uuid.uuid5(NAMESPACE, json.dumps(content, sort_keys=True, separators=(",", ":")))


def content_id(sha256: str) -> str:
    """Id of a file or folder that is no dataset of the cube, from its SHA-256."""
    return str(uuid.uuid5(NAMESPACE, f"sha256:{sha256}"))


def eo3_document(
    *,
    dataset_id: uuid.UUID,
    definition: ProductDefinition,
    region_code: str,
    period: tuple[str, str],
    geobox: GeoBox,
    measurements: Mapping[str, str],
    accessories: Mapping[str, str],
    lineage: Mapping[str, list[str]],
    properties: Mapping[str, object],
    grids: Mapping[str, GeoBox] | None = None,
    measurement_grids: Mapping[str, tuple[str, int]] | None = None,
) -> dict:
    """An EO3 dataset document.

    Parameters
    ----------
    period
        Start and end as ISO 8601 text, UTC.
    measurements, accessories
        Name to file name beside the document.
    lineage
        Input name to ids of datasets in the cube.
    grids, measurement_grids
        Further grids, and for measurements not on the default grid or in files of several bands ``(grid, band)``.

    Notes
    -----
    No processing time is written: the same inputs then give the same bytes. Times of runs stand in the run records.
    """
    left, bottom, right, top = geobox.boundingbox.bbox
    start, end = period
    bands = {}
    for name, path in measurements.items():
        grid, band = (measurement_grids or {}).get(name, ("default", 1))
        bands[name] = (
            {"path": path} | ({"grid": grid} if grid != "default" else {}) | ({"band": band} if band != 1 else {})
        )
    return {
        "$schema": EO3_SCHEMA,
        "id": str(dataset_id),
        "label": f"{definition.name} {definition.version} {region_code} {start[:4]}-{end[:4]}",
        "product": {"name": definition.name},
        "crs": crs_name(str(geobox.crs)),
        "geometry": {
            "type": "Polygon",
            "coordinates": [[[left, bottom], [left, top], [right, top], [right, bottom], [left, bottom]]],
        },
        "grids": {
            name: {"shape": list(box.shape), "transform": list(box.affine)}
            for name, box in ({"default": geobox} | dict(grids or {})).items()
        },
        "properties": {
            "datetime": start,
            "dtr:start_datetime": start,
            "dtr:end_datetime": end,
            "odc:region_code": region_code,
            "odc:file_format": "GeoTIFF",
            "odc:product_family": definition.stage,
            "odc:dataset_version": definition.version,
        }
        | dict(properties),
        "measurements": bands,
        "accessories": {name: {"path": path} for name, path in accessories.items()},
        "lineage": {name: sorted(ids) for name, ids in lineage.items() if ids},
    }


def period_times(period: Period) -> tuple[str, str]:
    """First and last second of a period as ISO 8601 text, UTC."""
    return f"{period.first_year}-01-01T00:00:00Z", f"{period.last_year}-12-31T23:59:59Z"


def document_bytes(document: Mapping) -> bytes:
    """The document as YAML with a stable order of keys."""
    return yaml.safe_dump(dict(document), sort_keys=False, allow_unicode=True, width=120).encode()


def read_document(path: Path) -> dict:
    """Read an EO3 document from disk."""
    return yaml.safe_load(path.read_text("utf-8"))
