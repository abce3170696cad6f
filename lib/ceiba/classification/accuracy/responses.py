"""What interpreters answered: one to three labels a sample, double reading, agreement and consensus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.stats.inter_rater import fleiss_kappa

from ceiba.errors import InputError
from ceiba.legends import Legend

LABELS = ("label_1", "label_2", "label_3")
CONFIDENCES = ("low", "medium", "high")
RULES = ("first", "any")
NO_CLASS = 0


def read_responses(table: pd.DataFrame, legend: Legend, *, names: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Bring a table of answers to one form.

    Parameters
    ----------
    table
        Columns sample_id, interpreter, label_1 and, where the interpreter was in doubt, label_2 and label_3 (classes of
        ``legend``, either language, or codes); confidence (low, medium, high) and date are optional. A row without label_1
        is a point that could not be told.
    legend
        Legend of the labels.
    names
        The table's own names for these columns, ``{"label_1": "cobertura"}``: an export of Collect Earth has those of its
        survey.

    Returns
    -------
    pd.DataFrame
        Columns sample_id, interpreter (text), code_1, code_2, code_3 (uint8, 0 for none), confidence (text, empty for
        none), date (day, NaT for none). Rows that nobody filled in, without interpreter and labels, are left out.

    Raises
    ------
    InputError
        Where columns are missing, an answer has no interpreter, one interpreter answered a sample twice, a label stands twice
        in a row or stands after an empty one, or a confidence or date is none.
    LegendError
        Naming every label that the legend does not have.
    """
    own = dict(names or {})
    table = table.rename(columns={given: name for name, given in own.items()})
    missing = [name for name in ("sample_id", "interpreter", "label_1") if name not in table]
    if missing:
        raise InputError(
            f"the answers lack columns {', '.join(missing)}; they have {', '.join(map(str, table.columns))}"
        )
    filled = table[["interpreter", *(name for name in LABELS if name in table)]].map(_is_filled)
    table = table[filled.any(axis=1)].reset_index(drop=True)
    result = pd.DataFrame(
        {name: table[name].astype(str).str.strip().to_numpy(dtype=object) for name in ("sample_id", "interpreter")}
    )
    nameless = ~table["interpreter"].map(_is_filled).to_numpy(dtype=bool)
    if nameless.any():
        raise InputError(
            f"{int(nameless.sum())} answers have no interpreter, without whom double reading cannot be told; "
            f"the first is {result['sample_id'][np.argmax(nameless)]}"
        )
    twice = result[result.duplicated(["sample_id", "interpreter"])]
    if len(twice):
        first = twice.iloc[0]
        raise InputError(
            f"{len(twice)} samples have two answers of one interpreter; the first is {first['sample_id']} of {first['interpreter']}"
        )
    for number, name in enumerate(LABELS, start=1):
        result[f"code_{number}"] = _codes(table[name], legend) if name in table else np.zeros(len(table), dtype="uint8")
    codes = result[["code_1", "code_2", "code_3"]].to_numpy()
    gaps = ((codes[:, 1:] > 0) & (codes[:, :-1] == 0)).any(axis=1)
    same = pd.DataFrame(codes).apply(lambda row: row[row > 0].duplicated().any(), axis=1).to_numpy(dtype=bool)
    for wrong, what in ((gaps, "a label after an empty one"), (same, "the same label twice")):
        if wrong.any():
            raise InputError(
                f"{int(wrong.sum())} answers have {what}; the first is {result['sample_id'][np.argmax(wrong)]}"
            )
    confidence = (
        table["confidence"].fillna("").astype(str).str.strip() if "confidence" in table else pd.Series("", table.index)
    )
    strange = sorted(set(confidence) - {"", *CONFIDENCES})
    if strange:
        raise InputError(f"confidences {strange} are none; there are {', '.join(CONFIDENCES)}")
    dates = _dates(table["date"]) if "date" in table else pd.Series(pd.NaT, table.index)
    return result.assign(confidence=confidence.to_numpy(dtype=object), date=dates.to_numpy(dtype="datetime64[ns]"))


