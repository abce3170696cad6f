"""Breaks in long series: 1,000 simulated series with known ones, alerts, and speed, beside lcmap-pyccd; breaks of a country.

lcmap-pyccd (public domain) is the procedure that LCMAP ran. It needs NumPy < 1.24 and SciPy < 1.11, so it has an environment
of its own, which only this benchmark uses::

    python3.11 -m venv ENV
    ENV/bin/python -m pip install "lcmap-pyccd==2021.7.19" "numpy<1.24" "scipy<1.11" "scikit-learn<1.4"
    CEIBA_PYCCD_PYTHON=ENV/bin/python make bench

Without ``CEIBA_PYCCD_PYTHON`` its rows say that they were left out; its nine breaks on its own test pixels are kept in
``tests/change/pyccd_breaks.json``, and the tests meet them to the day. Speed is that of the first hundred series, ours and
pyccd's in turn with nothing beside them; the others are then shared by two processes of pyccd, for its breaks alone.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import xarray as xr

from ceiba.change.breaks.monitoring import monitor_series
from ceiba.change.breaks.scores import match_breaks
from ceiba.change.breaks.segments import find_segments
from ceiba.simulation.break_series import BANDS, KINDS, BreakSeries, simulate_breaks
from ceiba.simulation.country import Country, CountrySettings, make_country
from ceiba.simulation.country_series import land_cover_series

SAMPLES, SEED = 1000, 5
TIMED = 104  # thirteen of each kind
MONITORED_SEEDS = (201, 202, 203)  # what the monitoring does was chosen on seed 101
MONITORED = {"four": "2008-01-01", "eight": "2012-01-01"}  # years of history, of twelve
COUNTRIES = (52, 53)  # the strict probability was chosen on country 51
COUNTRY_PX, COUNTRY_YEARS, COUNTRY_PIXELS = 384, range(2007, 2019), 400
SHORT_YEARS = range(2016, 2019)
STRICT = 0.9999
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
    figures = {
        "1,000 simulated series": measure_simulated(simulate_breaks(samples=SAMPLES, seed=SEED)),
        "monitoring of the last years of 3,000 series": measure_monitoring(),
        "simulated countries": {f"seed {seed}": measure_country(seed) for seed in COUNTRIES},
    }
    print(json.dumps(figures, indent=1))
    return figures


def measure_simulated(series: BreakSeries) -> dict[str, object]:
    """F1 of breaks, and pixels per second of one core, ours and pyccd's in turn on the same series."""
    find_segments(series.scenes.isel(sample=slice(0, 2)), covered=series.covered.isel(sample=slice(0, 2)))  # compiles
    timed = part_of(series, slice(0, TIMED))
    times = [time_segments(timed)]
    python = os.environ.get("CEIBA_PYCCD_PYTHON")
    first, seconds = run_pyccd(python, timed) if python else ([], np.nan)
    times += [time_segments(timed) for _ in range(2)]
    own = break_days(find_segments(series.scenes, covered=series.covered))
    figures = {"ours": describe(series, own) | {"pixels per second a core": TIMED / min(times)}}
    if not python:
        return figures | {"lcmap-pyccd": LEFT_OUT}
    half = (SAMPLES + TIMED) // 2
    halves = [part_of(series, slice(TIMED, half)), part_of(series, slice(half, SAMPLES))]
    with ThreadPoolExecutor(2) as workers:
        rest = list(workers.map(lambda part: run_pyccd(python, part)[0], halves))
    other = first + rest[0] + rest[1]
    figures["lcmap-pyccd"] = describe(series, other) | {"pixels per second a core": TIMED / seconds}
    figures["series with the same breaks to the day"] = sum(a == b for a, b in zip(own, other, strict=True))
    figures["ours faster by"] = seconds / min(times)
    return figures


def part_of(series: BreakSeries, samples: slice) -> BreakSeries:
    """Some of the series."""
    return BreakSeries(
        scenes=series.scenes.isel(sample=samples), covered=series.covered.isel(sample=samples),
        kinds=series.kinds[samples], breaks=series.breaks[samples],
    )  # fmt: skip


def time_segments(series: BreakSeries) -> float:
    """CPU seconds."""
    start = time.process_time()
    find_segments(series.scenes, covered=series.covered)
    return time.process_time() - start


def measure_monitoring() -> dict[str, object]:
    """Alerts on NDVI at 1 % of false ones: as published, with and without a trend, and as ours measures its moving sums."""
    ways = {
        "as published (trend, independent residuals)": {"trend": True, "independent": True},
        "as published without a trend": {"independent": True},
        "ours": {},
    }
    series = [simulate_breaks(samples=SAMPLES, seed=seed) for seed in MONITORED_SEEDS]
    return {
        f"{years} years of history": {name: score_alerts(series, start, **way) for name, way in ways.items()}
        for years, start in MONITORED.items()
    }


