"""Publication of reactions: cohorts of five devices that come and go together, and nothing that singles out fewer."""

import datetime
import os
import random
from collections import defaultdict

import h3
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ceiba.react2eo.reactions import publication, published, terms, votes
from ceiba.react2eo.reactions import reaction_store as store
from ceiba.react2eo.reactions.publication import K, Opinion
from ceiba.react2eo.reactions.votes import Vote, write
from ceiba.react2eo.subjects import Subject

CELL = h3.latlng_to_cell(20.0, -89.0, 7)
PARENT = h3.cell_to_parent(CELL, 6)
SIBLING = next(cell for cell in sorted(h3.cell_to_children(PARENT, 7)) if cell != CELL)
FAR = h3.latlng_to_cell(28.0, -110.0, 7)
WIDE = h3.cell_to_parent(CELL, 5)


class Desk:
    """Votes on a database of a test, on a day that the test chooses."""

    def __init__(self, folder, monkeypatch):
        self.engine = store.open_database(f"sqlite:///{folder / 'reactions.sqlite'}")
        # Nothing here asks what a power failure leaves, and thousands of short transactions would wait for the disk.
        sa.event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF"))
        self.engine.dispose()
        self.keys = terms.Keys()
        self.patch = monkeypatch
        self.set_day(datetime.date(2026, 5, 4))

    def set_day(self, day: datetime.date) -> None:
        for module in (terms, publication, votes):
            self.patch.setattr(module, "today", lambda: day)

    def vote(self, *devices, reaction=1, **about):
        self.vote_each(dict.fromkeys(devices, reaction), **about)

    def vote_each(self, reactions: dict, *, cell=CELL, layer="ndvi", last="2020"):
        subject = Subject("land", layer, "2018", last, cell)
        given = [Vote(subject.key, each, device=f"device-{name}", subject=subject) for name, each in reactions.items()]
        write(self.engine, self.keys, given)

    def publish(self, *, roll_up=False) -> int:
        return publication.publish(self.engine, roll_up=roll_up)

    def units(self) -> dict[str, tuple[int, int, int]]:
        read = published.read_units(self.engine)
        return {unit.cell: (each.likes, each.dislikes, each.devices) for unit, each in read.items()}

    def clear(self) -> None:
        with store.writing(self.engine).begin() as connection:
            for table in store.tables.sorted_tables:
                connection.execute(table.delete())
        self.keys = terms.Keys()


@pytest.fixture
def desk(tmp_path, monkeypatch):
    made = Desk(tmp_path, monkeypatch)
    yield made
    made.engine.dispose()


def test_four_devices_of_a_cell_are_not_published_and_five_are(desk):
    desk.vote(1, 2, 3, 4)
    assert desk.publish(roll_up=True) == 0 and desk.units() == {}
    desk.vote(4, last="2019")  # once more the same device
    assert desk.publish(roll_up=True) == 0
    desk.vote(5, reaction=-1)
    assert desk.publish() == 1 and desk.units() == {CELL: (4, 1, 5)}


def test_a_published_cell_changes_only_after_five_further_devices(desk):
    desk.vote(*range(5))
    desk.publish()
    for newcomer in range(5, 9):
        desk.vote(newcomer, reaction=-1)
        assert desk.publish(roll_up=True) == 0 and desk.units() == {CELL: (5, 0, 5)}
    desk.vote(9, reaction=-1)
    assert desk.publish() == 1 and desk.units() == {CELL: (5, 5, 10)}
    for gone in range(4):
        desk.vote(gone, reaction=0)
        assert desk.publish(roll_up=True) == 0
    desk.vote(4, reaction=0)
    assert desk.publish() == 1 and desk.units() == {CELL: (0, 5, 5)}


def test_changed_minds_count_anew_and_a_cell_that_all_left_is_no_more(desk):
    desk.vote(*range(5))
    desk.publish()
    desk.vote(*range(5), reaction=-1)
    assert desk.publish() == 1 and desk.units() == {CELL: (0, 5, 5)}
    desk.vote(*range(5), reaction=0)
    assert desk.publish() == 1 and desk.units() == {}


def test_nobody_stays_behind_alone(desk):
    desk.vote(*range(6))
    desk.publish()
    desk.vote(*range(5), reaction=0)
    assert desk.publish(roll_up=True) == 0 and desk.units() == {CELL: (6, 0, 6)}
    # The combination of three downloads that a rule about units alone would allow, see the module.
    desk.vote(*range(10, 20))
    assert desk.publish() == 1
    desk.vote(20)
    assert desk.publish(roll_up=True) == 0


