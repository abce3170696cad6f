"""Class change in a series of class probabilities, two dates or many: joint posteriors instead of subtracted maps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from ceiba.change.classes.hidden_states import best_paths, expect_transitions, smooth_pixels
from ceiba.change.classes.transitions import TransitionRules
from ceiba.errors import InputError, ParameterError

PIXELS_AT_ONCE = 4096
LEARNING_PIXELS = 20_000
SMALLEST_LIKELIHOOD = 1e-6  # no classifier is so sure that one year could not be outvoted by the others
INDEPENDENCE, EVIDENCE = 0.5, 1.5
NODATA = 0


@dataclass(frozen=True)
class ChangeModel:
    """What is known of classes and their transitions before a pixel is looked at.

    Attributes
    ----------
    codes
        Classes, dims ``(class,)``.
    years
        Years of the series, ascending, dims ``(year,)``.
    class_prior
        Share of each class [1] among what the classifier learnt from, by which its probabilities are divided.
    start
        Share of each class [1] in the first year.
    moves
        Probability of each class at the next year of the series [1], rows sum to 1, dims ``(step, class, class)``.
    independence
        How far the years err independently [1], as of :func:`change_model`.
    evidence
        Power of the likelihoods of each year [1].
    iterations
        Rounds of estimation; 0 where the transitions are those of the rules.
    """

    codes: np.ndarray
    years: tuple[int, ...]
    class_prior: np.ndarray
    start: np.ndarray
    moves: np.ndarray
    independence: float = 1.0
    evidence: float = 1.0
    iterations: int = 0


def years_between(source: xr.Dataset, first_year: int, last_year: int) -> list[int]:
    """Years from ``first_year`` to ``last_year`` of which annual features exist, ascending.

    Raises
    ------
    InputError
        Where either end has none, naming the years that exist.
    """
    years = sorted(set(source.time.dt.year.values.tolist())) if "time" in source.dims else []
    if first_year not in years or last_year not in years or first_year >= last_year:
        exist = ", ".join(map(str, years)) or "none"
        raise InputError(
            f"class change from {first_year} to {last_year} needs features of both years; there are {exist}"
        )
    return [year for year in years if first_year <= year <= last_year]


def learning_pixels(count: int) -> np.ndarray:
    """Flat positions of the pixels, out of ``count``, from which transitions are learnt, ascending: all, or 20,000 at random.

    Every so many pixels would not do: where their distance divides the width of the image, they all lie in a few columns.
    """
    if count <= LEARNING_PIXELS:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, LEARNING_PIXELS, replace=False))


def change_model(
    probabilities: Sequence[xr.DataArray],
    years: Sequence[int],
    rules: TransitionRules,
    *,
    class_prior: np.ndarray | None = None,
    independence: float = INDEPENDENCE,
    evidence: float = EVIDENCE,
    iterations: int = 20,
    weight_of_rules: float = 100.0,
    tolerance: float = 1e-4,
) -> ChangeModel:
    """Transitions between the years of a series, estimated from its own probabilities.

    Expectation and maximisation over pairs of dates (Bruzzone and Serpico 1997, doi:10.1109/36.602528) and over series (Baum et
    al. 1970), with the rules as a Dirichlet prior; what they forbid stays forbidden, and what takes years to grow is forbidden
    until the series has lasted as long. Steps of the same number of years share their transitions. At most 20,000 pixels take
    part, those of :func:`learning_pixels`.

    Parameters
    ----------
    probabilities
        Class probabilities [1] of each year, dims ``(class, y, x)`` with codes as coordinate ``class``; NaN is no data.
    years
        Their years, ascending.
    rules
        For the same classes.
    class_prior
        Share of each class among the classifier's training samples [1], dims ``(class,)``; the mean of the probabilities where it
        is None, which leaves the classes of a single year as they are.
    independence
        How far the years err independently [1]: at 1 every year's probabilities are divided by the class prior, as they must be
        where errors have nothing in common; at 0 only once for all years, as where they all err alike. Between, the power of the
        prior is ``(1 + independence (years - 1)) / years``, with the years of which a pixel has data. The same pixel errs in much
        the same way every year; on two simulated countries a half found 1 to 9 % more of the change than 1 at the same user's
        accuracy, with more classes right, and a quarter and three quarters did nearly as well.
    evidence
        Power of the likelihoods [1], above 0. Probabilities are calibrated on land apart from the training, and most of what makes
        them cautious stays the same from year to year in a pixel, so that a jump between two years tells more than they say. On
        four simulated countries 1.5 brought the sum of the change probabilities from 53 to 87 % of the true change to 75 to 94 %;
        at 2 false changes prevailed in the hardest of them. 1 takes them as they are.
    iterations
        Rounds at most; 0 takes the transitions of the rules as they are.
    weight_of_rules
        Pixels a class for which the rules count [1].
    tolerance
        Settled when no transition probability moves by as much.

    Raises
    ------
    InputError
        Where years, classes or shapes do not fit together, or no pixel has data.
    ParameterError
        On a weight or an evidence that is not above 0, or an independence beyond 0 to 1.
    """
    years = tuple(int(year) for year in years)
    _check(probabilities, years, rules.codes)
    if not weight_of_rules > 0:
        raise ParameterError(f"weight_of_rules is {weight_of_rules}; it must be above 0")
    if not evidence > 0:
        raise ParameterError(f"evidence is {evidence}; it must be above 0")
    if not 0 <= independence <= 1:
        raise ParameterError(f"independence is {independence}; allowed are 0 to 1")
    values = _pixels(probabilities, learning_pixels(probabilities[0][0].size))
    values = values[np.isfinite(values).all(axis=2).any(axis=1)]
    if not len(values):
        raise InputError(f"no pixel has class probabilities in any of the years {', '.join(map(str, years))}")
    if class_prior is None:
        class_prior = np.nanmean(values, axis=(0, 1))
    class_prior = np.asarray(class_prior, dtype="float64")
    if class_prior.shape != rules.codes.shape or not (class_prior >= 0).all() or not class_prior.sum() > 0:
        raise InputError(f"the class prior needs a share for each of {len(rules.codes)} classes; got {class_prior}")
    class_prior = class_prior / class_prior.sum()
    likelihoods = _likelihoods(values, class_prior, independence, evidence)
    gaps = np.diff(years)
    guess = np.stack(
        [rules.prior(int(gap), known_years=year - years[0]) for gap, year in zip(gaps, years[1:], strict=True)]
    )
    model = ChangeModel(rules.codes, years, class_prior, class_prior, guess, independence, evidence)
    for number in range(iterations):
        starts, counts = np.zeros(len(class_prior)), np.zeros_like(guess)
        expect_transitions(likelihoods, model.start, model.moves, starts, counts)
        for gap in np.unique(gaps):
            counts[gaps == gap] = counts[gaps == gap].sum(axis=0)
        moves = np.where(guess > 0, counts + weight_of_rules * guess, 0.0)
        moves /= moves.sum(axis=2, keepdims=True)
        start = starts + weight_of_rules * class_prior
        moved = np.abs(moves - model.moves).max()
        model = ChangeModel(rules.codes, years, class_prior, start / start.sum(), moves, independence, evidence, number + 1)
        if moved < tolerance:
            break
    return model


def class_change(probabilities: Sequence[xr.DataArray], model: ChangeModel, *, threshold: float = 0.5) -> xr.Dataset:
    """Change of class over the years of a series.

    A pixel has changed where paths of more than one class have a posterior probability above ``threshold`` together. Its change
    year is the later year of the step in which change is most probable, its classes those most probable before and after
    that step; where it has not changed, both are the class most probable in all years alike.

    Parameters
    ----------
    probabilities
        As of :func:`change_model`. A year without data in a pixel says nothing there; the other years speak.
    model
        From :func:`change_model`, for the same years and classes.
    threshold
        Probability of change [1] above which a pixel has changed, 0 to 1.

    Returns
    -------
    xr.Dataset
        Dims ``(y, x)``: from_class, to_class (uint8 codes, 0 no data), change_probability [1] (float32, NaN no data), change_year
        (uint16, 0 no change or no data); dims ``(year, y, x)``: path (uint8 codes, 0 no data), the most probable classes of all
        years together.

    Raises
    ------
    InputError
        Where years, classes or shapes do not fit the model.
    ParameterError
        On another threshold.
    """
    if not 0 < threshold < 1:
        raise ParameterError(f"threshold is {threshold}; allowed is more than 0 and less than 1")
    _check(probabilities, model.years, model.codes)
    template = probabilities[0].isel({"class": 0}, drop=True)
    count, years = template.size, len(model.years)
    codes = np.append(model.codes, NODATA).astype("uint8")
    out = {name: np.zeros(count, dtype="uint8") for name in ("from_class", "to_class")}
    out["change_probability"] = np.full(count, np.nan, dtype="float32")
    out["change_year"] = np.zeros(count, dtype="uint16")
    paths = np.zeros((years, count), dtype="uint8")
    after = np.array(model.years[1:])
    with np.errstate(divide="ignore"):
        log_start, log_moves = np.log(model.start), np.log(model.moves)
    for pixels, likelihoods in _blocks(probabilities, model):
        _, stays, steps, pairs = _smooth(likelihoods, model)
        change = (1 - stays.sum(axis=1)).clip(0, 1)
        changed = change > threshold
        same = np.where(np.isfinite(change), np.argmax(stays, axis=1), -1)  # no path is possible: no data
        out["change_probability"][pixels] = change
        out["change_year"][pixels] = np.where(changed, after[np.argmax(steps, axis=1)], 0)
        out["from_class"][pixels] = codes[np.where(changed, pairs[:, 0], same)]
        out["to_class"][pixels] = codes[np.where(changed, pairs[:, 1], same)]
        path = np.empty((len(pixels), years), dtype="int64")
        best_paths(np.log(likelihoods), log_start, log_moves, path)
        paths[:, pixels] = codes[path].T
    units = {"from_class": "class", "to_class": "class", "change_probability": "1", "change_year": "year"}
    bands = {
        name: template.copy(data=values.reshape(template.shape)).assign_attrs(units=units[name])
        for name, values in out.items()
    }
    path = xr.DataArray(
        paths.reshape(years, *template.shape),
        dims=("year", *template.dims),
        coords={"year": list(model.years)} | {name: template.coords[name] for name in template.coords},
        attrs={"units": "class"},
    )
    return xr.Dataset(bands | {"path": path})


def smooth_series(probabilities: Sequence[xr.DataArray], model: ChangeModel) -> xr.DataArray:
    """Class probabilities of each year, given those of all years.

    Parameters and errors as of :func:`class_change`.

    Returns
    -------
    xr.DataArray
        Probabilities [1], dims ``(year, class, y, x)``, float32; NaN where no year has data.
    """
    _check(probabilities, model.years, model.codes)
    template = probabilities[0]
    out = np.full((len(model.years), len(model.codes), template[0].size), np.nan, dtype="float32")
    for pixels, likelihoods in _blocks(probabilities, model):
        out[:, :, pixels] = _smooth(likelihoods, model)[0].transpose(1, 2, 0)
    return xr.DataArray(
        out.reshape(len(model.years), *template.shape),
        dims=("year", *template.dims),
        coords={"year": list(model.years)} | {name: template.coords[name] for name in template.coords},
        attrs={"units": "1"},
    )


def _smooth(likelihoods: np.ndarray, model: ChangeModel) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    pixels, years, classes = likelihoods.shape
    marginals, stays = np.empty(likelihoods.shape), np.empty((pixels, classes))
    steps, pairs = np.empty((pixels, years - 1)), np.empty((pixels, 2), dtype="int64")
    smooth_pixels(likelihoods, model.start, model.moves, marginals, stays, steps, pairs)
    return marginals, stays, steps, pairs


def _blocks(probabilities: Sequence[xr.DataArray], model: ChangeModel) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Flat pixels with data in any year, and their likelihoods."""
    count = probabilities[0][0].size
    for start in range(0, count, PIXELS_AT_ONCE):
        pixels = np.arange(start, min(start + PIXELS_AT_ONCE, count))
        values = _pixels(probabilities, pixels)
        seen = np.isfinite(values).all(axis=2).any(axis=1)
        if seen.any():
            yield pixels[seen], _likelihoods(values[seen], model.class_prior, model.independence, model.evidence)


