"""Datasets on disk and in an object store: whole or not at all."""

import shutil
import uuid
from pathlib import Path

import pytest
import yaml
from affine import Affine
from odc.geo.geobox import GeoBox

from ceiba import cube as index
from ceiba import store as storage
from ceiba.errors import StoreError
from ceiba.products import DOCUMENT_NAME, eo3_document, find_definition

BOX = GeoBox((1, 1), Affine(1000, 0, 2_000_000, 0, -1000, 1_000_000), "EPSG:6372")


def make_writer(dataset_id, region="tests/a", content=b"x", year="2019"):
    definition = find_definition("scene_inventory")

    def write(folder: Path):
        (folder / "scenes.parquet").write_bytes(content)
        return eo3_document(
            dataset_id=dataset_id,
            definition=definition,
            region_code=region,
            period=(f"{year}-01-01T00:00:00Z", f"{year}-12-31T23:59:59Z"),
            geobox=BOX,
            measurements={},
            accessories={"scenes": "scenes.parquet"},
            lineage={},
            properties={"ceiba:area": "tests", "ceiba:tile": "a", "ceiba:period": year},
        )

    return write


def test_a_dataset_is_whole_indexed_and_verified(store):
    dataset_id = uuid.uuid4()
    stored = storage.save_dataset(dataset_id, "products/scene_inventory/1/tests/a/2019", make_writer(dataset_id))
    folder = Path(stored.uri.removeprefix("file://")).parent
    assert sorted(path.name for path in folder.iterdir()) == ["checksums.sha256", DOCUMENT_NAME, "scenes.parquet"]
    assert index.get_dataset(index.connect(), dataset_id).uri == stored.uri
    assert storage.verify(stored.uri) == []
    (folder / "scenes.parquet").write_bytes(b"y")
    assert "differs" in storage.verify(stored.uri)[0]
    (folder / "scenes.parquet").unlink()
    assert "missing" in storage.verify(stored.uri)[0]


def test_writing_twice_keeps_the_first_and_one_dataset(store):
    dataset_id = uuid.uuid4()
    for content in (b"first", b"second"):
        stored = storage.save_dataset(
            dataset_id, "products/x/1/tests/b/2019", make_writer(dataset_id, "tests/b", content)
        )
    folder = Path(stored.uri.removeprefix("file://")).parent
    assert (folder / "scenes.parquet").read_bytes() == b"first"
    assert len(index.find_datasets(index.connect(), "scene_inventory", region_code="tests/b")) == 1


def test_a_newer_product_archives_the_older_and_an_older_one_comes_back(store):
    first, second = uuid.uuid4(), uuid.uuid4()
    connection = index.connect()

    def save(dataset_id, replaced):
        write = make_writer(dataset_id, "tests/c")
        storage.save_dataset(dataset_id, "products/x/1/tests/c/2019", write, find_replaced=lambda: replaced)

    save(first, [])
    save(second, [first])
    assert index.get_dataset(connection, first) is None
    assert index.get_dataset(connection, second) is not None
    save(first, [second])
    assert [dataset.id for dataset in index.find_datasets(connection, "scene_inventory", region_code="tests/c")] == [
        first
    ]


def test_an_error_while_writing_leaves_nothing_behind(store):
    dataset_id = uuid.uuid4()

    def write(folder):
        (folder / "half.tif").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left.*CEIBA_STORE"):
        storage.save_dataset(dataset_id, "products/x/1/tests/d/2019", write)
    assert not list((store / "products/x/1/tests/d/2019").iterdir())
    assert index.get_dataset(index.connect(), dataset_id) is None


def test_what_a_killed_run_left_is_swept_or_adopted(store):
    dataset_id = uuid.uuid4()
    relative = "products/x/1/tests/e/2019"
    partial = store / relative / f"{uuid.uuid4()}.partial"
    partial.mkdir(parents=True)
    (partial / "half.tif").write_bytes(b"half")
    whole = store / relative / str(dataset_id)
    whole.mkdir()
    (whole / DOCUMENT_NAME).write_text(yaml.safe_dump(make_writer(dataset_id, "tests/e")(whole)))
    assert storage.sweep() == 1
    assert not partial.exists() and whole.exists()
    assert storage.adopt(dataset_id, relative)
    assert index.get_dataset(index.connect(), dataset_id) is not None
    assert not storage.adopt(uuid.uuid4(), relative)


def test_a_full_disk_is_a_clear_error(own_store, monkeypatch):
    """A real full disk: a file system of one megabyte in memory."""
    import subprocess

    small = own_store.parent / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    try:
        monkeypatch.setenv("CEIBA_STORE", str(small))
        monkeypatch.setenv("CEIBA_LOCAL", str(own_store))
        dataset_id = uuid.uuid4()
        write = make_writer(dataset_id, "tests/f", content=bytes(3_000_000))
        with pytest.raises(StoreError, match="No space left on device"):
            storage.save_dataset(dataset_id, "products/x/1/tests/f/2019", write)
        assert not [path for path in (small / "products").rglob("*") if path.is_file()]
        shutil.rmtree(small / "products")
        storage.save_dataset(dataset_id, "products/x/1/tests/f/2019", make_writer(dataset_id, "tests/f"))
    finally:
        subprocess.run(["umount", str(small)], check=True)
