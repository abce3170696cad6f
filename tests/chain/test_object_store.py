"""An ``s3://`` store, against a real server of the same protocol on loopback."""

import io
import os
import sys
from pathlib import Path

import boto3
import numpy as np
import pytest
import s3fs
from moto.server import ThreadedMotoServer

import ceiba.catalog
from ceiba import cube as index
from ceiba import store as storage

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import make_ard  # noqa: E402


@pytest.fixture
def bucket(own_store, monkeypatch):
    """Address of an empty bucket; the environment points there."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "CEIBA_STORE": "s3://ceiba-tests/store", "CEIBA_LOCAL": str(own_store),
    }  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    boto3.client("s3").create_bucket(Bucket="ceiba-tests")
    yield "s3://ceiba-tests/store"
    server.stop()


def test_products_lie_in_a_bucket_and_are_read_from_there(bucket, own_store, tmp_path, write_archive, add_tiny_area):
    area = add_tiny_area(own_store, write_archive(tmp_path / "archive"))
    assert make_ard(area) == []
    counts = ceiba.catalog.open("clear_observations", area=area, time="2019")
    assert np.array_equal(counts["clear_count"].values[0], np.where(np.arange(32) % 3 == 0, 2, 3))
    datasets = index.find_datasets(index.connect(), "clear_observations")
    assert [dataset.uri.startswith(bucket) for dataset in datasets] == [True]
    assert storage.verify(datasets[0].uri) == []
    # Nothing but the database, the area and locks lies on this machine.
    assert not list(own_store.rglob("*.tif"))
    client = boto3.client("s3")
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket="ceiba-tests")["Contents"]]
    assert sum(key.endswith("10m.tif") for key in keys) == 4
    key = next(key for key in keys if key.endswith("clear_count.tif"))
    client.upload_fileobj(io.BytesIO(b"changed"), "ceiba-tests", key)
    assert "differs" in storage.verify(datasets[0].uri)[0]


def test_a_bucket_that_refuses_is_a_clear_error(bucket, own_store, tmp_path, write_archive, add_tiny_area, monkeypatch):
    from ceiba.errors import CeibaError

    monkeypatch.setenv("CEIBA_STORE", "s3://no-such-bucket/store")
    area = add_tiny_area(own_store, write_archive(tmp_path / "archive"))
    with pytest.raises(CeibaError, match="no-such-bucket"):
        make_ard(area)
    assert not list((own_store / "work").glob("*")) and os.environ["CEIBA_STORE"] == "s3://no-such-bucket/store"
