"""Run the benchmarks and write their figures to ``reports/published/``: only `make bench` writes there.

    python tests/benchmarks/run_benchmarks.py [STAGE ...]

Each ``bench_<stage>.py`` beside this file has a ``main()`` that returns figures by name, with their units.
A stage that fails is named at the end, its older table stays, and the exit code is 1.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
PUBLISHED = ROOT / "reports" / "published"


def find_benchmarks() -> dict[str, Path]:
    """Stage and file of each benchmark."""
    return {path.stem.removeprefix("bench_"): path for path in sorted(FOLDER.glob("bench_*.py"))}


def run_benchmark(path: Path) -> Mapping[str, object]:
    """Figures of one benchmark; raises ``TypeError`` where its ``main()`` returns no mapping."""
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    figures = module.main()
    if not isinstance(figures, Mapping):
        raise TypeError(
            f"main() of {path.name} returned {type(figures).__name__}; it must return a mapping of figures"
        )
    return figures


def flatten(figures: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Rows of a nested mapping, names joined by a comma."""
    for name, value in figures.items():
        label = f"{prefix}, {name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from flatten(value, label)
        else:
            yield label, value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def show(value: object) -> str:
    """A figure as the table shows it: four significant digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def describe_machine() -> str:
    """Processor, cores, memory and Python, in one line."""
    model = platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {model}, {memory_gb:.0f} GiB, Python {platform.python_version()}"


def describe_commit() -> str:
    """Short number of the commit that was measured, with a remark where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=, with changes", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not a git checkout"


def write_table(stage: str, figures: Mapping[str, object], seconds: float) -> Path:
    """Write one stage's figures as Markdown and JSON; returns the Markdown file."""
    rows = list(flatten(figures))
    lines = [
        f"# Benchmarks: {stage}",
        "",
        f"Written by `make bench` on {datetime.now(UTC):%Y-%m-%d} in {seconds:.0f} s.",
        f"Commit: {describe_commit()}.",
        f"Machine: {describe_machine()}.",
        "",
        "| figure | value |",
        "|---|---|",
        *(f"| {name} | {show(value)} |" for name, value in rows),
        "",
    ]
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    table = PUBLISHED / f"{stage}.md"
    table.write_text("\n".join(lines), encoding="utf-8")
    (PUBLISHED / f"{stage}.json").write_text(
        json.dumps(dict(rows), indent=1, default=str) + "\n", encoding="utf-8"
    )
    return table


def main(arguments: list[str] | None = None) -> int:
    """Run the stages named, or all."""
    benchmarks = find_benchmarks()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help=f"one of: {', '.join(benchmarks) or 'none yet'}"
    )
    wanted = parser.parse_args(arguments).stages or list(benchmarks)
    unknown = [stage for stage in wanted if stage not in benchmarks]
    if unknown:
        parser.error(f"no benchmark of {', '.join(unknown)}; there are {', '.join(benchmarks) or 'none yet'}")
    failed = []
    for stage in wanted:
        print(f"== {stage}", flush=True)
        start = time.perf_counter()
        try:
            figures = run_benchmark(benchmarks[stage])
        except Exception:  # noqa: BLE001 - one stage that fails must not cost the others their figures
            traceback.print_exc()
            failed.append(stage)
            continue
        print(
            f"wrote {write_table(stage, figures, time.perf_counter() - start).relative_to(ROOT)}", flush=True
        )
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
