"""Review of samples by people: blind points, one key a class, answers on disk at once, agreement of two interpreters."""

import csv
import io
import itertools
import os
import string
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from statsmodels.stats.inter_rater import cohens_kappa

from ceiba.checksums import hash_file
from ceiba.classification.accuracy.validation import wilson_interval
from ceiba.classification.samples.training_rasters import semibalanced_numbers
from ceiba.config import Config
from ceiba.errors import InputError
from ceiba.legends import Legend
from ceiba.products import content_id
from ceiba.sources import Found, Selection, Source

COLUMNS = ("sample_id", "interpreter", "code", "answered_at")
UNSURE_KEY, BACK_KEY = "0", "-"
UNSURE, WITHDRAWN = 0, -1  # codes of answers that are no class: cannot tell; taken back
CLASS_KEYS = string.digits[1:] + string.ascii_lowercase + string.ascii_uppercase


class AnswersSource(Source):
    """The answers that interpreters have given on this machine, a table a place."""

    name = "review_answers"
    often_empty = True

    def find(self, selection: Selection) -> Found:
        """Id of the answers so far; nothing where there are none."""
        path = answers_path(selection.area.name, selection.place.name)
        return Found(ids=(content_id(hash_file(path)),)) if path.exists() else Found()

    def load(
        self, selection: Selection, found: Found, *, measurements: Sequence[str] = (), resolution_m: float = 0
    ) -> pd.DataFrame:
        """The table of answers, as :meth:`AnswerFile.read` gives it."""
        return AnswerFile(answers_path(selection.area.name, selection.place.name)).read()


def answers_path(area: str, place: str) -> Path:
    """File of the answers about a place, on a disk of this machine."""
    return Config.from_environment().local / "reviews" / f"{area}_{place}.csv"


class AnswerFile:
    """Answers as a CSV file that only grows: each is on the disk before the next point is shown.

    A killed kernel loses nothing; a line that was cut off by a power failure is left out when read. The last answer of an
    interpreter about a point counts.
    """

    def __init__(self, path: Path):
        self.path = Path(path)

    def append(self, sample_id: str, interpreter: str, code: int) -> None:
        """Write one answer; raises :class:`InputError` where there is no interpreter or sample."""
        if not str(sample_id).strip() or not interpreter.strip():
            raise InputError(f"an answer needs a sample and an interpreter; got {sample_id!r} and {interpreter!r}")
        line = io.StringIO()
        now = datetime.now(UTC).isoformat(timespec="seconds")
        csv.writer(line, lineterminator="\n").writerow([sample_id, interpreter.strip(), int(code), now])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            start = "" if size else ",".join(COLUMNS) + "\n"
            if size:
                file.seek(size - 1)
                # A line that was cut off must not swallow this one.
                start = "" if file.read(1) == b"\n" else "\n"
            file.write((start + line.getvalue()).encode())
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> pd.DataFrame:
        """Answers that count: sample_id, interpreter (text), code (int, 0 where the interpreter cannot tell), answered_at."""
        if not self.path.exists():
            return no_answers()
        with self.path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        if not rows or tuple(rows[0]) != COLUMNS:
            raise InputError(
                f"{self.path} is no file of answers: its first line is {rows[:1]}, expected {','.join(COLUMNS)}"
            )
        whole = [row for row in rows[1:] if len(row) == len(COLUMNS) and row[2].lstrip("-").isdecimal() and row[3]]
        table = pd.DataFrame(whole, columns=list(COLUMNS)).astype({"code": "int64"})
        table = table.drop_duplicates(["sample_id", "interpreter"], keep="last")
        return table[table["code"] != WITHDRAWN].reset_index(drop=True)


def no_answers() -> pd.DataFrame:
    """The table of answers before there is one."""
    texts = {name: pd.Series([], dtype=object) for name in COLUMNS}
    return pd.DataFrame(texts | {"code": np.array([], dtype="int64")})


def assign_keys(legend: Legend) -> dict[str, int]:
    """Key to code: 1 to 9, then letters, in the order of codes; raises :class:`InputError` where keys run out."""
    if len(legend) > len(CLASS_KEYS):
        raise InputError(
            f"legend {legend.name} has {len(legend)} classes; there are {len(CLASS_KEYS)} keys: review a coarser one"
        )
    return dict(zip(CLASS_KEYS, legend.codes.tolist(), strict=False))