def test_too_few_go_up_to_the_parent_and_then_to_the_region_and_no_vote_counts_twice(desk):
    desk.vote(1, 2, 3, 4)
    desk.vote(5, cell=SIBLING)
    assert desk.publish() == 0
    assert desk.publish(roll_up=True) == 1 and desk.units() == {PARENT: (5, 0, 5)}
    desk.vote(6, 7, cell=CELL)
    desk.vote(8, 9, 10, cell=FAR)
    assert desk.publish(roll_up=True) == 1 and desk.units() == {PARENT: (5, 0, 5), "": (5, 0, 5)}
    desk.vote(*range(20, 25))
    assert desk.publish() == 1
    assert desk.units() == {PARENT: (5, 0, 5), "": (5, 0, 5), CELL: (5, 0, 5)}
    assert published.total(published.read_units(desk.engine).values()).devices == 15


def test_one_device_in_five_cells_is_one_device(desk):
    children = sorted(h3.cell_to_children(PARENT, 7))
    for cell in children[:5]:
        desk.vote(1, cell=cell)
    desk.vote(2, 3, 4, cell=children[5])
    assert desk.publish(roll_up=True) == 0
    desk.vote(5, cell=children[6])
    assert desk.publish(roll_up=True) == 1 and desk.units() == {PARENT: (9, 0, 5)}


def test_layers_are_published_apart(desk):
    desk.vote(1, 2, 3)
    desk.vote(4, 5, 6, layer="water")
    assert desk.publish(roll_up=True) == 0


def test_passing_on_happens_once_a_day(desk):
    desk.vote(1, 2, 3, 4)
    desk.publish(roll_up=None)
    desk.vote(5, cell=SIBLING)
    assert desk.publish(roll_up=None) == 0
    desk.set_day(datetime.date(2026, 5, 5))
    assert desk.publish(roll_up=None) == 1


def test_one_process_at_a_time(desk):
    with store.alone(desk.engine, "publication"):
        assert desk.publish() is None


def test_who_leaves_leaves_with_four_others_and_four_stay_at_least():
    opinions = [Opinion("land", "ndvi", CELL, bytes([number]), 0) for number in range(10)]
    members = [opinion.device for opinion in opinions]
    counts = [len(publication.find_leavers(members, opinions[:count])) for count in range(11)]
    assert counts == [0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 10]
    # The first device has a second opinion that stays: it is not among those who leave.
    assert publication.find_leavers([*members, members[0]], opinions[:5]) == []
    assert publication.find_leavers([*members, members[0], b"x"], opinions[:6]) == opinions[1:6]


# Runs of neighbors, so that those who came together often leave together, in part, or with others.
DEVICES = st.builds(lambda first, count: list(range(first, min(first + count, 14))), st.integers(0, 9), st.integers(1, 8))
REFRESH = st.tuples(st.just("publish"), st.sampled_from([True, True, False]))


def votes_of(reactions, *, layers=("ndvi",), cells=(CELL, CELL, CELL, SIBLING, FAR, WIDE), years=("2020",)):
    chosen = (st.sampled_from(each) for each in (reactions, cells, layers, years))
    return st.tuples(st.just("vote"), DEVICES, *chosen)


ACTIONS = st.lists(
    st.one_of(
        votes_of([1, -1]),
        votes_of([0, 0, 1], cells=[CELL]),
        votes_of([1, -1, 0], layers=["ndvi", "water"], years=["2019", "2020"]),
        REFRESH,
        REFRESH,
    ),
    min_size=6,
    max_size=24,
)


def play(desk, actions, change=lambda device, reaction: reaction, *, fresh=True) -> list[tuple[dict, list]]:
    """Do it all; returns each download with the rows of opinions that are in it, devices by number."""
    if fresh:
        desk.clear()
        actions = [*actions, ("publish", True)]
    downloads, numbers = [], {}
    for action, *rest in actions:
        if action == "vote":
            devices, reaction, cell, layer, last = rest
            desk.vote_each({device: change(device, reaction) for device in devices}, cell=cell, layer=layer, last=last)
            continue
        desk.publish(roll_up=rest[0])
        with desk.engine.connect() as connection:
            if not numbers and (secret := terms.read_secret(connection, "2026-Q2")):
                numbers = {terms.hide_device(secret, f"device-{number}"): number for number in range(14)}
            rows = connection.execute(store.counted.select()).mappings().all()
        rows = [dict(row) | {"device": numbers[row["device"]]} for row in rows]
        downloads.append((read_all(desk), rows))
    return downloads


def read_all(desk) -> dict:
    return {
        (unit.layer, unit.cell): (each.likes, each.dislikes, each.devices)
        for unit, each in published.read_units(desk.engine).items()
    }


