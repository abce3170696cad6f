"""Breaks in long series: 1,000 simulated series with known ones, alerts, and speed, beside lcmap-pyccd.

lcmap-pyccd (public domain) is the procedure that LCMAP ran. It needs NumPy < 1.24 and SciPy < 1.11, so it has an environment
of its own, which only this benchmark uses::

    python3.11 -m venv ENV
    ENV/bin/python -m pip install "lcmap-pyccd==2021.7.19" "numpy<1.24" "scipy<1.11" "scikit-learn<1.4"
    CEIBA_PYCCD_PYTHON=ENV/bin/python make bench

Without ``CEIBA_PYCCD_PYTHON`` its rows say that they were left out; its breaks on the test pixels are also kept in
``tests/change/pyccd_breaks.json``, which the tests compare with.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

from ceiba.change.breaks.monitoring import monitor_series
from ceiba.change.breaks.scores import match_breaks
from ceiba.change.breaks.segments import find_segments
from ceiba.simulation.break_series import BANDS, KINDS, BreakSeries, simulate_breaks

SAMPLES, SEED = 1000, 5
MONITORED = "2012-01-01"  # eight of twelve years are history
ORDINAL = 719163  # of 1970-01-01
LEFT_OUT = "left out: CEIBA_PYCCD_PYTHON names no Python with lcmap-pyccd"
SCRIPT = """
import json, sys, time
import numpy as np
import ccd
with np.load(sys.argv[1]) as arrays:
    days, values, quality = arrays["days"], arrays["values"], arrays["quality"]
found = []
classes = {"QA_BITPACKED": False, "QA_FILL": 255, "QA_CLEAR": 0, "QA_WATER": 1, "QA_SHADOW": 2, "QA_SNOW": 3, "QA_CLOUD": 4}
ccd.detect(days, *values[0].copy(), quality[0], params=classes)
start = time.process_time()
for bands, states in zip(values, quality):
    models = ccd.detect(days, *bands, states, params=classes)["change_models"]
    found.append([int(model["break_day"]) for model in models if model["change_probability"] == 1])
json.dump({"seconds": time.process_time() - start, "breaks": found}, open(sys.argv[2], "w"))
"""


def main() -> dict[str, object]:
    """Every figure by name."""
    series = simulate_breaks(samples=SAMPLES, seed=SEED)
    figures = {"1,000 simulated series": measure_simulated(series), "monitoring of their last years": measure_monitoring(series)}
    print(json.dumps(figures, indent=1))
    return figures


def measure_simulated(series: BreakSeries) -> dict[str, object]:
    """F1 of breaks, and pixels per second of one core, ours and pyccd's in turn on the same series."""
    find_segments(series.scenes.isel(sample=slice(0, 2)), covered=series.covered.isel(sample=slice(0, 2)))  # compiles
    times = []
    for _ in range(3):
        start = time.process_time()
        segments = find_segments(series.scenes, covered=series.covered)
        times.append(time.process_time() - start)
    own = break_days(segments)
    figures = {"ours": describe(series, own) | {"pixels per second a core": SAMPLES / min(times)}}
    python = os.environ.get("CEIBA_PYCCD_PYTHON")
    if not python:
        return figures | {"lcmap-pyccd": LEFT_OUT}
    other, seconds = run_pyccd(python, series)
    same = sum(a == b for a, b in zip(own, other, strict=True))
    figures["lcmap-pyccd"] = describe(series, other) | {"pixels per second a core": SAMPLES / seconds}
    figures["series with the same breaks to the day"] = same
    figures["ours faster by"] = seconds / min(times)
    return figures


def measure_monitoring(series: BreakSeries) -> dict[str, float]:
    """Alerts on NDVI from the ninth year on: how many of the breaks there, how late, and how often where there is none."""
    light = series.scenes[["red", "nir"]]
    ndvi = (light["nir"] - light["red"]) / (light["nir"] + light["red"])
    options = {"start": MONITORED, "false_alerts": 0.01}
    monitor_series(ndvi.isel(sample=slice(0, 2)), **options)  # compiles
    begin = time.process_time()
    alerts = monitor_series(ndvi, **options)["alert_day"].values
    seconds = time.process_time() - begin
    first_day = int(np.datetime64(MONITORED, "D").astype(int))
    later = [at for at, known in enumerate(series.breaks) if known and known[0] >= first_day]
    late = [int(alerts[at]) - series.breaks[at][0] for at in later if alerts[at] >= series.breaks[at][0]]
    figures = {"breaks": len(later), "share with an alert behind the break": len(late) / len(later), "days late, median": np.median(late)}
    for kind in KINDS[:3]:
        chosen = [at for at, name in enumerate(series.kinds) if name == kind]
        figures[f"share of series with an alert, {kind}"] = float((alerts[chosen] >= first_day).mean())
    return figures | {"pixels per second a core": SAMPLES / seconds}


def break_days(segments: xr.Dataset) -> list[list[int]]:
    """Days of the confirmed breaks of each sample."""
    broken = segments["change_probability"].values == 1
    return [sorted(segments["break_day"].values[broken[:, at], at].tolist()) for at in range(broken.shape[1])]


def run_pyccd(python: str, series: BreakSeries) -> tuple[list[list[int]], float]:
    """Breaks that lcmap-pyccd finds, as days since 1970, and its CPU seconds."""
    days = series.scenes.time.values.astype("datetime64[D]").astype(int)
    values = np.stack([series.scenes[band].values.T for band in BANDS], axis=1) * 1e4
    values = np.concatenate([values, np.full_like(values[:, :1], 2900)], axis=1)  # brightness temperature, kelvin times 10
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "series.npz", Path(folder) / "breaks.json"
        rounded = np.rint(np.nan_to_num(values)).astype(np.int64)
        np.savez(given, days=days + ORDINAL, values=rounded, quality=np.where(series.covered.values.T, 4, 0))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [python, "-W", "ignore", "-c", SCRIPT, str(given), str(answer)], check=True, env=environment, stdout=sys.stderr
        )
        result = json.loads(answer.read_text())
    return [sorted(day - ORDINAL for day in found) for found in result["breaks"]], result["seconds"]


def describe(series: BreakSeries, found: list[list[int]]) -> dict[str, object]:
    """Scores of all series and of each kind of them."""
    whole = score(series, found, range(len(found)))
    kinds = {
        kind: score(series, found, [at for at, name in enumerate(series.kinds) if name == kind]) for kind in KINDS
    }
    return whole | {"by kind": kinds}


def score(series: BreakSeries, found: list[list[int]], samples) -> dict[str, float]:
    """F1, and its parts; series without a break have false alarms alone."""
    days = series.scenes.time.values.astype("datetime64[D]").astype(int)
    clear = ~series.covered.values
    hits = misses = alarms = 0
    late = []
    for at in samples:
        matched = match_breaks(series.breaks[at], found[at], observed=days[clear[:, at]])
        hits += len(matched)
        misses += len(series.breaks[at]) - len(matched)
        alarms += len(found[at]) - len(matched)
        late += [own - true for true, own in matched]
    true = hits + misses
    if not true:
        return {"false alarms a series": alarms / len(samples)}
    scores = {"F1": 2 * hits / (2 * hits + misses + alarms), "found": hits / true}
    return scores | {"false alarms a series": alarms / len(samples), "days late, median": float(np.median(late or [np.nan]))}


if __name__ == "__main__":
    main()
