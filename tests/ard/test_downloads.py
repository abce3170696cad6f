"""Downloads: continued, checked, given up in time; checksums against values from outside."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loopback import PATIENCE, FaultyServer
from moto.server import ThreadedMotoServer

from ceiba.ard.answers import CHUNK_BYTES
from ceiba.ard.downloads import PART, download, read_beginning, read_multihash, retry
from ceiba.errors import SceneError, TransferError
from ceiba.providers import Access, Patience

OPEN = Access()
QUICK = Patience(**PATIENCE)
SIZE = 10 * CHUNK_BYTES + 7


@pytest.fixture
def source(tmp_path):
    """A file server over one file of random bytes."""
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bin").write_bytes(os.urandom(SIZE))
    server = FaultyServer(folder)
    yield server, folder / "a.bin"
    server.stop()


def sha256(path: Path) -> str:
    return "1220" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_multihashes_are_read_as_published():
    # Digests of "abc": FIPS 180-2 appendices B.1 and C.1, FIPS 180-1 appendix A, RFC 1321 section A.5.
    sha_256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    sha_1, md5 = "a9993e364706816aba3e25717850c26c9cd0d89d", "900150983cd24fb0d6963f7d28e17f72"
    sha_512 = (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
        "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
    )
    # Codes and lengths of the multiformats table: 0x12 and 32, 0x11 and 20, 0xd5 as varint d501 and 16, 0x13 and 64.
    assert read_multihash("1220" + sha_256) == ("sha256", sha_256)
    assert read_multihash("1114" + sha_1) == ("sha1", sha_1)
    assert read_multihash("d50110" + md5) == ("md5", md5)
    assert read_multihash("1340" + sha_512) == ("sha512", sha_512)
    assert hashlib.new("sha256", b"abc").hexdigest() == sha_256


@pytest.mark.parametrize("text", ["", "12", "1220ab", "zz", "9920" + "ab" * 32, "ab" * 32, None, "d501", "ffffffffff10"])
def test_what_is_no_known_multihash_is_none(text):
    assert read_multihash(text) is None


@given(st.text(max_size=200) | st.binary(max_size=80).map(bytes.hex))
def test_any_text_is_a_multihash_or_none(text):
    found = read_multihash(text)
    assert found is None or len(found[1]) in (32, 40, 64, 96, 128)


def test_a_file_arrives_whole_and_is_not_fetched_twice(source, tmp_path):
    server, file = source
    target = tmp_path / "here" / "a.bin"
    seen = []
    download(
        f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, size_bytes=SIZE, checksum=sha256(file), arrived=seen.append
    )
    assert target.read_bytes() == file.read_bytes() and sum(seen) == SIZE
    download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, size_bytes=SIZE, checksum=sha256(file))
    assert server.gets["/a.bin"] == 1 and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("etags", [True, False])
def test_a_part_is_continued_only_where_it_is_a_part_of_the_same_file(source, tmp_path, etags):
    server, file = source
    server.set(etags=etags)
    target = tmp_path / "a.bin"
    server.fail("a.bin", "half", "404")
    with pytest.raises(SceneError, match="404"):
        download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK)
    part = target.with_name("a.bin" + PART)
    assert not target.exists() and 0 < part.stat().st_size <= SIZE // 2
    file.write_bytes(os.urandom(SIZE))  # another file lies there now
    download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK)
    assert target.read_bytes() == file.read_bytes()


def test_a_wrong_checksum_is_fetched_again_and_in_the_end_told(source, tmp_path):
    server, file = source
    target = tmp_path / "a.bin"
    server.fail("a.bin", "flip")
    download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, checksum=sha256(file))
    assert target.read_bytes() == file.read_bytes() and server.gets["/a.bin"] == 2
    target.unlink()
    with pytest.raises(TransferError, match="sha256 of the file is .* the archive says 00ff.*attempt 3 of 3"):
        download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, checksum="1220" + "00ff" * 16)
    assert not target.exists() and not list(tmp_path.glob("*.part*"))
    with pytest.raises(TransferError, match=f"has {SIZE} bytes, the archive says {SIZE - 1}"):
        download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, size_bytes=SIZE - 1)


KILLED = """
import os, signal, sys
from pathlib import Path
from ceiba.ard.downloads import download
from ceiba.providers import Access, Patience
seen = []
def arrived(count):
    seen.append(count)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
