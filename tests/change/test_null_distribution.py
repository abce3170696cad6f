"""The null distribution of unchanged land, and planted change told against it."""

import numpy as np
import pytest
from scipy import special, stats

from ceiba.change.two_dates.covariances import chi_square_tail
from ceiba.change.two_dates.irmad import irmad
from ceiba.change.two_dates.maps import false_discovery_rates
from ceiba.change.two_dates.null_distribution import fit_null, no_change_by_stratum
from ceiba.errors import InputError, ParameterError


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 10])
def test_chi_square_tail_is_that_of_scipy(degrees):
    values = np.array([0.0, 1e-9, 0.3, 2.0, 14.07, 60.0, 400.0])
    ours = [chi_square_tail(value, degrees) for value in values]
    assert ours == pytest.approx(special.chdtrc(degrees, values), rel=1e-10)
    # Table of Abramowitz and Stegun: 5 % of chi-square with 7 degrees of freedom lie above 14.07.
    assert chi_square_tail(14.067, 7) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("tail", [6.0, np.inf])
def test_scale_tail_and_unchanged_share_come_back(tail):
    """Noise 1.7 times as strong as assumed, even or uneven, and 4 % of true change."""
    rng = np.random.default_rng(0)
    noise = rng.chisquare(5, 400_000)
    if np.isfinite(tail):
        noise /= rng.chisquare(tail, noise.size) / tail
    statistic = 1.7 * noise
    statistic[:16_000] += rng.uniform(100, 300, 16_000)
    null = fit_null(np.append(statistic, np.nan), 5)
    assert null.scale == pytest.approx(1.7, rel=0.03)
    assert null.unchanged_share == pytest.approx(0.96, abs=0.01)
    assert null.tail == pytest.approx(tail, rel=0.2) if np.isfinite(tail) else null.tail > 100
    unchanged = null.no_change(statistic[16_000:])
    assert stats.kstest(unchanged, "uniform").statistic < 0.01
    assert np.isnan(null.no_change(np.array([np.nan]))).all()


def test_each_stratum_is_judged_by_its_own_noise():
    rng = np.random.default_rng(1)
    strata = np.repeat([1, 2], 20_000)
    statistic = rng.chisquare(4, strata.size) * np.where(strata == 1, 1.0, 25.0)
    statistic[0] = 60.0
    statistic[1] = np.nan
    probability = no_change_by_stratum(statistic, 4, strata)
    assert probability[0] < 1e-6 < probability[20_000:].min() and np.isnan(probability[1])
    for stratum in (1, 2):
        assert stats.kstest(probability[strata == stratum][2:], "uniform").statistic < 0.02
    with pytest.raises(InputError, match="the strata have shape"):
        no_change_by_stratum(statistic, 4, strata[1:])


def test_what_shows_no_null_distribution_is_refused():
    with pytest.raises(ParameterError, match="core is 1.0; allowed are 0.3 to 0.95"):
        fit_null(np.ones(5000), 3, core=1.0)
    with pytest.raises(InputError, match="80 pixels up to"):
        fit_null(np.linspace(0, 1, 100), 3)
    with pytest.raises(InputError, match="that vary"):
        fit_null(np.zeros(5000), 3)


def test_planted_change_of_single_pixels_is_found_at_the_rate_of_false_discoveries_asked_for():
    """The planting of tests/benchmarks/bench_change.py in small; one percent of what is flagged may be false."""
    rng = np.random.default_rng(3)
    shape = (7, 350, 350)
    shade = rng.normal(size=shape[1:])
    before = shade * np.linspace(0.5, 1.5, 7)[:, None, None] + rng.normal(scale=0.3, size=shape)
    after = 1.2 * before + 0.5 + rng.normal(scale=0.1, size=shape)
    changed = rng.random(shape[1:]) < 0.02
    after[:, changed] += rng.normal(scale=1.5, size=(7, int(changed.sum())))
    found = irmad(before.astype("float32"), after.astype("float32"))
    null = fit_null(found.statistic, 7)
    flagged = false_discovery_rates(null.no_change(found.statistic), unchanged_share=null.unchanged_share) <= 0.01
    assert (flagged & ~changed).sum() / flagged.sum() < 0.015
    assert 2 * (flagged & changed).sum() / (flagged.sum() + changed.sum()) > 0.98
    assert null.unchanged_share == pytest.approx(0.98, abs=0.005)