def draw_review_points(samples: pd.DataFrame, number: int, *, seed: int = 0) -> pd.DataFrame:
    """Points to review, rare classes more densely, in random order and without their labels: the review is blind.

    Parameters
    ----------
    samples
        From :func:`ceiba.classification.samples.points.read_samples`.
    number
        Points in all; fewer where there are fewer samples.
    seed
        Seed of draw and order.

    Returns
    -------
    pd.DataFrame
        Columns sample_id, longitude, latitude [degrees, WGS 84], year. A sample without an id is named after its row.
    """
    counts = samples["code"].value_counts().sort_index()
    numbers = semibalanced_numbers(counts, min(number, len(samples)), cap=1.0)
    random = np.random.default_rng(seed)
    rows = [
        random.choice(np.flatnonzero(samples["code"] == code), wanted, replace=False)
        for code, wanted in numbers.items()
    ]
    rows = random.permutation(np.concatenate(rows))[:number]
    points = samples[["longitude", "latitude", "year"]].iloc[rows].reset_index(drop=True)
    named = samples["sample_id"].iloc[rows].to_numpy(dtype=object) if "sample_id" in samples else np.full(len(rows), "")
    points.insert(0, "sample_id", [name or f"row {row}" for name, row in zip(named, rows, strict=True)])
    return points


def find_pending(points: pd.DataFrame, answers: pd.DataFrame, interpreter: str) -> pd.DataFrame:
    """Points that an interpreter has not answered yet, in their order: where a review goes on."""
    done = answers.loc[answers["interpreter"] == interpreter.strip(), "sample_id"]
    return points[~points["sample_id"].isin(done)].reset_index(drop=True)


def measure_agreement(answers: pd.DataFrame) -> pd.DataFrame:
    """Agreement of each pair of interpreters on the points that both gave a class.

    Parameters
    ----------
    answers
        From :meth:`AnswerFile.read`.

    Returns
    -------
    pd.DataFrame
        One row a pair: first, second, points, agreement [1] with its 95 % interval (Wilson), and Cohen's kappa [1] with its
        (Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106). Where all agree, that formula gives an interval of no width:
        its lower end then comes from the agreement's. Kappa is NaN where both saw one class only.
    """
    table = answers[answers["code"] > UNSURE].pivot(index="sample_id", columns="interpreter", values="code")
    rows = []
    for first, second in itertools.combinations(table.columns, 2):
        pairs = table[[first, second]].dropna().astype("int64")
        if not len(pairs):
            continue
        same = int((pairs[first] == pairs[second]).sum())
        low, high = wilson_interval(same, len(pairs))
        kappa, kappa_low, kappa_high = _kappa(pairs[first].to_numpy(), pairs[second].to_numpy(), low)
        rows.append([first, second, len(pairs), same / len(pairs), low, high, kappa, kappa_low, kappa_high])
    names = [
        "first",
        "second",
        "points",
        "agreement",
        "agreement_low",
        "agreement_high",
        "kappa",
        "kappa_low",
        "kappa_high",
    ]
    return pd.DataFrame(rows, columns=names)


def _kappa(first: np.ndarray, second: np.ndarray, lowest_agreement: float) -> tuple[float, float, float]:
    codes = np.union1d(first, second)
    if len(codes) < 2:
        return np.nan, np.nan, np.nan
    counts = np.zeros((len(codes), len(codes)))
    np.add.at(counts, (np.searchsorted(codes, first), np.searchsorted(codes, second)), 1)
    found = cohens_kappa(counts)
    if np.trace(counts) == counts.sum():
        shares = counts / counts.sum()
        by_chance = float(shares.sum(axis=0) @ shares.sum(axis=1))
        return 1.0, (lowest_agreement - by_chance) / (1 - by_chance), 1.0
    return float(found.kappa), float(found.kappa_low), min(1.0, float(found.kappa_upp))


def tabulate_review(points: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """One row a point and answer, for the product: the point, interpreter and code; empty and 0 where there is none yet."""
    table = points.merge(answers, on="sample_id", how="left")
    table[["interpreter", "answered_at"]] = table[["interpreter", "answered_at"]].astype(object).fillna("")
    return table.assign(code=table["code"].fillna(0).astype("uint8"))