download(sys.argv[1], Path(sys.argv[2]), access=Access(), patience=Patience(attempts=1), arrived=arrived)
"""


def test_what_a_killed_process_had_is_not_fetched_again(source, tmp_path):
    server, file = source
    target = tmp_path / "a.bin"
    killed = subprocess.run([sys.executable, "-c", KILLED, f"{server.url}/a.bin", str(target)], check=False)
    assert killed.returncode == -signal.SIGKILL and not target.exists()
    seen = []
    download(f"{server.url}/a.bin", target, access=OPEN, patience=QUICK, arrived=seen.append)
    assert target.read_bytes() == file.read_bytes() and sum(seen) == SIZE - 4 * CHUNK_BYTES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bin", "served"]


def test_refusals_are_final_and_silence_is_not(source, tmp_path):
    server, _ = source
    server.fail("a.bin", "403")
    with pytest.raises(SceneError, match="a.bin is refused: 403") as refused:
        download(f"{server.url}/a.bin?sig=hidden", tmp_path / "b", access=OPEN, patience=QUICK)
    assert "hidden" not in str(refused.value) and not isinstance(refused.value, TransferError)
    server.fail("a.bin", "stall", "stall", "stall")
    began = time.monotonic()
    with pytest.raises(TransferError, match="no answer") as silent:
        download(f"{server.url}/a.bin?sig=hidden", tmp_path / "b", access=OPEN, patience=QUICK)
    assert time.monotonic() - began < 10 and "hidden" not in str(silent.value)
    for address in ("file:///etc/passwd", "/etc/passwd", "ftp://host/a"):
        with pytest.raises(SceneError, match="addresses begin with"):
            download(address, tmp_path / "b", access=OPEN, patience=QUICK)


def test_pauses_grow_are_bounded_and_random(monkeypatch):
    pauses = []
    monkeypatch.setattr("ceiba.ard.downloads.time.sleep", pauses.append)

    def fail():
        raise TransferError("no")

    with pytest.raises(TransferError, match="attempt 6 of 6"):
        retry(fail, "x", Patience(attempts=6, base_delay_s=1, max_delay_s=5))
    # Equal jitter: pause n lies between half and the whole of 2 ** n, cut at 5 s.
    for number, pause in enumerate(pauses):
        assert min(5, 2**number / 2) <= pause <= min(5, 2**number)
    assert len(pauses) == 5
    asked = TransferError("busy")
    asked.retry_after_s = 3

    def busy():
        raise asked

    pauses.clear()
    with pytest.raises(TransferError):
        retry(busy, "x", Patience(attempts=2, base_delay_s=0.1, max_delay_s=60))
    assert pauses == [3]


def test_the_beginning_tells_size_and_version(source):
    server, file = source
    found = read_beginning(f"{server.url}/a.bin", 100, access=OPEN, patience=QUICK)
    assert found.content == file.read_bytes()[:100] and found.size_bytes == SIZE and found.in_parts
    assert found.version == f'"{hashlib.md5(file.read_bytes()).hexdigest()}"'  # noqa: S324 - the server's mark
    server.set(parts=False)
    found = read_beginning(f"{server.url}/a.bin", 100, access=OPEN, patience=QUICK)
    assert len(found.content) == 100 and found.size_bytes == SIZE and not found.in_parts


@pytest.fixture
def bucket(monkeypatch):
    """A bucket with one file on a server of the S3 protocol."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"TEST_KEY": "a", "TEST_SECRET": "b", "AWS_DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)
    access = Access(
        kind="s3", endpoint=f"http://{host}:{port}", region="us-east-1", key_variable="TEST_KEY", secret_variable="TEST_SECRET"
    )
    content = os.urandom(SIZE)
    client = boto3.client("s3", endpoint_url=access.endpoint, aws_access_key_id="a", aws_secret_access_key="b")
    client.create_bucket(Bucket="scenes")
    client.put_object(Bucket="scenes", Key="x/a.tif", Body=content)
    yield access, content, client
    server.stop()


def test_buckets_are_read_with_keys_from_the_environment_and_continued(bucket, tmp_path):
    access, content, client = bucket
    found = read_beginning("s3://scenes/x/a.tif", 64, access=access, patience=QUICK)
    assert (found.content, found.size_bytes, found.in_parts) == (content[:64], SIZE, True)
    target = tmp_path / "a.tif"
    part = target.with_name("a.tif" + PART)
    part.write_bytes(content[: SIZE // 2])
    part.with_name(part.name + ".json").write_text('{"version": ' + repr(found.version).replace('"', '\\"').replace("'", '"') + "}")
    seen = []
    download("s3://scenes/x/a.tif", target, access=access, patience=QUICK, size_bytes=SIZE, arrived=seen.append)
    assert target.read_bytes() == content and sum(seen) == SIZE - SIZE // 2
    # Another object by now: the part is not continued.
    target.rename(part)
    with part.open("r+b") as file:
        file.truncate(SIZE // 2)
    part.with_name(part.name + ".json").write_text('{"version": "\\"older\\""}')
    client.put_object(Bucket="scenes", Key="x/a.tif", Body=content[::-1])
    download("s3://scenes/x/a.tif", target, access=access, patience=QUICK)
    assert target.read_bytes() == content[::-1]
    with pytest.raises(SceneError, match="TEST_KEY and TEST_SECRET"):
        download("s3://scenes/none.tif", tmp_path / "b", access=access, patience=QUICK)


def test_a_whole_part_of_a_bucket_is_checked_and_not_refused(bucket, tmp_path):
    # A process killed while the checksum was computed leaves a part with every byte: nothing is left to ask for.
    access, content, client = bucket
    target, part = tmp_path / "a.tif", tmp_path / ("a.tif" + PART)
    part.write_bytes(content)
    checksum = "1220" + hashlib.sha256(content).hexdigest()
    seen = []
    download("s3://scenes/x/a.tif", target, access=access, patience=QUICK, checksum=checksum, arrived=seen.append)
    assert target.read_bytes() == content and seen == [] and not part.exists()
    # More bytes than the object has are of another one.
    target.rename(part)
    part.write_bytes(content + b"more")
    download("s3://scenes/x/a.tif", target, access=access, patience=QUICK, checksum=checksum)
    assert target.read_bytes() == content