def _is_filled(value: object) -> bool:
    return not pd.isna(value) and str(value).strip() != ""


def _dates(column: pd.Series) -> pd.Series:
    dates = pd.to_datetime(column.where(column.map(_is_filled), None), errors="coerce", format="mixed")
    wrong = dates.isna() & column.map(_is_filled)
    if wrong.any():
        raise InputError(f"{int(wrong.sum())} dates are none, such as {column[wrong].iloc[0]!r}; write 2024-05-31")
    return dates


def _codes(column: pd.Series, legend: Legend) -> np.ndarray:
    empty = column.isna().to_numpy() | column.astype(str).str.strip().isin(["", "0"]).to_numpy()
    codes = np.zeros(len(column), dtype="uint8")
    values = column.to_numpy(dtype=object)[~empty]
    # A column with gaps is read as decimals: 7.0 is the code 7.
    whole = [int(value) if isinstance(value, float) and value.is_integer() else value for value in values]
    codes[~empty] = legend.codes_of(whole)
    return codes


def reference_codes(
    responses: pd.DataFrame, mapped: Mapping[str, int] | pd.Series, *, rule: str = "first"
) -> pd.Series:
    """The class that counts for each sample, one answer a sample.

    Parameters
    ----------
    responses
        From :func:`read_responses`, one row a sample: choose the interpreter, or take :func:`agree`.
    mapped
        Class in the map by sample id.
    rule
        ``first``: the first label. ``any``: the map's class where it is one of the up to three labels, else the first
        (what CONABIO reports as "top 3"); accuracy by it is that of a map whose class an interpreter could not rule out.

    Returns
    -------
    pd.Series
        Codes by sample id, uint8; samples that could not be told are left out.

    Raises
    ------
    InputError
        On another rule, where a sample has two answers or no class in the map.
    """
    if rule not in RULES:
        raise InputError(f"no rule {rule!r}; there are {', '.join(RULES)}")
    if responses["sample_id"].duplicated().any():
        raise InputError("some samples have the answers of several interpreters; choose one or let them agree first")
    told = responses[responses["code_1"] > NO_CLASS].set_index("sample_id")
    mapped = pd.Series(mapped)
    lost = told.index.difference(mapped.index)
    if len(lost):
        raise InputError(f"{len(lost)} answered samples are not in the design; the first is {lost[0]}")
    result = told["code_1"].copy()
    if rule == "any":
        here = mapped.reindex(told.index).to_numpy()
        known = (told[["code_1", "code_2", "code_3"]].to_numpy() == here[:, None]).any(axis=1)
        result = result.where(~known, here)
    return result.astype("uint8").rename("code")


def fleiss(responses: pd.DataFrame) -> float:
    """Kappa [1] of several interpreters by their first labels (Fleiss 1971, doi:10.1037/h0031619).

    Only samples that as many interpreters told as told most samples count, for the measure needs the same number each; NaN
    where there is no such sample of two, or all saw one class. For two interpreters by name, with an interval:
    :func:`ceiba.classification.samples.review.measure_agreement`.
    """
    told = responses[responses["code_1"] > NO_CLASS]
    counts = pd.crosstab(told["sample_id"], told["code_1"])
    readers = counts.sum(axis=1)
    several = readers[readers >= 2]
    if several.empty or counts.shape[1] < 2:
        return float("nan")
    counts = counts[readers == several.mode().max()]
    return float(fleiss_kappa(counts.to_numpy(), method="fleiss"))


@dataclass(frozen=True)
class Consensus:
    """What the answers of several interpreters say together.

    Attributes
    ----------
    probabilities
        Probability [1] of each class, rows sample ids, columns codes.
    shares
        Share [1] of each class among the samples.
    errors
        Interpreter to a table: rows true class, columns answered class [1].
    rounds
        Steps until nothing changed.
    """

    probabilities: pd.DataFrame
    shares: pd.Series
    errors: Mapping[str, pd.DataFrame]
    rounds: int