def _pixels(probabilities: Sequence[xr.DataArray], pixels: np.ndarray) -> np.ndarray:
    """Probabilities of flat pixels, dims ``(pixel, year, class)``."""
    years = [year.values.reshape(year.sizes["class"], -1)[:, pixels].T for year in probabilities]
    return np.stack(years, axis=1).astype("float64")


def _likelihoods(values: np.ndarray, class_prior: np.ndarray, independence: float, evidence: float) -> np.ndarray:
    """Scaled likelihoods, at most 1 a year (Saerens et al. 2002, doi:10.1162/089976602753284446); 1 where a year has no data."""
    seen = np.isfinite(values).all(axis=2).sum(axis=1)[:, None, None]
    power = (1 + independence * (seen - 1)) / np.maximum(seen, 1)
    likelihoods = np.where(class_prior > 0, values / np.maximum(class_prior, 1e-12) ** power, 0.0)
    largest = likelihoods.max(axis=2, keepdims=True)
    likelihoods = np.maximum((likelihoods / np.where(largest > 0, largest, 1.0)) ** evidence, SMALLEST_LIKELIHOOD)
    return np.where(np.isfinite(values).all(axis=2, keepdims=True), likelihoods, 1.0)


def _check(probabilities: Sequence[xr.DataArray], years: tuple[int, ...], codes: np.ndarray) -> None:
    if len(years) < 2 or list(years) != sorted(set(years)):
        raise InputError(f"a series needs two or more years in ascending order; got {list(years)}")
    if len(probabilities) != len(years):
        raise InputError(f"{len(years)} years need as many class probabilities; got {len(probabilities)}")
    for year, values in zip(years, probabilities, strict=True):
        if values.dims[0] != "class" or values.shape != probabilities[0].shape:
            raise InputError(
                f"probabilities of {year} have dims {values.dims} and shape {values.shape}; all years need (class, ...) and one shape"
            )
        if not np.array_equal(values["class"].values, codes):
            raise InputError(
                f"probabilities of {year} are of classes {values['class'].values.tolist()}, not {codes.tolist()}"
            )
