"""What is kept of people: no token, place, address or browser anywhere on disk or in logs, and nothing of a device after its term."""

import datetime
import logging
import random
import struct
import uuid

import h3
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from ceiba.react2eo.reactions import publication, terms
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions import votes as writing
from ceiba.react2eo.reactions.publication import publish
from ceiba.react2eo.reactions.published import read_units
from ceiba.react2eo.reactions.votes import Vote, Votes
from ceiba.react2eo.subjects import Subject

CELLS = sorted(h3.grid_disk(h3.latlng_to_cell(20.0, -89.0, 7), 1))


@pytest.fixture
def kept_client(gallery, tmp_path, monkeypatch) -> TestClient:
    """The application on the gallery, with a database of its own in ``tmp_path``."""
    monkeypatch.setenv("CEIBA_REACTIONS_URL", f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    from ceiba.react2eo.server import create_app

    return TestClient(create_app(), raise_server_exceptions=False)


def test_no_token_place_address_or_browser_is_kept_or_logged(kept_client, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    chance = random.Random(7)
    west, south, east, north = kept_client.get("/api/products").json()["regions"][0]["bounds"]
    secrets: list[bytes] = []
    for number in range(40):
        device, request = f"{chance.getrandbits(160):040x}", str(uuid.UUID(int=chance.getrandbits(128), version=4))
        x, y = chance.uniform(west, east), chance.uniform(south, north)
        bounds = [x - 0.0123, y - 0.0123, x + 0.0123, y + 0.0123]
        near = [round(chance.uniform(-99, -87), 2), round(chance.uniform(17, 21), 2)]
        address, browser = f"203.0.113.{number}", f"Mozilla/5.0 (Secret-{chance.getrandbits(64):x})"
        view = {"region": "land", "layer": "ndvi", "first": "2018", "last": "2020" if number % 7 else "1999", "bounds": bounds}
        body = {"id": request, "device": device, "view": view, "reaction": chance.choice(["like", "dislike", "none"]), "near": near}
        if number % 11 == 10:
            body["near"] = [500, 500]
        answer = kept_client.post("/api/reactions", json=body, headers={"X-Forwarded-For": address, "User-Agent": browser})
        assert answer.status_code in {200, 404, 422}
        secrets += [each.encode() for each in (device, request, request.replace("-", ""), address, browser)]
        secrets += [uuid.UUID(request).bytes, bytes.fromhex(device)]
        for value in (*bounds, x, y):
            secrets += [repr(value).encode(), struct.pack("<d", value), struct.pack(">d", value), f"{value:.4f}".encode()]
        # Two decimals may be a part of any text; as a pair, or as binary numbers, they may not.
        secrets += [f"{near[0]}, {near[1]}".encode(), f"{near[0]},{near[1]}".encode(), *(struct.pack("<d", each) for each in near)]
    publish(kept_client.app.state.reactions.engine, roll_up=True)
    # A database that cannot be written, where messages of errors might repeat what was asked.
    with store.writing(kept_client.app.state.reactions.engine).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE votes RENAME TO gone")
    body |= {"id": str(uuid.uuid4()), "near": None, "reaction": "like", "view": view | {"last": "2020"}}
    assert kept_client.post("/api/reactions", json=body).status_code == 503
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"reactions.sqlite", "reactions.sqlite-wal"} <= {path.name for path in files}
    texts = {path.name: path.read_bytes() for path in files}
    texts["log"] = caplog.text.encode()
    texts["console"] = "".join(capfd.readouterr()).encode()
    assert "could not be written" in caplog.text
    for name, content in texts.items():
        assert not [secret for secret in secrets if secret in content], name


def test_columns_have_no_room_for_more():
    columns = [column for table in store.tables.sorted_tables for column in table.columns]
    assert {column.name for column in columns} == {
        "term", "secret", "device", "subject", "region", "layer", "first", "last", "cell", "near", "day", "reaction", "unit", "cohort",
        "verdict", "id", "count", "likes", "dislikes", "devices", "rolled_up",
    }  # fmt: skip
    assert not [column for column in columns if isinstance(column.type, sa.DateTime | sa.Float)]


@pytest.fixture
def set_day(monkeypatch):
    """A function that sets the day."""

    def change(*date: int) -> None:
        for module in (terms, publication, writing):
            monkeypatch.setattr(module, "today", lambda: datetime.date(*date))

    return change


def test_a_term_ends_and_nobody_can_be_recognized_in_it(tmp_path, set_day):
    set_day(2026, 9, 29)
    votes = Votes(f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    near = CELLS[3]
    for device in range(7):
        subject = Subject("land", "ndvi", "2018", "2020", CELLS[0])
        own = near if device < 5 else CELLS[4] if device == 5 else None
        votes.put(Vote(subject.key, 1 if device else -1, device=f"device {device}", subject=subject, request=f"r {device}", near=own))
    with votes.engine.connect() as connection:
        secret = terms.read_secret(connection, "2026-Q3")
        hashes = [bytes(each) for each in connection.scalars(sa.select(store.votes.c.device))]
        hashes += [bytes(each) for each in connection.scalars(sa.select(store.requests.c.id))]
    written = b"".join(path.read_bytes() for path in tmp_path.glob("reactions.sqlite*"))
    assert secret in written and all(each in written for each in hashes)
    set_day(2026, 10, 1)
    publish(votes.engine)
    figures = {unit: (each.likes, each.dislikes, each.published.isoformat()) for unit, each in read_units(votes.engine).items()}
    assert [(unit.term, unit.cell, *its) for unit, its in figures.items()] == [("2026-Q3", CELLS[0], 6, 1, "2026-09-30")]
    written = b"".join(path.read_bytes() for path in tmp_path.glob("reactions.sqlite*"))
    assert secret not in written and not [each for each in hashes if each in written]
    with votes.engine.connect() as connection:
        for table in (store.votes, store.counted, store.requests):
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
        columns = store.animation_log.c
        entries = connection.execute(sa.select(columns.near, columns.reaction, columns.count)).all()
    # The place of the one who was alone there is not told.
    assert sorted(map(tuple, entries), key=str) == [(near, -1, 1), (near, 1, 4), (None, 1, 2)]
    # A new term: the same device is another one, and its vote of before is out of reach.
    assert votes.find("device 1", subject.key).reaction == 0
    votes.put(Vote(subject.key, -1, device="device 1", subject=subject))
    assert votes.find("device 1", subject.key).reaction == -1
    publish(votes.engine, roll_up=True)
    assert len(read_units(votes.engine)) == 1
    votes.close()


@pytest.mark.parametrize(
    ("length", "day", "name", "last"),
    [
        ("quarter", (2026, 1, 1), "2026-Q1", (2026, 3, 31)),
        ("quarter", (2026, 12, 31), "2026-Q4", (2026, 12, 31)),
        ("month", (2024, 2, 10), "2024-02", (2024, 2, 29)),
        ("month", (2026, 12, 1), "2026-12", (2026, 12, 31)),
        ("year", (2026, 7, 1), "2026", (2026, 12, 31)),
    ],
)
def test_terms(length, day, name, last):
    assert terms.term_of(datetime.date(*day), length) == name
    assert terms.last_day(name) == datetime.date(*last)


def test_ids_of_requests_are_forgotten_after_days(tmp_path, set_day):
    set_day(2026, 5, 1)
    votes = Votes(f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    subject = Subject("land", "ndvi", "2018", "2020", CELLS[0])
    votes.put(Vote(subject.key, 1, device="device", subject=subject, request="first"))
    count = sa.select(sa.func.count()).select_from(store.requests)
    for day, left in ((8, 1), (9, 0)):
        set_day(2026, 5, day)
        publish(votes.engine)
        with votes.engine.connect() as connection:
            assert connection.scalar(count) == left
    votes.close()


def test_a_region_is_removed_on_request(tmp_path, set_day):
    set_day(2026, 5, 1)
    votes = Votes(f"sqlite:///{tmp_path / 'reactions.sqlite'}")
    for region in ("land", "sea"):
        subject = Subject(region, "ndvi", "2018", "2020", CELLS[0])
        for device in range(5):
            votes.put(Vote(subject.key, 1, device=f"device {device}", subject=subject))
    publish(votes.engine)
    removed = publication.remove_region(votes.engine, "land")
    assert removed == {"votes": 5, "counted": 5, "published": 1, "animation_log": 0}
    assert [unit.region for unit in read_units(votes.engine)] == ["sea"]
    votes.close()