def score_alerts(series: list[BreakSeries], start: str, **way) -> dict[str, float]:
    """How many of the breaks from ``start`` on have an alert, how late, and how often there is one without a break."""
    first_day = int(np.datetime64(start, "D").astype(int))
    alarms: dict[str, list[bool]] = {kind: [] for kind in KINDS[:3]}
    late, breaks, begin = [], 0, time.process_time()
    for one in series:
        alerts = monitor_series(ndvi_of(one.scenes), start=start, false_alerts=0.01, **way)["alert_day"].values
        for kind, known, alert in zip(one.kinds, one.breaks, alerts, strict=True):
            if kind in alarms:
                alarms[kind].append(alert >= first_day)
            elif known[0] >= first_day:
                breaks += 1
                late += [alert - known[0]] if alert >= known[0] else []
    figures = {
        "breaks": breaks,
        "share with an alert behind the break": len(late) / breaks,
        "days late, median": float(np.median(late)),
    }
    figures |= {f"share of series with an alert, {kind}": float(np.mean(flags)) for kind, flags in alarms.items()}
    return figures | {"pixels per second a core": SAMPLES * len(series) / (time.process_time() - begin)}


def ndvi_of(scenes: xr.Dataset) -> xr.DataArray:
    """NDVI [1]."""
    return (scenes["nir"] - scenes["red"]) / (scenes["nir"] + scenes["red"])


def measure_country(seed: int) -> dict[str, object]:
    """User's and producer's accuracy of breaks within two years, on pixels drawn from changed and unchanged land."""
    settings = CountrySettings(side_px=COUNTRY_PX, years=tuple(COUNTRY_YEARS))
    country = make_country(seed, settings)
    changed = country.change_number.ravel() > 0
    random = np.random.default_rng(seed)
    parts = [np.flatnonzero(changed), np.flatnonzero(~changed)]
    sizes = (COUNTRY_PIXELS, 2 * COUNTRY_PIXELS)
    pixels = np.concatenate([random.choice(part, size, replace=False) for part, size in zip(parts, sizes, strict=True)])
    weight = np.repeat([part.size / size for part, size in zip(parts, sizes, strict=True)], sizes)
    scenes = land_cover_series(country, *np.divmod(pixels, COUNTRY_PX))
    short = scenes.sel(time=slice(str(SHORT_YEARS.start), None))
    return {
        "twelve years, ccdc": score_country(country, pixels, weight, scenes),
        f"twelve years, ccdc at a probability of {STRICT}": score_country(
            country, pixels, weight, scenes, probability=STRICT
        ),
        "three years, ccdc": score_country(country, pixels, weight, short),
    }


def score_country(
    country: Country, pixels: np.ndarray, weight: np.ndarray, scenes: xr.Dataset, **options: float
) -> dict[str, float]:
    """A break is met where one is confirmed within two years, as LCMAP counts change; each other one found is false."""
    found = find_segments(scenes, covered=scenes["blue"].isnull(), **options)
    first_day = int(scenes.time.values[0].astype("datetime64[D]").astype(int))
    day = country.change_day.ravel()[pixels].astype(np.int64)
    known = (country.change_number.ravel()[pixels] > 0) & (day >= first_day)
    confirmed = (found["change_probability"] == 1).transpose("segment", "sample").values
    near = np.abs(found["break_day"].transpose("segment", "sample").values - day) <= 730
    met = (confirmed & near & known).sum(axis=0)
    return {
        "clear observations a pixel, median": float(scenes["blue"].notnull().sum("time").median()),
        "producer's accuracy": float((met[known] > 0).mean()),
        "user's accuracy": float((weight * met).sum() / (weight * confirmed.sum(axis=0)).sum()),
    }


def break_days(segments: xr.Dataset) -> list[list[int]]:
    """Days of the confirmed breaks of each sample."""
    broken = segments["change_probability"].values == 1
    return [sorted(segments["break_day"].values[broken[:, at], at].tolist()) for at in range(broken.shape[1])]


def run_pyccd(python: str, series: BreakSeries) -> tuple[list[list[int]], float]:
    """Breaks that lcmap-pyccd finds, as days since 1970, and its CPU seconds."""
    days = series.scenes.time.values.astype("datetime64[D]").astype(int)
    values = np.stack([series.scenes[band].values.T for band in BANDS], axis=1) * 1e4
    values = np.concatenate(
        [values, np.full_like(values[:, :1], 2900)], axis=1
    )  # brightness temperature, kelvin times 10
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder) / "series.npz", Path(folder) / "breaks.json"
        rounded = np.rint(np.nan_to_num(values)).astype(np.int64)
        np.savez(given, days=days + ORDINAL, values=rounded, quality=np.where(series.covered.values.T, 4, 0))
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [python, "-W", "ignore", "-c", SCRIPT, str(given), str(answer)],
            check=True,
            env=environment,
            stdout=sys.stderr,
        )
        result = json.loads(answer.read_text())
    return [sorted(day - ORDINAL for day in found) for found in result["breaks"]], result["seconds"]


def describe(series: BreakSeries, found: list[list[int]]) -> dict[str, object]:
    """Scores of all series and of each kind of them."""
    whole = score(series, found, range(len(found)))
    kinds = {kind: score(series, found, [at for at, name in enumerate(series.kinds) if name == kind]) for kind in KINDS}
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
    return scores | {
        "false alarms a series": alarms / len(samples),
        "days late, median": float(np.median(late or [np.nan])),
    }


if __name__ == "__main__":
    main()
