"""What the repository may hold, how modules are named and cut, and which way imports go."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "lib" / "ceiba"
# Written so that this file does not find itself.
MACHINE_PATHS = re.compile(
    r"(?<![\w.~-])/(?:" + "|".join(["ro" + "ot", "ho" + "me", "wo" + "rk", "Us" + "ers"]) + r")/\w"
)
REGISTRY_HOSTS = re.compile(
    "|".join([r"pypi\.o" + "rg", r"pythonhosted\.o" + "rg", r"registry\.npm" + "js", r"deb\.deb" + "ian"])
)
MERGE_MARKS = re.compile(r"^(<{7} |={7}$|>{7} )", flags=re.MULTILINE)
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "tools", "manager", "managers", "misc"}
LINES, LINES_AT_MOST = 400, 450
AREAS = ("sample", "simulated", "mexico", "colombia")

# Imports go one way: a stage may import those left of it, and the modules of the library's own folder.
CHAIN = ("ard", "mosaics", "classification", "change", "integrity")
BESIDE = ("bioacoustics",)
ON_TOP = ("dashboards", "react2eo", "simulation")
# Of those on top, two may look at the web services: one shows and one tries out what these publish.
ABOVE_SERVICES = ("dashboards", "simulation")
# The command line, the report and the web server put everything together.
JOINING = {"cli", "run", "reports", "serving"}


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout: nothing says which files belong to the project")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            found.append((path.relative_to(ROOT).as_posix(), content.decode("utf-8", errors="replace")))
    return found


def modules() -> list[Path]:
    return sorted(LIBRARY.rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# ---- files ----


def test_no_large_file_is_tracked():
    large = {
        relative(path): path.stat().st_size for path in tracked_files() if path.stat().st_size > 1_000_000
    }
    assert not large, f"over 1 MB: {large}"


def test_top_level_is_the_agreed_one():
    allowed = {
        "notebooks", "catalogs", "lib", "environments", "reports", "tests", "binder",
        "README.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "environment.yml", "ruff.toml",
    }  # fmt: skip
    top = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    assert {name for name in top if not name.startswith(".")} <= allowed


def test_no_machine_paths():
    found = [f"{name}: {hit.group()}" for name, text in texts() for hit in MACHINE_PATHS.finditer(text)]
    # A container image and a hub's own machines have paths that are theirs, not some developer's.
    found = [each for each in found if not each.startswith("environments/")]
    assert not found, "\n".join(found)


def test_no_registry_hosts():
    found = [f"{name}: {hit.group()}" for name, text in texts() for hit in REGISTRY_HOSTS.finditer(text)]
    assert not found, "\n".join(found)


def test_no_merge_leftovers():
    found = [name for name, text in texts() if name != "LICENSE" and MERGE_MARKS.search(text)]
    found += [relative(path) for path in tracked_files() if path.suffix in {".orig", ".rej"}]
    assert not found


def test_scripts_are_executable():
    for name in (".ci/run", "binder/postBuild"):
        assert (ROOT / name).stat().st_mode & 0o111, f"{name} is not executable"


def test_yaml_files_can_be_read():
    for path in tracked_files():
        if path.suffix in {".yml", ".yaml"}:
            list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


# ---- catalogues ----


def area_catalogs() -> dict[str, dict]:
    paths = {name: ROOT / "catalogs" / f"{name}.yml" for name in AREAS}
    return {
        name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, path in paths.items()
        if path.is_file()
    }


def test_every_area_has_the_same_source_names():
    catalogs = area_catalogs()
    if not catalogs:
        pytest.skip("no area catalogue yet")
    assert set(catalogs) == set(AREAS), f"catalogues missing: {sorted(set(AREAS) - set(catalogs))}"
    names = {area: set(catalog["sources"]) for area, catalog in catalogs.items()}
    for area, sources in names.items():
        assert sources == names["sample"], f"{area} differs in {sorted(sources ^ names['sample'])}"


# ---- modules ----


def test_no_empty_module_names():
    names = [
        path
        for path in tracked_files()
        if {part.removesuffix(".py") for part in path.relative_to(ROOT).parts} & EMPTY_NAMES
    ]
    assert not names


def test_modules_are_one_subject():
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules()}
    long = {name: count for name, count in lengths.items() if count > LINES_AT_MOST}
    assert not long, f"over {LINES_AT_MOST} lines (aim at {LINES}): {long}"


def test_every_folder_of_the_library_is_a_package():
    folders = {path.parent for path in modules()}
    missing = [relative(folder) for folder in folders if not (folder / "__init__.py").is_file()]
    assert not missing, f"without __init__.py an installed library lacks them: {missing}"


def test_exceptions_are_named():
    found = []
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                silent = all(isinstance(each, ast.Pass) for each in node.body)
                if node.type is None or (caught in {"Exception", "BaseException"} and silent):
                    found.append(f"{relative(path)}:{node.lineno} catches {caught}")
    assert not found, "\n".join(found)


def test_only_the_command_line_prints():
    found = []
    for path in modules():
        if path.name == "cli.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                found.append(f"{relative(path)}:{node.lineno}")
    assert not found, f"print() outside cli.py: {found}"


# ---- imports ----


def imported_modules(path: Path) -> set[str]:
    """Modules and folders directly below ``ceiba`` that a file imports, wherever in the file."""
    package = path.relative_to(LIBRARY.parent).with_suffix("").parts
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # `from . import x` in ceiba/ard/masks.py is `from ceiba.ard import x`.
            base = ".".join(package[: len(package) - node.level]) if node.level else ""
            module = ".".join(part for part in (base, node.module or "") if part)
            names |= {f"{module}.{alias.name}" for alias in node.names} | {module}
    return {name.split(".")[1] for name in names if name.startswith("ceiba.")}


def allowed_stages(stage: str | None) -> set[str]:
    """Stages that a module of ``stage`` may import (None: a module that all share)."""
    if stage is None:
        return set()
    if stage in CHAIN:
        return set(CHAIN[: CHAIN.index(stage) + 1])
    if stage in BESIDE:
        return {stage}
    services = {"react2eo"} if stage in ABOVE_SERVICES else set()
    return {stage, *CHAIN, *BESIDE, *services}


def test_imports_go_one_way():
    stages = {*CHAIN, *BESIDE, *ON_TOP}
    found = []
    for path in modules():
        first = path.relative_to(LIBRARY).parts[0].removesuffix(".py")
        stage = first if first in stages else None
        if stage is None and first in JOINING:
            continue
        backwards = (imported_modules(path) & stages) - allowed_stages(stage)
        found += [f"{relative(path)} imports {each}" for each in sorted(backwards)]
    assert not found, "\n".join(found)


def test_importing_the_library_is_cheap():
    heavy = ("keras", "pgmpy", "geopandas", "librosa", "datacube")
    code = f"import sys, ceiba; print([name for name in {heavy} if name in sys.modules])"
    command = [sys.executable, "-c", code]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]"
