"""The command, end to end, on a tiny area: real kernels, real PostgreSQL, real files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ceiba.cli import app, main
from ceiba.grids import load_areas

sys.path.insert(0, str(Path(__file__).parent))
from tiny_work import describe_store  # noqa: E402

YEARS = ("2018", "2019")
DATES = [f"{year}-{month}-10" for year in YEARS for month in ("03", "07")]


def ceiba(*arguments: str, code: int = 0, **environment: str) -> str:
    """Output of the command, whose exit code must be ``code``."""
    done = subprocess.run(
        [sys.executable, "-m", "ceiba.cli", *arguments],
        env=os.environ | environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def two_years(tmp_path_factory, write_archive):
    """One archive for the runs that must be equal: another copy of the files is another input."""
    return write_archive(tmp_path_factory.mktemp("archive"), dates=DATES)


@pytest.fixture(scope="module")
def finished():
    """What the first run gave, for the runs that must equal it."""
    return {}


@pytest.mark.slow
def test_an_area_of_one_sensor_is_not_asked_for_another(own_store, two_years, add_tiny_area):
    name = add_tiny_area(own_store, two_years, years=(2018, 2019))
    place = own_store / "areas" / name / "area.yml"
    described = yaml.safe_load(place.read_text())
    described["places"][name].pop("lacks")
    place.write_text(yaml.safe_dump(described))
    notebook = "02_mosaics/04_make_landsat_mosaics"
    # before there are any scenes it is not known which sensors the area has
    assert "no landsat_scenes" in ceiba("run", notebook, "--area", name, code=1)
    told = ceiba("run", "ard", notebook, "--area", name, "--years", "2019")
    row = next(line for line in told.splitlines() if "04_make_landsat_mosaics" in line and "│" in line)
    assert [cell.strip() for cell in row.split("│")[2:7]] == ["", "", "1", "", ""]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_any_number_of_jobs_gives_the_same_products(jobs, own_store, two_years, add_tiny_area, finished):
    add_tiny_area(own_store, two_years, years=(2018, 2019))
    told = ceiba("run", "ard", "mosaics", "--area", "tiny", "--jobs", str(jobs), "--set", "min_observations=1")
    assert "failed" not in told.replace("failed ┃", "")
    ids, files = describe_store(own_store, "tiny")
    assert len(ids["s2_l2a_scenes"]) == 4 and len(ids["geomedian_10m"]) == 2
    assert finished.setdefault("store", (ids, files)) == (ids, files)
    if jobs == 1:
        again = ceiba("run", "ard", "mosaics", "--area", "tiny", "--set", "min_observations=1")
        assert "made" in again and describe_store(own_store, "tiny") == (ids, files)
        record = json.loads(next((own_store / "records").glob("*/provenance.json")).read_text())
        assert {"git_commit", "lock_sha256", "inputs", "parameters", "seeds", "seconds", "peak_memory_mb"} <= set(
            record
        )
        assert record["peak_memory_mb"] > 50


@pytest.mark.slow
def test_a_debian_postgresql_gives_the_same_products(bare_store, two_years, add_tiny_area, finished, debian_postgresql):
    if "store" not in finished:
        pytest.skip("the run on the embedded server did not finish")
    add_tiny_area(bare_store, two_years, years=(2018, 2019))
    os.environ["CEIBA_DB_URL"] = debian_postgresql
    try:
        ceiba("run", "ard", "mosaics", "--area", "tiny", "--set", "min_observations=1")
        assert describe_store(bare_store, "tiny") == finished["store"]
        assert not (bare_store / "database").exists()
    finally:
        os.environ["CEIBA_DB_URL"] = ""


@pytest.mark.slow
def test_a_bad_scene_makes_the_run_fail_and_the_others_are_made(own_store, tmp_path, write_archive, add_tiny_area):
    archive = write_archive(tmp_path / "archive")
    (archive / "tiny_20190310" / "20m.tif").write_bytes(b"not a raster")
    add_tiny_area(own_store, archive)
    told = ceiba("run", "ard", "--area", "tiny", code=1)
    assert "tiny_20190310/20m.tif cannot be read" in told
    ids, _ = describe_store(own_store, "tiny")
    assert len(ids["s2_l2a_scenes"]) == 3 and len(ids["clear_observations"]) == 1
    # A plain rerun tells of the scene again instead of calling the work done.
    assert "tiny_20190310/20m.tif cannot be read" in ceiba("run", "ard", "--area", "tiny", code=1)


def test_mistakes_on_the_command_line_are_one_clear_line(store, monkeypatch, capsys):
    wrong = ["run", "poetry"]
    done = subprocess.run([sys.executable, "-m", "ceiba.cli", *wrong], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and "no stage or notebook 'poetry'" in done.stderr and "Traceback" not in done.stderr
    # The same entry point without a new interpreter each.
    for arguments, told in [
        (["run", "poetry"], "no stage or notebook 'poetry'; stages are ard"),
        (["run", "ard", "--area", "atlantis"], "no area 'atlantis'; there are sample"),
        (["run", "ard", "--set", "yeer=2018"], "no chosen notebook has a parameter yeer"),
        (["run", "ard", "--set", "clear_classes=3"], "clear_classes is 3, but its type is list"),
        (["run", "ard", "--years", "20"], "write one year"),
        (["run", "ard", "--cluster", "moon"], "cluster 'moon': allowed are local, gateway"),
        (["run", "ard", "--area", "simulated", "--tiles", "x9"], "no tile 'x9'"),
    ]:
        monkeypatch.setattr(sys, "argv", ["ceiba", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr().err
        assert ended.value.code == 2 and told in shown and "Traceback" not in shown, shown


def test_a_users_own_place_is_added_in_tiles(store, tmp_path):
    outline = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [
        [[-89.0, 20.0], [-88.6, 20.0], [-88.6, 20.4], [-89.0, 20.0]]]}}  # fmt: skip
    (tmp_path / "place.geojson").write_text(json.dumps(outline))
    arguments = [
        "area",
        "add",
        "my_place",
        "--geojson",
        str(tmp_path / "place.geojson"),
        "--crs",
        "EPSG:6372",
        "--years",
        "2018:2020",
    ]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    place = load_areas()["my_place"].places[0]
    # A triangle of about 42 by 44 km in tiles of 20 km: three by three but for the empty corner, at most a row and column more.
    assert 5 <= len(place.tiles) <= 12 and place.years.years[0] == 2018
    # Every stage that asks for settings finds them, as those of a country do.
    countries = load_areas()["mexico"].places[0].settings
    assert {stage: set(given) for stage, given in place.settings.items()} == {stage: set(given) for stage, given in countries.items()}
    listed = CliRunner().invoke(app, ["area", "list"]).output
    assert "my_place" in listed
    for wrong, told in [("My Place", "small letters"), ("my_place", "exists already")]:
        with pytest.raises(Exception, match=told):
            CliRunner().invoke(app, ["area", "add", wrong, *arguments[3:]], catch_exceptions=False)
    with pytest.raises(Exception, match="not in metres"):
        CliRunner().invoke(
            app, [*arguments[:2], "degrees", *arguments[3:5], "--crs", "EPSG:4326"], catch_exceptions=False
        )


def test_every_command_explains_itself():
    for command in ([], ["run"], ["plan"], ["status"], ["serve"], ["samples"], ["labels"], ["index"], ["check"], ["area", "add"]):
        shown = CliRunner().invoke(app, [*command, "--help"])
        assert shown.exit_code == 0 and "Usage" in shown.output


def test_plan_tells_done_ready_and_waiting_with_costs(store):
    shown = (
        CliRunner()
        .invoke(app, ["plan", "mosaics", "--area", "mexico", "--years", "2019"], catch_exceptions=False)
        .output
    )
    assert "270" in shown and "waiting" in shown and "CPU hours" in shown
