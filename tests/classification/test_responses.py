"""Answers of interpreters: reading, rules, kappa and consensus, against published data."""

import numpy as np
import pandas as pd
import pytest

from ceiba.classification.accuracy import responses
from ceiba.classification.samples.review import measure_agreement
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend

LEGEND = load_legend("mato_grosso")
# Dawid and Skene 1979, table 1: five anaesthetists, the first of whom read each of 45 patients three times.
PATIENTS = """
111 1 1 1 1|333 4 3 3 4|112 2 1 2 2|222 3 1 2 1|222 3 2 2 2|222 3 3 2 2|122 2 1 1 1|333 3 4 3 3|222 2 2 2 3|232 2 2 2 3|
444 4 4 4 4|222 3 3 4 3|111 1 1 1 1|222 3 2 1 2|121 1 1 1 1|111 2 1 1 1|111 1 1 1 1|111 1 1 1 1|222 2 2 2 1|222 1 3 2 2|
222 2 2 2 2|222 2 2 2 1|222 3 2 2 2|221 2 2 2 2|111 1 1 1 1|111 1 1 1 1|232 2 2 2 2|111 1 1 1 1|111 1 1 1 1|112 1 1 2 1|
111 1 1 1 1|333 3 2 3 3|111 1 1 1 1|222 2 2 2 2|222 3 2 3 2|433 4 3 4 3|221 2 2 3 2|232 3 2 3 3|333 3 4 3 2|111 1 1 1 1|
111 1 1 1 1|121 2 1 1 1|232 2 2 2 2|121 1 1 1 1|222 2 2 2 2
"""


def anaesthetists():
    rows = [
        (f"{patient:02d}", str(reader), int(code))
        for patient, line in enumerate(PATIENTS.replace("\n", "").split("|"), start=1)
        for reader, answers in enumerate(line.split(), start=1)
        for code in answers
    ]
    return pd.DataFrame(rows, columns=["sample_id", "interpreter", "code_1"])


def test_consensus_of_dawid_and_skene_1979():
    """The article's estimates: shares 0.40, 0.42, 0.11, 0.07; the first anaesthetist's rates of what he says of class 1."""
    found = responses.find_consensus(anaesthetists())
    assert found.shares.round(2).tolist() == [0.40, 0.42, 0.11, 0.07]
    assert found.errors["1"].loc[1].round(2).tolist() == [0.89, 0.11, 0, 0]
    assert found.errors["1"].loc[2].round(2).tolist() == [0.07, 0.88, 0.05, 0]
    assert found.probabilities.loc["01"].round(4).tolist() == [1, 0, 0, 0]
    assert found.probabilities.loc["11"].idxmax() == 4
    assert np.allclose(found.probabilities.sum(axis=1), 1)


def test_consensus_finds_the_careless_interpreter_and_the_truth():
    rng = np.random.default_rng(2)
    truth = rng.choice([1, 2, 3], 400, p=[0.5, 0.3, 0.2])
    parts = []
    for name, skill in (("a", 0.95), ("b", 0.9), ("c", 0.4)):
        told = np.where(rng.random(400) < skill, truth, rng.choice([1, 2, 3], 400))
        parts.append(pd.DataFrame({"sample_id": np.arange(400).astype(str), "interpreter": name, "code_1": told}))
    found = responses.find_consensus(pd.concat(parts))
    best = found.probabilities.idxmax(axis=1)
    right = (best.to_numpy() == truth[best.index.astype(int)]).mean()
    assert right >= 0.95
    assert np.trace(found.errors["a"]) > np.trace(found.errors["b"]) > np.trace(found.errors["c"])
    with pytest.raises(InputError, match="no answer tells a class"):
        responses.find_consensus(pd.concat(parts).assign(code_1=0))


