"""Who asks, how often and in which turn: the pure parts of the protection."""

import asyncio
import ipaddress
import secrets
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

import pytest

from ceiba.react2eo.protection import limiter
from ceiba.react2eo.protection.addresses import choose_client, network_key, read_hop
from ceiba.react2eo.protection.limiter import CrowdedError, MinuteBuckets, TokenBuckets, Turns

PROXIES = tuple(ipaddress.ip_network(each) for each in ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8"))
LOOPBACK = ipaddress.ip_address("127.0.0.1")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def run_apart(scenario: Coroutine) -> object:
    """Run a coroutine in a thread of its own: a browser of another test may keep a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, scenario).result()


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], "127.0.0.1"),
        (["203.0.113.7"], "203.0.113.7"),
        # What a client writes itself stands at the left, and is not read.
        (["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (["198.51.100.1", "203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        (["127.0.0.1, 203.0.113.7"], "203.0.113.7"),
        (["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        (["203.0.113.7:51123"], "203.0.113.7"),
        (["[2001:db8:1:2::7]:443"], "2001:db8:1:2::7"),
        (["2001:db8:1:2::7, fd00::1"], "2001:db8:1:2::7"),
        (["fe80::1%eth0"], "fe80::1"),
        (["::ffff:203.0.113.7"], "203.0.113.7"),
        # Garbage ends the search at the proxy that passed it on.
        (["203.0.113.7, unknown"], "127.0.0.1"),
        (["203.0.113.7, <script>, 10.1.2.3"], "10.1.2.3"),
        (["203.0.113.7,"], "127.0.0.1"),
        (["999.1.1.1"], "127.0.0.1"),
        (["1" * 5000], "127.0.0.1"),
        (["::" * 40], "127.0.0.1"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_trusted_proxy(forwarded, client):
    assert choose_client(LOOPBACK, forwarded, PROXIES) == ipaddress.ip_address(client)


@pytest.mark.parametrize("text", ["", "testclient", "unix:", "1.2.3", "01.2.3.4", "g::1", "[1.2.3.4", "1.2.3.4:", "1.2.3.4:123456"])
def test_what_is_no_address(text):
    assert read_hop(text) is None


def test_a_client_is_known_by_its_network_and_only_in_this_process():
    secret = secrets.token_bytes(32)

    def key(text: str, with_secret: bytes = secret) -> bytes:
        return network_key(ipaddress.ip_address(text), with_secret)

    assert key("203.0.113.7") == key("203.0.113.250") != key("203.0.114.7")
    assert key("2001:db8:1:2::7") == key("2001:db8:1:ffff::1") != key("2001:db8:2:2::7")
    assert key("203.0.113.7", secrets.token_bytes(32)) != key("203.0.113.7")
    assert network_key(None, secret) not in {key("0.0.0.0"), key("::")}


def test_a_bucket_is_refilled_evenly():
    clock = Clock()
    buckets = TokenBuckets(60, clock=clock)
    assert all(buckets.take("a") == 0 for _ in range(60))
    assert buckets.take("a") == pytest.approx(1.0)
    assert buckets.take("b") == 0, "another client has a bucket of its own"
    clock.now += 0.4
    assert buckets.take("a") == pytest.approx(0.6)
    clock.now += 0.6
    assert buckets.take("a") == 0
    clock.now += 3600
    assert sum(buckets.take("a") == 0 for _ in range(100)) == 60, "never more than full"


def test_never_more_than_so_many_in_any_minute():
    clock = Clock()
    buckets = MinuteBuckets(30, clock=clock)
    passed = []
    for _ in range(3000):  # one every 0.1 s for five minutes
        clock.now += 0.1
        if buckets.take("a") == 0:
            passed.append(clock.now)
    assert len(passed) == 150
    assert all(sum(start <= each < start + 60 for each in passed) <= 30 for start in passed)


def test_the_thirty_first_within_a_minute_has_to_wait_for_the_first_one():
    clock = Clock()
    buckets = MinuteBuckets(30, clock=clock)
    for _ in range(30):
        assert buckets.take("a") == 0
        clock.now += 1.5
    assert buckets.take("a") == pytest.approx(60 - 30 * 1.5)


def test_memory_is_bounded_and_who_comes_often_is_remembered():
    buckets = TokenBuckets(2, clients=100, clock=Clock())
    assert [buckets.take("often") for _ in range(2)] == [0, 0]
    for number in range(100_000):
        buckets.take(number)
        if number % 50 == 0:
            assert buckets.take("often") > 0
    assert len(buckets._states) == 100


def test_one_who_floods_waits_for_itself_and_others_have_turns():
    async def scenario() -> tuple[list[str], int]:
        turns, order, most = Turns(3, each=2, waiting_each=50, waiting=1000, patience_s=5), [], 0

        async def work(name: str) -> None:
            nonlocal most
            await turns.enter(name)
            order.append(name)
            if 3 < len(order) < 9:
                most = max(most, turns._held["flood"])
            await asyncio.sleep(0.001)
            turns.leave(name)

        tasks = [asyncio.create_task(work("flood")) for _ in range(53)]
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError) as caught:
            await turns.enter("flood")
        assert caught.value.own and not turns.crowded, "it waits for itself alone"
        tasks += [asyncio.create_task(work(name)) for name in ("one", "two", "one", "two", "one", "one")]
        await asyncio.gather(*tasks)
        assert turns._count == 0 and turns._free == 3 and not turns._held
        return order, most

    order, most = run_apart(scenario())
    assert len(order) == 59 and order[:3] == ["flood"] * 3, "alone it has all places"
    assert most <= 2, "and not beside others"
    last = max(position for position, name in enumerate(order) if name != "flood")
    assert last <= 15


def test_who_had_much_of_late_holds_one_place_beside_others(monkeypatch):
    monkeypatch.setattr(limiter, "HEAVY", 10)

    async def scenario() -> list[int]:
        turns, held = Turns(4, each=2, waiting_each=50, waiting=50, patience_s=5), []
        for _ in range(11):
            await turns.enter("flood")
            turns.leave("flood")
        await turns.enter("person")
        tasks = [asyncio.create_task(turns.enter("flood")) for _ in range(4)]
        await asyncio.sleep(0)
        held.append(turns._held["flood"])
        assert not turns.crowded
        turns.leave("person")
        held.append(turns._held["flood"])
        await asyncio.gather(*tasks)
        return held

    assert run_apart(scenario()) == [1, 4]


def test_what_a_client_had_long_ago_counts_no_longer(monkeypatch):
    monkeypatch.setattr(limiter, "FORGET_S", -1)

    async def scenario() -> int:
        turns = Turns(1, each=1, waiting_each=5, waiting=5, patience_s=1)
        for number in range(1000):
            await turns.enter(number)
            turns.leave(number)
        return len(turns._served)

    assert run_apart(scenario()) == 1


def test_who_waits_too_long_or_goes_away_leaves_no_place_behind():
    async def scenario() -> None:
        turns = Turns(1, each=1, waiting_each=5, waiting=3, patience_s=0.05)
        await turns.enter("a")
        with pytest.raises(CrowdedError) as caught:
            await turns.enter("b")
        assert not caught.value.own
        gone = [asyncio.create_task(turns.enter(name)) for name in "cde"]
        await asyncio.sleep(0)
        with pytest.raises(CrowdedError):
            await turns.enter("f")  # everybody's queue is full
        gone[0].cancel()
        await asyncio.sleep(0)
        turns.leave("a")
        await gone[1]
        gone[2].cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        turns.leave("d")
        assert turns._free == 1 and turns._count == 0 and not turns._held
        # Granted in the very moment in which the waiting task is cancelled: the place comes back.
        await turns.enter("a")
        late = asyncio.create_task(turns.enter("b"))
        await asyncio.sleep(0)
        turns.leave("a")
        late.cancel()
        await asyncio.gather(late, return_exceptions=True)
        assert turns._free == 1

    run_apart(scenario())
