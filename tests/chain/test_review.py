"""Experts accept and reject sets of products; what is rejected is made again, and nothing of it is lost."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from ceiba import cube as index
from ceiba import review
from ceiba import store as storage
from ceiba.cli import app
from ceiba.dashboards.available import list_available, load
from ceiba.errors import CatalogError, InputError, ReviewError
from ceiba.estimates import Estimator
from ceiba.grids import Period
from ceiba.plan import make_unit, take_snapshot
from ceiba.review import Review, find_set, latest_reviews, list_reviews, revise, state_of, write_review
from ceiba.review_report import is_about, write_review_report
from ceiba.specifications import check_set, find_specification, load_specifications, read_specifications

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import COUNT, make_ard  # noqa: E402

PRODUCT = "clear_observations"
GIVEN = {"reviewer": "A. Reviewer", "reason": "for the test", "specification": "any_product"}


@pytest.fixture
def area(store, request, tmp_path, write_archive, add_tiny_area) -> str:
    """An area of its own with the clear observations of one tile and year: four scenes, a third of each cloudy."""
    name = add_tiny_area(store, write_archive(tmp_path / "archive"), name=request.node.name.partition("[")[0])
    make_ard(name)
    yield name
    shutil.rmtree(store / "areas" / name)


def unit(area: str):
    return make_unit(COUNT[0], COUNT[1] | {"area": area})


def told(*arguments: str, code: int = 0) -> str:
    """Output of the command in this process."""
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=code != 0)
    assert done.exit_code == code, done.output
    return done.output


def test_a_rejected_product_is_made_again_and_accepted(area, tmp_path):
    first = take_snapshot(unit(area))
    assert first.is_done() and find_set(PRODUCT, area).datasets[0].id == first.ids[PRODUCT]
    assert list_available()[area][PRODUCT].states == {(area, Period(2019, 2019)): "draft"}

    rejected = write_review(find_set(PRODUCT, area), "rejected", **GIVEN | {"reason": "a cloud was taken for soil"})
    again = take_snapshot(unit(area))
    assert not again.is_done() and again.ids != first.ids and again.rejected[PRODUCT] == rejected
    # The id follows from the review alone: any machine that knows it plans the same work.
    assert take_snapshot(unit(area)).ids == again.ids
    estimate = Estimator().estimate(unit(area))
    assert (estimate.state, estimate.reason) == ("rejected", "A. Reviewer: a cloud was taken for soil")
    # Until it is made again people see what there is, and that it was rejected.
    available = list_available()[area][PRODUCT]
    shown = load(available, tile=area, period=Period(2019, 2019))
    assert shown.source.endswith("· rejected") and "· rechazado | " in shown.source

    make_ard(area)
    assert take_snapshot(unit(area)).is_done() and index.get_dataset(index.connect(), first.ids[PRODUCT]) is None
    remade = index.get_dataset(index.connect(), again.ids[PRODUCT])
    assert remade.metadata_doc["properties"]["ceiba:revision"] == str(rejected.id)
    assert state_of(remade.id, latest_reviews(list_reviews(area))) == "draft"

    accepted = write_review(find_set(PRODUCT, area), "accepted", **GIVEN)
    assert [each.id for each in list_reviews(area)] == [rejected.id, accepted.id]
    assert [each.number for each in list_reviews(area)] == [0, 1]
    assert take_snapshot(unit(area)).is_done() and Estimator().estimate(unit(area)).state == "done"
    assert list_available()[area][PRODUCT].states == {(area, Period(2019, 2019)): "accepted"}
    # The page of what was made again still tells why, though the rejected product is no longer in the cube.
    products, specification = find_set(PRODUCT, area), find_specification("any_product", PRODUCT)
    page = write_review_report(tmp_path / "page.html", products, specification, check_set(products, specification)).read_text("utf-8")
    assert "a cloud was taken for soil" in page and page.count('<span class="pill made">') == 3


def test_a_reviewer_may_think_better_of_it(area):
    first = take_snapshot(unit(area))
    write_review(find_set(PRODUCT, area), "rejected", **GIVEN)
    write_review(find_set(PRODUCT, area), "accepted", **GIVEN)
    assert take_snapshot(unit(area)).ids == first.ids and take_snapshot(unit(area)).is_done()


@pytest.mark.parametrize(
    ("product", "version", "tiles", "period", "about"),
    [
        ("p", "1", ("a", "b"), "2018--2020", True),
        ("p", "1", ("b",), "2020", True),
        ("p", "1", ("b",), "2022--2024", False),
        ("p", "1", ("c",), "2019", False),
        ("p", "2", ("b",), "2019", False),
        ("q", "1", ("b",), "2019", False),
    ],
)
def test_the_history_of_a_set_is_of_its_tiles_and_years(product, version, tiles, period, about):
    review_of = Review(0, "rejected", product, version, "x", tiles, period, "w", "y", "d", "s", (), (), "r")
    asked = SimpleNamespace(definition=SimpleNamespace(name="p", version="1"), tiles=("b", "d"), period=Period(2019, 2021))
    assert is_about(review_of, asked) is about


def test_rejections_follow_each_other():
    ids = {"": "a", "r1": "b", "r2": "c"}
    reviews = {name: Review(0, "rejected", "p", "1", "x", (), "2019", "w", "y", "d", "s", (), (), name) for name in ("r1", "r2")}
    assert revise(ids.get, {}) == ("a", None)
    assert revise(ids.get, {"a": reviews["r1"]}) == ("b", reviews["r1"])
    assert revise(ids.get, {"a": reviews["r1"], "b": reviews["r2"]}) == ("c", reviews["r2"])
    # A rejection of what was made later does not reach what was made before.
    assert revise(ids.get, {"b": reviews["r2"]}) == ("a", None)


def test_a_killed_review_leaves_no_half(area, store):
    index.connect()
    passed: list[str] = []
    for number in range(1, 50):
        child = os.fork()
        if child == 0:
            count = [0]

            def boundary(name, count=count, number=number):
                count[0] += 1
                if count[0] == number:
                    os.kill(os.getpid(), signal.SIGKILL)

            storage.boundary = boundary
            try:
                write_review(find_set(PRODUCT, area), "rejected", **GIVEN)
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        written = list_reviews(area)
        assert len(written) <= 1
        passed.append(f"{number}: {len(written)}")
        if os.WIFEXITED(status) or written:
            break
    assert number > 4, passed
    # The next attempt takes up what was left; there is one review, whole, and nothing half-written.
    kept = store / "products" / "product_review" / "1.0.0" / area
    storage.sweep()
    if not written:
        write_review(find_set(PRODUCT, area), "rejected", **GIVEN)
    (only,) = list_reviews(area)
    assert len(list(kept.rglob("review.json"))) == 1 and not list(store.rglob("*.partial"))
    assert not storage.verify(index.get_dataset(index.connect(), only.id).uri)
    assert json.loads(next(kept.rglob("review.json")).read_text())["reason"] == "for the test"


def test_criteria_are_measured_on_the_pixels(area):
    products = find_set(PRODUCT, area)
    folder = Path(products.datasets[0].uri.removeprefix("file://")).parent
    with rasterio.open(folder / "clear_count.tif") as file:
        counted = file.read(1)
    # A third of the columns is cloudy in each of four scenes: 32 columns, of which 11, 11, 10, 11 are cloudy.
    assert counted.mean() == pytest.approx(4 - (11 + 11 + 10 + 11) / 32)
    lines = {
        "mean": {"check": "mean_at_least", "band": "clear_count", "limit": 2.6},
        "gaps": {"check": "without_data_at_most", "band": "clear_count", "limit": 0.0},
        "other": {"check": "mean_at_least", "band": "count", "limit": 1},
        "complete": {"check": "complete_at_least", "limit": 1.0},
        "files": {"check": "files_unchanged", "limit": 1.0},
        "eye": {"check": "by_expert"},
    }
    title = {"es": "x", "en": "x"}
    criteria = {name: line | {"title": title} for name, line in lines.items()}
    entry = {"s": {"title": title, "products": [], "source": {"es": "x", "en": "x"}, "criteria": criteria}}
    specification = read_specifications(entry, "s.yml")["s"]
    found = {finding.criterion.name: finding for finding in check_set(products, specification)}
    assert found["mean"].value == pytest.approx(counted.mean()) and found["mean"].passed
    assert found["gaps"].value == np.mean(counted == 0) == 0 and found["gaps"].passed
    assert found["other"].passed is None and found["eye"].passed is None
    assert found["complete"].value == 1 and found["files"].value == 1

    (folder / "clear_count.tif").write_bytes(b"damaged")
    found = {finding.criterion.name: finding for finding in check_set(products, specification)}
    assert found["files"].passed is False and found["files"].failing == (f"{area} 2019",)
    assert found["mean"].passed is False and found["mean"].failing == (f"{area} 2019: cannot be read",)
    assert found["mean"].value is None and "NaN" not in json.dumps(found["mean"].record())


def test_a_set_that_lacks_years_is_not_complete(area, store, tmp_path, add_tiny_area):
    add_tiny_area(store, tmp_path / "archive", name=area, years=(2018, 2019))
    finding = check_set(find_set(PRODUCT, area), load_specifications()["any_product"])[0]
    assert (finding.value, finding.passed, finding.failing) == (0.5, False, (f"{area} 2018",))


def test_the_commands_accept_reject_list_and_report(area, store, tmp_path):
    shown = told("review", "reject", PRODUCT, "--area", area, "--by", "B. Expert", "--reason", "stripes in the north")
    assert "rejected: 1 products" in shown
    planned = told("plan", "01_ard/02_count_clear_observations", "--area", area, "--csv", str(tmp_path / "u.csv"))
    assert "rejected" in planned and "B. Expert: stripes in the north" in (tmp_path / "u.csv").read_text()
    make_ard(area)
    assert "accepted: 1 products" in told("review", "accept", PRODUCT, "--area", area, "--by", "B. Expert", "--reason", "gone")
    listed = told("review", "list", "--area", area)
    assert "rejected" in listed and "accepted" in listed and "B. Expert" in listed
    page_path = tmp_path / "review.html"
    assert "review.html" in told("review", "report", PRODUCT, "--area", area, "--to", str(page_path))
    page = page_path.read_text("utf-8")
    assert page.count('<span lang="es">') == page.count('<span lang="en">') > 20
    assert "Informe de validación" in page and "Validation report" in page and "B. Expert" in page
    assert "data:image/png;base64" in page and not re.search(r'(?:src|href)="https?:', page)


def test_what_does_not_meet_its_specification_is_accepted_only_on_purpose(area, store):
    path = next((store / "products" / PRODUCT).glob(f"*/{area}/**/clear_count.tif"))
    path.write_bytes(path.read_bytes() + b" ")
    arguments = ["review", "accept", PRODUCT, "--area", area, "--by", "C", "--reason", "good enough"]
    with pytest.raises(ReviewError, match="does not meet unchanged of specification any_product"):
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert not list_reviews(area)
    told(*arguments, "--anyway")
    (only,) = list_reviews(area)
    assert [finding["passed"] for finding in only.findings] == [True, False, None]


def test_mistakes_say_what_to_do(area):
    for call, error, text in [
        (lambda: find_set("s2_l2a_scenes", area), ReviewError, "not reviewed"),
        (lambda: find_set("product_review", area), ReviewError, "not reviewed"),
        (lambda: find_set("ndvi", area), InputError, "no ndvi .* of area .*ceiba status"),
        (lambda: find_set(PRODUCT, area, period=Period(2018, 2018)), InputError, "for 2018"),
        (lambda: write_review(find_set(PRODUCT, area), "good", **GIVEN), ReviewError, "allowed are accepted, rejected"),
        (lambda: write_review(find_set(PRODUCT, area), "accepted", **GIVEN | {"reason": " "}), ReviewError, "a reason"),
        (lambda: find_specification("moon", PRODUCT), ReviewError, "has annual_mosaic"),
        (lambda: find_specification("annual_mosaic", PRODUCT), ReviewError, "is for geomedian_10m"),
    ]:
        with pytest.raises(error, match=text):
            call()
    assert find_specification("", PRODUCT).name == "any_product"
    assert find_specification("", "geomedian_10m").name == "annual_mosaic"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"check": "by_magic"}, "no check 'by_magic'"),
        ({"check": "mean_at_least"}, "ask a band"),
        ({"title": {"es": "solo"}}, "in es and en"),
        ({"limit": "many"}, "malformed"),
    ],
)
def test_malformed_specifications_say_what_is_wrong(change, text):
    line = {"check": "by_expert", "title": {"es": "x", "en": "x"}} | change
    entry = {"s": {"title": {"es": "x", "en": "x"}, "products": [], "source": {"es": "x", "en": "x"}, "criteria": {"c": line}}}
    with pytest.raises(CatalogError, match=text):
        read_specifications(entry, "s.yml")


def test_states_of_reviews_are_named_once():
    assert (review.DRAFT, *review.VERDICTS) == ("draft", "accepted", "rejected")