def test_kappa_of_fleiss_1971():
    """The worked example known from its Wikipedia article: 10 subjects, 14 raters, kappa 0.210."""
    counts = [
        [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
    ]  # fmt: skip
    rows = [
        (str(subject), str(reader), code)
        for subject, line in enumerate(counts)
        for reader, code in enumerate(np.repeat([1, 2, 3, 4, 5], line))
    ]
    table = pd.DataFrame(rows, columns=["sample_id", "interpreter", "code_1"])
    assert responses.fleiss(table) == pytest.approx(0.210, abs=5e-4)
    assert np.isnan(responses.fleiss(table[table["interpreter"] == "0"]))


def answers():
    return pd.DataFrame(
        {
            "sample_id": ["s1", "s2", "s3", "s1", "s2"],
            "interpreter": ["ana", "ana", "ana", "luis", "luis"],
            "label_1": [1.0, 2.0, np.nan, 1.0, 3.0],
            "label_2": [np.nan, 3.0, np.nan, np.nan, np.nan],
            "confidence": ["high", "low", "", "medium", "high"],
            "date": ["2024-03-01"] * 5,
        }
    )


def test_answers_are_read_with_up_to_three_labels_and_agree():
    found = responses.read_responses(answers(), LEGEND)
    assert found[["code_1", "code_2", "code_3"]].to_numpy().tolist() == [
        [1, 0, 0],
        [2, 3, 0],
        [0] * 3,
        [1, 0, 0],
        [3, 0, 0],
    ]
    pair = measure_agreement(found.rename(columns={"code_1": "code"}))
    assert pair.loc[0, "points"] == 2
    assert pair.loc[0, "agreement"] == 0.5
    one = responses.agree(found, prefer=["luis"])
    assert one.set_index("sample_id")["code_1"].to_dict() == {"s1": 1, "s2": 3}
    assert one.set_index("sample_id").loc["s2", "code_2"] == 2
    mapped = {"s1": 1, "s2": 2, "s3": 4}
    assert responses.reference_codes(one, mapped).to_dict() == {"s1": 1, "s2": 3}
    assert responses.reference_codes(one, mapped, rule="any").to_dict() == {"s1": 1, "s2": 2}


def test_wrong_answers_are_refused_by_name():
    with pytest.raises(InputError, match="lack columns label_1"):
        responses.read_responses(answers().drop(columns="label_1"), LEGEND)
    own = answers().rename(columns={"label_1": "cobertura"})
    assert len(responses.read_responses(own, LEGEND, names={"label_1": "cobertura"})) == 5
    with pytest.raises(InputError, match="two answers of one interpreter; the first is s1 of ana"):
        responses.read_responses(pd.concat([answers(), answers()]), LEGEND)
    # Points that nobody has come to yet have neither name nor label.
    unread = answers().assign(interpreter=["ana", "ana", np.nan, "luis", "luis"])
    assert responses.read_responses(unread, LEGEND)["sample_id"].tolist() == ["s1", "s2", "s1", "s2"]
    with pytest.raises(InputError, match="1 answers have no interpreter.*the first is s1"):
        responses.read_responses(answers().assign(interpreter=[np.nan, *["ana"] * 2, *["luis"] * 2]), LEGEND)
    with pytest.raises(InputError, match="1 dates are none, such as 'ayer'"):
        responses.read_responses(answers().assign(date=["ayer", *["2024-03-01"] * 4]), LEGEND)
    with pytest.raises(LegendError, match="'Luna'"):
        responses.read_responses(answers().assign(label_1="Luna"), LEGEND)
    with pytest.raises(InputError, match="the same label twice; the first is s2"):
        responses.read_responses(answers().assign(label_2=[np.nan, 2, np.nan, np.nan, np.nan]), LEGEND)
    with pytest.raises(InputError, match="a label after an empty one; the first is s3"):
        responses.read_responses(answers().assign(label_2=[np.nan, 3, 1, np.nan, np.nan]), LEGEND)
    with pytest.raises(InputError, match="no interpreter"):
        responses.read_responses(answers().assign(interpreter=""), LEGEND)
    with pytest.raises(InputError, match=r"confidences \['sure'\] are none; there are low, medium, high"):
        responses.read_responses(answers().assign(confidence="sure"), LEGEND)
    read = responses.read_responses(answers(), LEGEND)
    with pytest.raises(InputError, match="answers of several interpreters"):
        responses.reference_codes(read, {})
    with pytest.raises(InputError, match="no rule 'best'; there are first, any"):
        responses.reference_codes(read, {}, rule="best")
    with pytest.raises(InputError, match="2 answered samples are not in the design; the first is s1"):
        responses.reference_codes(responses.agree(read), {})


def test_how_many_to_read_twice():
    """1.96^2 x 0.8 x 0.2 / 0.05^2 = 245.9."""
    assert responses.double_reading_size(0.8) == 246
