"""Landsat scenes as a national archive has them, registered in the cube without their pixels: footprints, dates, documents."""

import io
import json
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import date, timedelta

import numpy as np
import psycopg2
import pyproj
import shapely

from ceiba import cube as index
from ceiba.config import Config
from ceiba.path_rows import PathRow

FIRST_DAY = date(1996, 1, 1)


def make_documents(path_rows: list[PathRow], count: int, *, days: int, seed: int = 1) -> Iterator[dict]:
    """``count`` documents of scenes spread over the path-rows and over ``days`` days since 1996.

    Each scene lies up to 5 km beside its nominal place, as the orbit does, so that no two outlines are equal.
    """
    random = np.random.default_rng(seed)
    outlines = []
    for scene in path_rows:
        transformer = pyproj.Transformer.from_crs("EPSG:4326", scene.crs, always_xy=True)
        corners = np.asarray(scene.outline.exterior.coords)
        outlines.append(np.column_stack(transformer.transform(corners[:, 0], corners[:, 1])))
    shifts = random.uniform(-5000, 5000, (count, 2)).round(0)
    moments = random.integers(0, days, count)
    for number in range(count):
        scene = path_rows[number % len(path_rows)]
        outline = outlines[number % len(path_rows)] + shifts[number]
        day = FIRST_DAY + timedelta(days=int(moments[number]))
        yield {"scene": scene, "outline": outline, "time": f"{day}T15:30:00Z", "number": number}


def to_row(document: dict, extent: tuple[float, float, float, float], *, product: str) -> tuple[str, str]:
    """Id and content of a document as the cube's own index would store it."""
    dataset_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{product} {document['scene']} {document['number']}"))
    ring = document["outline"].round(3).tolist()
    west, south, east, north = extent
    crs = document["scene"].crs.lower()
    content = {
        "$schema": "https://schemas.opendatacube.org/dataset",
        "id": dataset_id,
        "label": f"{document['scene']} {document['time']}",
        "product": {"name": product},
        "crs": crs,
        "grids": {"default": {"shape": [7000, 7000], "transform": [30, 0, ring[0][0], 0, -30, ring[0][1], 0, 0, 1]}},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "datetime": document["time"],
            "dtr:start_datetime": document["time"],
            "dtr:end_datetime": document["time"],
            "odc:region_code": str(document["scene"]),
            "eo:platform": "landsat-5",
        },
        "measurements": {},
        "accessories": {},
        "lineage": {"source_datasets": {}},
        "extent": {"lat": {"begin": south, "end": north}, "lon": {"begin": west, "end": east}},
        "grid_spatial": {
            "projection": {
                "valid_data": {"type": "Polygon", "coordinates": [ring]},
                "geo_ref_points": {
                    name: {"x": point[0], "y": point[1]} for name, point in zip(("ul", "ur", "lr", "ll"), ring, strict=False)
                },
                "spatial_reference": crs,
            }
        },
    }
    return dataset_id, json.dumps(content)


def register(path_rows: list[PathRow], count: int, *, product: str = "landsat_scenes", days: int = 30 * 365) -> int:
    """Put scenes into the cube of the present store, all in one transaction; returns their number."""
    connection = index.connect()
    found = connection.index.products.get_by_name(product)
    documents = list(make_documents(path_rows, count, days=days))
    extents = np.empty((count, 4))
    for crs in {document["scene"].crs for document in documents}:
        numbers = [document["number"] for document in documents if document["scene"].crs == crs]
        rings = shapely.segmentize(shapely.polygons([documents[number]["outline"] for number in numbers]), 20_000)
        transformer = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        lonlat = shapely.transform(rings, lambda points, to=transformer: np.column_stack(to.transform(*points.T)))
        extents[numbers] = shapely.bounds(lonlat)
    buffer = io.StringIO()
    for document in documents:
        dataset_id, content = to_row(document, tuple(extents[document["number"]].tolist()), product=product)
        buffer.write(f"{dataset_id}\t{found.metadata_type.id}\t{found.id}\t{content}\n")
    buffer.seek(0)
    address = index.database_url(Config.from_environment()).replace("+psycopg2", "")
    with closing(psycopg2.connect(address)) as database, database, database.cursor() as cursor:
        cursor.copy_expert("copy agdc.dataset (id, metadata_type_ref, dataset_type_ref, metadata) from stdin", buffer)
    return count
