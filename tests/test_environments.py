"""One lock and every environment made from it: conda, Binder, image and ``make`` have the same versions."""

import ast
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / "environments"
LOCK = ENVIRONMENTS / "requirements.txt"
# Heavy frameworks stay out of the default install; copyleft that reaches network users stays out altogether.
UNWANTED = {"torch", "torchaudio", "torchvision", "tensorflow", "tensorflow-cpu", "tf-nightly"}


def load_script(name: str):
    specification = importlib.util.spec_from_file_location(name, ENVIRONMENTS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


write_environment_yml = load_script("write_environment_yml")


def pip_section(path: Path) -> list[str]:
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    return next(each["pip"] for each in dependencies if isinstance(each, dict))


def applicable() -> dict[str, str]:
    """Name and version of what the lock installs here."""
    here = [each for each in write_environment_yml.read_lock() if each.marker is None or each.marker.evaluate()]
    return {each.name: str(each.specifier).removeprefix("==") for each in here}


# ---- the lock ----


def test_every_pin_has_hashes():
    blocks = re.split(r"\n(?=[a-z0-9])", LOCK.read_text(encoding="utf-8"))[1:]
    assert len(blocks) > 200
    bare = [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block]
    assert not bare
    assert not [each for each in write_environment_yml.read_lock() if not str(each.specifier).startswith("==")]


def test_the_lock_names_no_host():
    text = LOCK.read_text(encoding="utf-8")
    assert "://" not in text
    assert "index-url" not in text and "find-links" not in text


def test_the_lock_covers_everything_asked_for():
    locked = {each.name for each in write_environment_yml.read_lock()}
    lines = (ENVIRONMENTS / "requirements.in").read_text(encoding="utf-8").splitlines()
    asked = [Requirement(line.partition("#")[0].strip()) for line in lines if line.partition("#")[0].strip()]
    pins = applicable()
    for requirement in asked:
        assert requirement.name in locked, f"{requirement.name} is not in the lock: run `make lock`"
        here = requirement.marker is None or requirement.marker.evaluate()
        assert not here or requirement.specifier.contains(pins[requirement.name]), f"{requirement}: run `make lock`"


def imports() -> set[str]:
    """Top modules that library, notebooks, tests and scripts import."""
    sources = [
        path.read_text(encoding="utf-8")
        for part in ("lib", "tests", "environments")
        for path in (ROOT / part).rglob("*.py")
    ]
    for path in (ROOT / "notebooks").glob("*/*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        sources += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    names = set()
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"ceiba"}


def test_what_is_imported_is_asked_for_by_name():
    """A package that comes only with another one is gone the day that one drops it."""
    from importlib import metadata

    lines = (ENVIRONMENTS / "requirements.in").read_text(encoding="utf-8").splitlines()
    asked = {Requirement(line.partition("#")[0]).name for line in lines if line.partition("#")[0].strip()}
    homes = metadata.packages_distributions()
    normal = {name: {home.lower().replace("_", "-") for home in homes.get(name, [name])} for name in imports()}
    own = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    assert not {name: found for name, found in normal.items() if not found & asked and name not in own}


def test_no_torch_and_no_tensorflow():
    assert not UNWANTED & {each.name for each in write_environment_yml.read_lock()}


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="not run in the environment that `make` sets up")
def test_installed_versions_are_the_locked_ones():
    from importlib import metadata

    wrong = {}
    for name, version in applicable().items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed = "not installed"
        if installed != version:
            wrong[name] = f"{installed}, locked {version}"
    assert not wrong, f"run `make setup`: {wrong}"


def test_no_package_has_an_unfit_license():
    from importlib import metadata

    found = []
    for distribution in metadata.distributions():
        terms = [
            distribution.metadata.get("License-Expression") or "",
            *distribution.metadata.get_all("Classifier", []),
        ]
        terms.append((distribution.metadata.get("License") or "")[:80])
        if any(re.search(r"\bAGPL|Affero", each) for each in terms):
            found.append(distribution.metadata["Name"])
    assert not found


# ---- conda and Binder ----


def test_conda_and_binder_have_the_same_environment():
    assert (ROOT / "environment.yml").read_bytes() == (ROOT / "binder" / "environment.yml").read_bytes()


def test_conda_pins_are_those_of_the_lock():
    pins = {}
    for line in pip_section(ROOT / "environment.yml"):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    assert pins == applicable()


def test_conda_environment_is_written_from_the_lock():
    pins = write_environment_yml.select_pins(write_environment_yml.read_lock())
    text = write_environment_yml.render_environment(pins)
    assert (ROOT / "environment.yml").read_text(encoding="utf-8") == text, "run `make lock`"


def test_conda_gives_python_and_nothing_else():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == "ceiba"
    assert [each for each in environment["dependencies"] if isinstance(each, str)] == ["python=3.11", "pip"]


