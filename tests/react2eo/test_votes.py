"""Votes: one a device and subject, replaceable, removable, sent twice without harm."""

import uuid

import pytest

DEVICE = "d" * 22


@pytest.fixture
def react(client):
    """A function that sends a reaction to a view of the gallery and gives the answer."""
    bounds = client.get("/api/products").json()["regions"][0]["bounds"]

    def send(reaction: str, *, device: str = DEVICE, id: str = "", last: str = "2020", **more):
        view = {"region": "land", "layer": "ndvi", "first": "2018", "last": last, "bounds": bounds}
        body = {"id": id or str(uuid.uuid4()), "device": device, "view": view, "reaction": reaction} | more
        return client.post("/api/reactions", json=body)

    return send


def present(client, subject: str, device: str = DEVICE):
    return client.get(f"/api/reactions/{subject}", headers={"X-Device": device}).json()["reaction"]


def test_a_reaction_is_kept_changed_and_removed(client, react):
    first = react("like").json()
    subject = first["subject"]
    assert first == {"subject": subject, "reaction": "like"} and present(client, subject) == "like"
    assert react("dislike").json()["reaction"] == "dislike" and present(client, subject) == "dislike"
    assert present(client, subject, "e" * 22) is None
    assert react("like", last="2019").json()["subject"] != subject
    assert react("none").json() == {"subject": subject, "reaction": None} and present(client, subject) is None
    react("like")
    removed = client.delete(f"/api/reactions/{subject}", headers={"X-Device": DEVICE})
    assert removed.json() == {"subject": subject, "reaction": None} and present(client, subject) is None


def test_the_same_request_again_changes_nothing(client, react):
    number = str(uuid.uuid4())
    subject = react("like", id=number).json()["subject"]
    react("dislike")
    assert react("like", id=number).json()["reaction"] == "like"
    assert present(client, subject) == "dislike"


@pytest.mark.parametrize(
    "wrong", [{"id": "1"}, {"device": "short"}, {"device": "ñ" * 22}, {"near": [200, 0]}, {"near": [1]}, {"reaction": "love"}]
)
def test_a_wrong_reaction_is_refused(react, wrong):
    assert react(**({"reaction": "like"} | wrong)).status_code == 422


def test_what_does_not_exist_is_told(react):
    answer = react("like", last="1999")
    assert answer.status_code == 404 and "no period '1999'" in answer.json()["detail"]
