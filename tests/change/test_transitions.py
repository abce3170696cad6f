"""Which class can become which: the tables, and what they make of a legend."""

import numpy as np
import pandas as pd
import pytest

from ceiba.change.classes.transitions import load_rules
from ceiba.errors import InputError, LegendError
from ceiba.legends import load_legend


@pytest.mark.parametrize("name", ["mexico_31", "mexico_17", "mexico_8", "colombia_17", "mato_grosso"])
def test_every_legend_has_rules_that_are_probabilities(name):
    legend = load_legend(name)
    rules = load_rules(legend)
    assert rules.codes.tolist() == legend.codes.tolist()
    assert (np.diag(rules.fewest_years) == 0).all() and (rules.fewest_years >= 0).all()
    for years in (1, 3, 10):
        prior = rules.prior(years)
        assert np.allclose(prior.sum(axis=1), 1) and (prior[rules.forbidden(years)] == 0).all()
        assert (np.diag(prior) > 0.5).all()


def test_a_town_does_not_become_a_forest_in_a_year_but_in_thirty():
    legend = load_legend("mexico_31")
    rules = load_rules(legend)
    town, pine, field = (
        rules.codes.tolist().index(legend.code(name))
        for name in ("Urban and built-up", "Conifer forest: pine and juniper", "Croplands")
    )
    assert rules.forbidden(1)[town, pine] and rules.forbidden(29)[town, pine] and not rules.forbidden(30)[town, pine]
    assert rules.prior(1)[town, pine] == 0 < rules.prior(1)[pine, town]
    assert not rules.forbidden(1)[field, town]


@pytest.mark.parametrize("name", ["mexico_17", "mexico_8"])
def test_a_coarser_class_forbids_nothing_that_a_member_may_do(name):
    fine, coarse = load_legend("mexico_31"), load_legend(name)
    parents = fine.parents(coarse)
    below, above = load_rules(fine), load_rules(coarse)
    place = {code: number for number, code in enumerate(above.codes.tolist())}
    rows = np.array([place[parents[code]] for code in below.codes.tolist()])
    needs = np.full(above.fewest_years.shape, 1000)
    np.minimum.at(needs, (np.repeat(rows, len(rows)), np.tile(rows, len(rows))), below.fewest_years.ravel())
    np.fill_diagonal(needs, 0)
    assert (above.fewest_years <= needs).all()


def test_rates_are_shared_by_the_classes_of_a_group(tmp_path):
    """Two forests and a field: a tenth of a forest becomes field, 2 % the other forest; a field becomes forest by 4 %."""
    legend = load_legend("mexico_31")
    pd.DataFrame({"legend": legend.name, "code": [1, 2, 28], "group": ["forest", "forest", "field"]}).to_csv(
        tmp_path / "groups.csv", index=False
    )
    groups = pd.Index(["forest", "field"], name="from_group")
    pd.DataFrame([[20, 1], [5, 1]], index=groups, columns=groups).to_csv(tmp_path / "fewest_years.csv")
    pd.DataFrame([[0.02, 0.1], [0.04, 0.3]], index=groups, columns=groups).to_csv(tmp_path / "yearly_rates.csv")
    rules = load_rules(legend, np.array([1, 2, 28]), tmp_path)
    assert np.allclose(rules.yearly_rates, [[0.88, 0.02, 0.1], [0.02, 0.88, 0.1], [0.02, 0.02, 0.96]])
    # In one year the other forest and the field's return are forbidden: 0.88 / 0.98 stay.
    assert np.allclose(rules.prior(1), [[0.88 / 0.98, 0, 0.1 / 0.98], [0, 0.88 / 0.98, 0.1 / 0.98], [0, 0, 1]])
    with pytest.raises(LegendError, match="without a group: Urban and built-up"):
        load_rules(legend, np.array([2, 29]), tmp_path)
    with pytest.raises(LegendError, match="no groups for legend colombia_17"):
        load_rules(load_legend("colombia_17"), folder=tmp_path)
    with pytest.raises(InputError, match="0 years apart"):
        rules.prior(0)