@pytest.mark.slow
def test_binder_accepts_its_folder(tmp_path):
    # A copy without .venv: repo2docker looks through the folder that it is given.
    shutil.copytree(ROOT / "binder", tmp_path / "project" / "binder")
    command = [
        sys.executable,
        "-m",
        "repo2docker",
        "--no-build",
        "--debug",
        "--user-id",
        "1000",
        "--user-name",
        "jovyan",
    ]
    done = subprocess.run([*command, str(tmp_path / "project")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    dockerfile = done.stdout + done.stderr
    assert "binder/environment.yml" in dockerfile
    assert "binder/postBuild" in dockerfile


def test_binder_prepares_library_and_samples():
    script = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    assert "--no-deps" in script and "ceiba samples" in script


# ---- image ----


def test_image_installs_the_lock_and_the_library():
    dockerfile = (ENVIRONMENTS / "notebook" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"pip install .*--require-hashes -r /opt/ceiba/environments/requirements.txt", dockerfile)
    assert re.search(r"pip install .*--no-deps .*--editable /opt/ceiba/lib", dockerfile)
    assert dockerfile.count("FROM ") == 1 and "FROM python:3.11" in dockerfile
    assert "USER root" not in dockerfile
    for source in re.findall(r"^COPY (\S+) ", dockerfile, flags=re.MULTILINE):
        assert (ROOT / source).exists(), f"the image copies {source}, which is not there"


def test_image_context_holds_what_the_image_copies():
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    dockerfile = (ENVIRONMENTS / "notebook" / "Dockerfile").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (\S+) ", dockerfile, flags=re.MULTILINE):
        assert f"!{source.split('/')[0]}" in ignored


# ---- make ----


def outside_of_make() -> dict[str, str]:
    """This process's environment without what a `make` that runs these tests put there."""
    of_make = {"MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "CEIBA_SAMPLES"}
    return {name: value for name, value in os.environ.items() if name not in of_make}


def make(*arguments: str, path: str | None = None, folder: Path = ROOT) -> subprocess.CompletedProcess:
    environment = outside_of_make() | ({"PATH": path} if path else {})
    command = [shutil.which("make"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def test_make_without_a_target_lists_the_targets():
    listing = make().stdout
    for target in ("run", "test", "lab", "serve", "bench", "lint", "lock", "help"):
        assert re.search(rf"^  {target} +\S", listing, flags=re.MULTILINE), listing


def bare_checkout(tmp_path: Path) -> Path:
    """A checkout with a blank in its path, with just what the set-up reads."""
    project = tmp_path / "a checkout" / "project"
    (project / "lib").mkdir(parents=True)
    (project / "environments").mkdir()
    shutil.copy(ROOT / "Makefile", project)
    shutil.copy(ROOT / "lib" / "pyproject.toml", project / "lib")
    shutil.copy(LOCK, project / "environments")
    return project


def small_path(tmp_path: Path, python_version: str | None) -> str:
    """A PATH with the shell's own commands and, where asked for, something that says it is that Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for command in ("sh", "cat", "cksum", "cut", "pwd", "rm", "awk", "sed", "expand", "id", "touch", "grep"):
        (folder / command).symlink_to(shutil.which(command))
    if python_version:
        fake = folder / "python3"
        fake.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {{ echo Python {python_version}; exit 0; }}\nexit 1\n')
        fake.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("version", [None, "3.9.2"])
def test_set_up_without_python_3_11_says_so(tmp_path, version):
    done = make("setup", path=small_path(tmp_path, version), folder=bare_checkout(tmp_path))
    assert done.returncode != 0
    assert "Ceiba needs Python 3.11" in done.stderr
    assert version is None or version in done.stderr


def test_set_up_that_is_done_does_nothing(tmp_path):
    project = bare_checkout(tmp_path)
    name = re.search(r"\.venv/\.set-up-\d+", make("-n", "setup", folder=project).stdout).group()
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    (project / name).touch()
    assert "Nothing to be done" in make("setup", folder=project).stdout
    with (project / "environments" / "requirements.txt").open("a") as lock:
        lock.write("# changed\n")
    assert "uv pip install" in make("-n", "setup", folder=project).stdout


def test_environment_of_a_moved_folder_is_made_anew(tmp_path):
    project = bare_checkout(tmp_path)
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").touch()
    (project / ".venv" / "pyvenv.cfg").write_text("command = python3.11 -m venv /elsewhere/.venv\n")
    done = make("setup", path=small_path(tmp_path, None), folder=project)
    assert "Ceiba needs Python 3.11" in done.stderr, "it went on with the commands of another folder"


def test_samples_beside_the_checkout_are_exported(tmp_path):
    project = bare_checkout(tmp_path)
    with (project / "Makefile").open("a") as makefile:
        makefile.write('\nsay-samples:\n\t@echo "samples: $$CEIBA_SAMPLES"\n')
    environment = outside_of_make()

    def say(**more: str) -> str:
        command = ["make", "say-samples"]
        return subprocess.run(
            command, cwd=project, env=environment | more, capture_output=True, text=True
        ).stdout.strip()

    assert say() == "samples:"
    (project.parent / "shared" / "data").mkdir(parents=True)
    assert say() == f"samples: {project.parent / 'shared' / 'data'}"
    assert say(CEIBA_SAMPLES="elsewhere") == "samples: elsewhere"


def test_ci_runs_the_test_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.rstrip().endswith("make test")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


# ---- values of the Helm charts ----


@pytest.mark.parametrize("chart", ["dask-gateway", "jupyterhub"])
def test_helm_values_fit_their_schema(chart):
    import jsonschema

    folder = ENVIRONMENTS / chart
    schema = json.loads((folder / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((folder / "values.yaml").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    broken = json.loads(json.dumps(values)) | {"misspelt": {}}
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        jsonschema.validate(broken, schema)


def test_hub_lets_users_and_their_servers_reach_the_gateway():
    values = yaml.safe_load((ENVIRONMENTS / "jupyterhub" / "values.yaml").read_text(encoding="utf-8"))
    for role in ("user", "server"):
        assert "access:services!service=dask-gateway" in values["hub"]["loadRoles"][role]["scopes"]
    gateway = yaml.safe_load((ENVIRONMENTS / "dask-gateway" / "values.yaml").read_text(encoding="utf-8"))
    prefix = gateway["gateway"]["prefix"]
    assert values["singleuser"]["extraEnv"]["DASK_GATEWAY__PUBLIC_ADDRESS"] == prefix
    assert gateway["gateway"]["backend"]["image"] == values["singleuser"]["image"]