def find_consensus(responses: pd.DataFrame, *, tolerance: float = 1e-6, most_rounds: int = 500) -> Consensus:
    """True classes and error rates of interpreters, estimated together by EM (Dawid and Skene 1979, doi:10.2307/2346806).

    Parameters
    ----------
    responses
        Columns sample_id, interpreter, code_1; an interpreter may have read a sample several times. Answers without a class
        are left out.
    tolerance
        Largest change of a probability at which it ends.
    most_rounds
        Steps after which it ends anyway.

    Raises
    ------
    InputError
        Where nobody told a class.
    """
    told = responses[responses["code_1"] > NO_CLASS]
    if told.empty:
        raise InputError("no answer tells a class: there is nothing to agree on")
    samples, of_sample = np.unique(told["sample_id"].astype(str), return_inverse=True)
    readers, of_reader = np.unique(told["interpreter"].astype(str), return_inverse=True)
    codes, of_code = np.unique(told["code_1"], return_inverse=True)
    counts = np.zeros((len(samples), len(readers), len(codes)))
    np.add.at(counts, (of_sample, of_reader, of_code), 1)
    belief = counts.sum(axis=1) / counts.sum(axis=(1, 2))[:, None]
    rounds, change = 0, np.inf
    while change >= tolerance and rounds < most_rounds:
        rounds += 1
        shares = belief.mean(axis=0)
        errors = np.einsum("st,src->rtc", belief, counts)
        errors /= np.maximum(errors.sum(axis=2, keepdims=True), np.finfo(float).tiny)
        with np.errstate(divide="ignore"):
            # 0 x log 0 is 0 here: an answer that nobody gave says nothing.
            log_errors = np.maximum(np.log(errors), -1e4)
            log_belief = np.maximum(np.log(shares), -1e4) + np.einsum("src,rtc->st", counts, log_errors)
        log_belief -= log_belief.max(axis=1, keepdims=True)
        before, belief = belief, np.exp(log_belief)
        belief /= belief.sum(axis=1, keepdims=True)
        change = np.abs(belief - before).max()
    index = pd.Index(codes, name="code")
    tables = {
        str(reader): pd.DataFrame(errors[number], index=index, columns=index) for number, reader in enumerate(readers)
    }
    return Consensus(
        pd.DataFrame(belief, index=pd.Index(samples, name="sample_id"), columns=index),
        pd.Series(shares, index=index),
        tables,
        rounds,
    )


def agree(responses: pd.DataFrame, *, prefer: Sequence[str] = ()) -> pd.DataFrame:
    """One answer a sample out of several.

    Where interpreters gave the same first label it is that; where they differ, the class that the consensus of all answers
    finds likeliest (two readers who differ may well be told apart by how they did elsewhere), or the answer of the first
    interpreter in ``prefer`` who told one: an arbiter. The other labels that anybody gave follow as second and third.
    """
    consensus = find_consensus(responses).probabilities
    rows = []
    for sample_id, group in responses[responses["code_1"] > NO_CLASS].groupby("sample_id", sort=True):
        firsts = group["code_1"].unique()
        chosen = int(firsts[0]) if len(firsts) == 1 else int(consensus.loc[str(sample_id)].idxmax())
        by_name = group.set_index("interpreter")["code_1"]
        arbiters = [name for name in prefer if name in by_name.index]
        if len(firsts) > 1 and arbiters:
            chosen = int(by_name[arbiters[0]])
        given = group[["code_1", "code_2", "code_3"]].to_numpy().T.ravel()
        others = [int(code) for code in dict.fromkeys(given.tolist()) if code not in (NO_CLASS, chosen)][:2]
        codes = [chosen, *others, NO_CLASS, NO_CLASS][:3]
        rows.append(
            {"sample_id": sample_id, "interpreter": "+".join(sorted(group["interpreter"].astype(str)))}
            | dict(zip(("code_1", "code_2", "code_3"), codes, strict=True))
        )
    table = pd.DataFrame(rows, columns=["sample_id", "interpreter", "code_1", "code_2", "code_3"])
    return table.astype(dict.fromkeys(("code_1", "code_2", "code_3"), "uint8"))


