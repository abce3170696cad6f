"""What README and CONTRIBUTING say is so: commands, options, variables, files, and the table of notebooks."""

import importlib.util
import re
from pathlib import Path

import pytest
import typer
import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "notebooks/README.md", "reports/README.md")


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def notebook_table():
    specification = importlib.util.spec_from_file_location(
        "notebook_table", ROOT / "tests" / "notebook_table.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_readme_begins_with_the_two_commands():
    block = re.search(r"^```\n(.*?)^```", read("README.md"), flags=re.MULTILINE | re.DOTALL).group(1)
    assert [line.split("#")[0].strip() for line in block.strip().splitlines()] == ["make run", "make test"]
    assert read("README.md").index("make run") < 40


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    targets = set(re.findall(r"^([a-z]+):", read("Makefile"), flags=re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", read(page), flags=re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_exist(page):
    from ceiba.cli import app

    root = typer.main.get_command(app)
    for line in read(page).splitlines():
        for called in re.findall(r"\bceiba ((?:area |review |legend )?[a-z]+)\b(?=[^.]*)", line):
            if not re.search(rf"(`|/bin/)ceiba {called}", line):
                continue
            command = root
            for word in called.split():
                assert word in command.commands, (
                    f"{page}: `ceiba {called}`; there are {sorted(command.commands)}"
                )
                command = command.commands[word]
            options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            given = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", line.partition("#")[0]))
            assert given <= options | {"--help"}, f"{page}: {sorted(given - options)} of `ceiba {called}`"


def test_every_command_is_in_the_readme():
    from ceiba.cli import app

    page = read("README.md")
    for name in typer.main.get_command(app).commands:
        assert f"`ceiba {name}" in page, f"`ceiba {name}` is not in the README"


def test_settings_are_those_that_the_library_reads():
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "lib").rglob("*.py"))
    named = set(re.findall(r"\bCEIBA_[A-Z_]+", read("README.md")))
    assert named <= set(re.findall(r"\bCEIBA_[A-Z_]+", code))


def test_keys_of_archives_are_those_of_the_catalogue():
    table = read("README.md").partition("## Archives on the network")[2].partition("\n## ")[0]
    providers = yaml.safe_load(read("catalogs/providers.yml"))
    named = {f"{provider['access'][part]}" for provider in providers.values() for part in ("key_variable", "secret_variable")
             if part in provider["access"]}  # fmt: skip
    assert named and named <= set(re.findall(r"`([A-Z_0-9]+)`", table))
    sources = yaml.safe_load(read("catalogs/mexico.yml"))["sources"]
    archives = {name for name, source in sources.items() if "provider" in source.get("args", {})}
    assert set(re.findall(r"^\| `([a-z_]+)` \|", table, flags=re.MULTILINE)) == archives


@pytest.mark.parametrize("page", PAGES)
def test_files_named_exist(page):
    folder = (ROOT / page).parent
    text = read(page)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"`((?:notebooks|catalogs|lib|environments|tests|reports|binder)/[\w./-]*)`", text)
    missing = [each for each in links if not (folder / each).exists()]
    missing += [each for each in paths if not (ROOT / each).exists() and "NN_" not in each]
    assert not missing


def test_table_of_notebooks_is_true(notebook_table):
    text = read("notebooks/README.md")
    assert notebook_table.render(text) == text, "run `python tests/notebook_table.py`"


def test_every_notebook_says_its_minutes(notebook_table):
    for row in notebook_table.table_rows():
        assert re.search(r"\d", row.split("|")[-2]), f"no minutes in {row}"


def test_every_product_has_its_notebook(notebook_table):
    for name, entry in notebook_table.load_products().items():
        if entry["per"] not in ("scene", "review"):
            path = ROOT / "notebooks" / f"{entry.get('notebook')}.ipynb"
            assert path.is_file(), (
                f"product {name} names notebook {entry.get('notebook')}, which is not there"
            )