EXAMPLES = int(os.environ.get("CEIBA_PUBLICATION_EXAMPLES", "20"))
RANDOM = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def check_history(downloads) -> None:
    """What must hold for all figures ever published."""
    places, before = defaultdict(set), {}
    for number, (download, rows) in enumerate(downloads):
        units = defaultdict(set)
        for row in rows:
            opinion = (row["layer"], row["cell"], row["device"], row["verdict"], row["cohort"])
            units[row["layer"], row["unit"]].add(opinion)
            places[opinion].add((number, row["layer"], row["unit"]))
        # Each opinion is in one unit, figures are sums over them, and each is about five devices or more.
        assert download == {
            unit: (
                sum(verdict > 0 for *_, verdict, _ in opinions),
                sum(verdict < 0 for *_, verdict, _ in opinions),
                len({(cohort, device) for *_, device, _, cohort in opinions}),
            )
            for unit, opinions in units.items()
        }
        assert sum(map(len, units.values())) == len(rows)
        assert all(len({opinion[2] for opinion in opinions}) >= K for opinions in units.values())
        # A unit changes only by five devices or more.
        for unit in units.keys() | before.keys():
            changed = units.get(unit, set()) ^ before.get(unit, set())
            assert not changed or len({opinion[2] for opinion in changed}) >= K
        before = units
    # Opinions that were in the same of all figures ever published have the same factor in any sum or difference of these.
    alike = defaultdict(set)
    for opinion, its in places.items():
        alike[frozenset(its)].add(opinion[2])
    assert all(len(devices) >= K for devices in alike.values())


@RANDOM
@given(actions=ACTIONS)
def test_nothing_computed_from_all_downloads_is_about_fewer_than_five(desk, actions):
    check_history(play(desk, actions))


@pytest.mark.parametrize("seed", range(max(3, EXAMPLES // 5)))
def test_nothing_computed_from_the_downloads_of_a_long_history_is_either(desk, seed):
    """Parts of cohorts that leave or change together are frequent here, and newcomers who hide or reveal them."""
    chance = random.Random(seed)
    downloads, rows = [], []
    for _ in range(60):
        if rows and chance.random() < 0.5:
            chosen = chance.choice(rows)
            cohort = sorted({row["device"] for row in rows if (row["unit"], row["cohort"]) == (chosen["unit"], chosen["cohort"])})
            devices = chance.sample(cohort, chance.randint(min(4, len(cohort)), len(cohort)))
            reaction, cell = chance.choice([0, 0, 1, -1]), chosen["cell"]
        else:
            devices = chance.sample(range(14), chance.randint(1, 9))
            reaction, cell = chance.choice([1, -1]), chance.choice([CELL, CELL, SIBLING, FAR, WIDE])
        actions = [("vote", devices, reaction, cell, "ndvi", "2020")]
        if chance.random() < 0.7:
            actions.append(("publish", chance.random() < 0.3))
            downloads += play(desk, actions, fresh=False)
            rows = downloads[-1][1]
        else:
            play(desk, actions, fresh=False)
    check_history(downloads)


@RANDOM
@given(actions=ACTIONS, target=st.integers(0, 13))
def test_who_knows_all_but_one_sees_nothing_of_it_before_four_others_are_published_with_it(desk, actions, target):
    first = play(desk, actions)
    second = play(desk, actions, lambda device, reaction: -reaction if device == target else reaction)
    for (seen, rows), (other, _) in zip(first, second, strict=True):
        for unit in seen.keys() | other.keys():
            if seen.get(unit) == other.get(unit):
                continue
            cohorts = {row["cohort"] for row in rows if (row["layer"], row["unit"]) == unit and row["device"] == target}
            assert cohorts
            for cohort in cohorts:
                its = {row["device"] for row in rows if (row["layer"], row["unit"], row["cohort"]) == (*unit, cohort)}
                assert len(its - {target}) >= K - 1


ONCE = st.lists(st.one_of(votes_of([1, -1]), votes_of([1, -1]), REFRESH), min_size=4, max_size=16)


@RANDOM
@given(actions=ONCE, data=st.data())
def test_two_of_a_cohort_can_swap_their_votes_and_no_download_changes(desk, actions, data):
    done, single = set(), []
    for action in actions:  # everybody votes once on a cell and does not change it
        if action[0] == "vote":
            devices = [device for device in dict.fromkeys(action[1]) if device not in done]
            done.update(devices)
            action = ("vote", devices, *action[2:])
        single.append(action)
    downloads = play(desk, single)
    cohorts = defaultdict(dict)
    for row in downloads[-1][1]:
        cohorts[row["unit"], row["cohort"]][row["device"]] = row["verdict"]
    mixed = [cohort for cohort in cohorts.values() if len(set(cohort.values())) == 2]
    if not mixed:
        return
    cohort = data.draw(st.sampled_from(mixed))
    pair = [data.draw(st.sampled_from(sorted(device for device in cohort if cohort[device] == verdict))) for verdict in (1, -1)]
    swapped = play(desk, single, lambda device, reaction: -reaction if device in pair else reaction)
    assert [seen for seen, _ in swapped] == [seen for seen, _ in downloads]