def prepare_reference(
    table: pd.DataFrame,
    legend: Legend,
    *,
    design: pd.DataFrame | None = None,
    rule: str = "first",
    prefer: Sequence[str] = (),
) -> pd.DataFrame:
    """A reference sample as :func:`ceiba.classification.accuracy.assessment.assess_map` takes it.

    Parameters
    ----------
    table
        One row a sample with its class (``code`` or ``label``), or answers as :func:`read_responses` takes them.
    legend
        Legend of the labels.
    design
        From :func:`ceiba.classification.accuracy.designs.draw_sample`: its strata, areas and places are joined by
        ``sample_id`` where the table does not tell them itself.
    rule, prefer
        As :func:`reference_codes` and :func:`agree` take them, for answers.

    Raises
    ------
    InputError
        Where a sample is not in the design or stands twice for a year, the design has a sample twice, or the rule needs the
        map's classes and there is no design.
    """
    if design is not None and (twice := design["sample_id"].duplicated()).any():
        raise InputError(
            f"the design has {int(twice.sum())} samples twice; the first is {design['sample_id'][twice].iloc[0]}"
        )
    if "label_1" in table:
        responses = read_responses(table, legend)
        if rule == "any" and design is None:
            raise InputError("the rule 'any' compares with the map's class, which the design tells: give the design")
        mapped = (
            dict.fromkeys(responses["sample_id"], NO_CLASS)
            if design is None
            else dict(zip(design["sample_id"].astype(str), design["map_code"], strict=True))
        )
        codes = reference_codes(agree(responses, prefer=prefer), mapped, rule=rule)
        own = table.assign(sample_id=table["sample_id"].astype(str).str.strip())
        own = own.drop_duplicates("sample_id").set_index("sample_id")
        extra = [
            name for name in own.columns if name not in (*LABELS, "label", "code", "interpreter", "confidence", "date")
        ]
        table = own.loc[codes.index, extra].assign(code=codes).reset_index()
    told = [name for name in ("sample_id", "year") if name in table]
    if "sample_id" in told and (twice := table.duplicated(told)).any():
        raise InputError(
            f"{int(twice.sum())} samples have two labels of a year; the first is {table['sample_id'][twice].iloc[0]}. "
            "Agree on one first, or give the answers with their interpreters"
        )
    if design is None or "stratum" in table:
        return table
    if "sample_id" not in table:
        raise InputError("the reference sample has no sample_id, by which the design tells its strata")
    missing = sorted(set(table["sample_id"].astype(str)) - set(design["sample_id"].astype(str)))
    if missing:
        raise InputError(f"{len(missing)} samples are not in the design; the first is {missing[0]}")
    places = design.drop(columns=["x", "y", "map_code"], errors="ignore").assign(
        sample_id=design["sample_id"].astype(str)
    )
    # The year is that of the label: a label of another year says nothing of the map's.
    places = places.drop(columns=[name for name in ("year",) if name in table and name in places])
    kept = table.drop(columns=[name for name in places.columns if name != "sample_id" and name in table])
    return kept.assign(sample_id=kept["sample_id"].astype(str)).merge(places, on="sample_id", how="left")


def double_reading_size(agreement: float, *, half_width: float = 0.05, level: float = 0.95) -> int:
    """Samples to be read twice so that the share of agreement gets this half-width [1], if it is about ``agreement`` [1]."""
    if not 0 < agreement < 1 or not 0 < half_width < 1:
        raise InputError(f"agreement {agreement} and half-width {half_width} must lie between 0 and 1")
    z = float(stats.norm.ppf(0.5 + level / 2))
    return int(np.ceil(z**2 * agreement * (1 - agreement) / half_width**2 - 1e-9))
