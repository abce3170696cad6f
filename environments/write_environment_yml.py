"""Write ``environment.yml`` and ``binder/environment.yml`` from the lock, so that conda has its versions too.

conda gives Python; every package comes from pip at the lock's version. ``make lock`` runs this.
"""

from pathlib import Path

from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "environments" / "requirements.txt"
TARGETS = (ROOT / "environment.yml", ROOT / "binder" / "environment.yml")
PYTHON = "3.11"
# What decides the markers of a lock on the machines that conda serves.
PLATFORMS = (
    {"sys_platform": "linux", "os_name": "posix", "platform_system": "Linux", "platform_machine": "x86_64"},
    {"sys_platform": "darwin", "os_name": "posix", "platform_system": "Darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "os_name": "nt", "platform_system": "Windows", "platform_machine": "AMD64"},
)
HEADER = """\
# Written by `make lock` from environments/requirements.txt: do not edit.
#   conda env create -f environment.yml && conda activate ceiba && pip install --no-deps -e lib
name: ceiba
channels:
  - conda-forge
  - nodefaults
dependencies:
  - python={python}
  - pip
  - pip:
"""


def read_lock(lock: Path = LOCK) -> list[Requirement]:
    """Requirements of a lock file, hashes left out."""
    lines = lock.read_text(encoding="utf-8").splitlines()
    return [Requirement(line.rstrip("\\ ")) for line in lines if line and not line.startswith((" ", "#"))]


def applies_to(marker: Marker, platform: dict[str, str]) -> bool:
    """Whether a requirement with ``marker`` is installed on ``platform`` with our Python."""
    python = {
        "python_version": PYTHON,
        "python_full_version": f"{PYTHON}.7",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    return marker.evaluate({**default_environment(), **python, **platform})


def select_pins(requirements: list[Requirement]) -> list[str]:
    """The lines of the pip section: a marker stays only where the platforms differ."""
    pins = []
    for requirement in requirements:
        pin = f"{requirement.name}{requirement.specifier}"
        wanted = [requirement.marker is None or applies_to(requirement.marker, each) for each in PLATFORMS]
        if all(wanted):
            pins.append(pin)
        elif any(wanted):
            pins.append(f"{pin} ; {requirement.marker}")
    return pins


def render_environment(pins: list[str]) -> str:
    """Text of the conda environment file."""
    # packaging writes markers with double quotes: single ones around make the line a YAML string.
    lines = [f"      - '{pin}'\n" if ";" in pin else f"      - {pin}\n" for pin in pins]
    return HEADER.format(python=PYTHON) + "".join(lines)


if __name__ == "__main__":
    text = render_environment(select_pins(read_lock()))
    for target in TARGETS:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target.relative_to(ROOT)}")
