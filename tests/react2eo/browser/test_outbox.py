"""Reactions leave a device once and in order, whatever the network does."""

import json
import re

import pytest
from watched_pages import wait_until

VIEW = {"region": "land", "layer": "ndvi", "first": "2018", "last": "2020", "bounds": [-90.5, 20.1, -90.4, 20.2]}
OTHER = VIEW | {"layer": "land_cover"}


class Server:
    """Answers reactions as the real one does, and as a bad day makes it."""

    def __init__(self, context):
        self.received: list[dict] = []
        self.answers: list[object] = []
        context.route("**/api/reactions", self._answer)

    def _answer(self, route) -> None:
        body = json.loads(route.request.post_data)
        self.received.append(body)
        status = self.answers.pop(0) if self.answers else 200
        if status == "lost":
            route.abort()
            return
        headers = {"Retry-After": "1"} if status == 429 else {}
        reaction = None if body["reaction"] == "none" else body["reaction"]
        subject = f"subject-{body['view']['layer']}"
        answer = {"subject": subject, "reaction": reaction} if status == 200 else {"error": "InputError", "detail": "no such view"}
        route.fulfill(status=status, json=answer, headers=headers)


@pytest.fixture
def profile(open_profile):
    return open_profile()


@pytest.fixture
def server(profile) -> Server:
    return Server(profile.context)


def open_outbox(profile):
    page = profile.open("/health")
    page.evaluate(
        """async () => {
            globalThis.box = await import("/app/outbox.js");
            globalThis.told = [];
            for (const type of ["change", "sent", "waiting", "dropped"]) {
                box.outbox.addEventListener(type, ({ detail }) => told.push([type, detail.reaction ?? detail.reason ?? null]));
            }
        }"""
    )
    return page


def send(page, view: dict, reaction: str, near: list[float] | None = None) -> dict:
    return page.evaluate("([view, reaction, near]) => box.sendReaction(view, reaction, { near })", [view, reaction, near])


def present(page, view: dict) -> dict:
    return page.evaluate("view => box.presentReaction(view)", view)


def wait_until_sent(page) -> None:
    wait_until(page, "async () => (await box.countWaiting()) === 0")


def test_a_reaction_is_shown_at_once_and_sent_once(profile, server):
    page = open_outbox(profile)
    assert present(page, VIEW) == {"reaction": None, "pending": False, "subject": ""}
    assert send(page, VIEW, "like", [-90.45678, 20.12345])["reaction"] == "like"
    wait_until_sent(page)
    assert present(page, VIEW) == {"reaction": "like", "pending": False, "subject": "subject-ndvi"}
    assert present(page, VIEW | {"bounds": [0, 0, 1, 1], "subject": "subject-ndvi"})["reaction"] == "like"
    (body,) = server.received
    assert body["view"] == VIEW and body["reaction"] == "like"
    assert body["near"] == [-90.46, 20.12], "about 1 km, as much as the server needs"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", body["id"])
    assert re.fullmatch(r"[\w-]{32}", body["device"])
    send(page, VIEW, "none")
    wait_until_sent(page)
    assert present(page, VIEW)["reaction"] is None
    assert [each["reaction"] for each in server.received] == ["like", "none"]
    page.wait_for_function("() => told.filter(([type]) => type === 'sent').length === 2")
    profile.verify()


def test_without_network_reactions_wait_in_order(profile, server):
    page = open_outbox(profile)
    profile.context.set_offline(True)
    send(page, VIEW, "like")
    send(page, OTHER, "dislike")
    send(page, VIEW, "dislike")
    assert present(page, VIEW) == {"reaction": "dislike", "pending": True, "subject": ""}
    page.close()
    assert server.received == []
    profile.context.set_offline(False)
    page = open_outbox(profile)
    wait_until_sent(page)
    sent = [(each["view"]["layer"], each["reaction"]) for each in server.received]
    assert sent == [("land_cover", "dislike"), ("ndvi", "dislike")], "what never left gives way to what came after it"
    assert len({each["id"] for each in server.received}) == 2
    profile.context.set_offline(True)
    send(page, OTHER, "like")
    profile.context.set_offline(False)
    wait_until_sent(page)
    assert len(server.received) == 3, "sent as soon as the network is back"


def test_a_vote_is_changed_where_it_was_made(profile, server):
    page = open_outbox(profile)
    moved = VIEW | {"bounds": [-90.49, 20.11, -90.39, 20.21]}
    elsewhere = VIEW | {"bounds": [-90.45, 20.15, -90.35, 20.25]}
    send(page, VIEW, "like")
    wait_until_sent(page)
    assert present(page, moved)["reaction"] == "like", "four fifths of both show the same"
    assert present(page, elsewhere)["reaction"] is None
    assert present(page, moved | {"last": "2019"})["reaction"] is None
    send(page, moved, "none")
    wait_until_sent(page)
    assert server.received[-1]["view"] == VIEW, "another cell's vote could not take the first one back"
    assert present(page, VIEW)["reaction"] is None


def test_what_may_have_arrived_is_sent_again_under_its_id(profile, server):
    page = open_outbox(profile)
    server.answers = ["lost", 503, 429]
    send(page, VIEW, "like")
    send(page, VIEW, "dislike")
    wait_until_sent(page)
    ids = [each["id"] for each in server.received]
    assert len(ids) == 5 and len(set(ids[:4])) == 1 and ids[4] != ids[0]
    assert [each["reaction"] for each in server.received] == ["like"] * 4 + ["dislike"]
    assert present(page, VIEW)["reaction"] == "dislike"
    page.wait_for_function("() => told.filter(([type]) => type === 'waiting').length === 3")


def test_what_the_server_refuses_is_taken_back_and_told(profile, server):
    page = open_outbox(profile)
    send(page, VIEW, "like")
    wait_until_sent(page)
    server.answers = [422]
    send(page, VIEW, "dislike")
    wait_until_sent(page)
    page.wait_for_function("() => told.some(([type, reason]) => type === 'dropped' && reason === 'no such view')")
    assert present(page, VIEW)["reaction"] == "like"


def test_two_tabs_are_one_device_and_send_once(profile, server):
    first, second = open_outbox(profile), open_outbox(profile)
    profile.context.set_offline(True)
    for page in (first, second):
        send(page, VIEW if page is first else OTHER, "like")
    first.wait_for_function("() => told.filter(([type]) => type === 'change').length === 2")
    profile.context.set_offline(False)
    for page in (first, second):
        wait_until_sent(page)
    assert sorted(each["view"]["layer"] for each in server.received) == ["land_cover", "ndvi"]
    assert len({each["device"] for each in server.received}) == 1
    assert present(first, OTHER)["reaction"] == "like"


def test_the_device_stays_the_same_where_one_storage_is_cleared(profile, server):
    page = open_outbox(profile)
    token = page.evaluate("box.deviceToken()")
    page.evaluate("localStorage.clear()")
    page.close()
    page = open_outbox(profile)
    assert page.evaluate("box.deviceToken()") == token
    page.evaluate("new Promise(done => { const asked = indexedDB.deleteDatabase('react2eo'); asked.onsuccess = asked.onerror = done })")
    page.close()
    assert open_outbox(profile).evaluate("box.deviceToken()") == token
