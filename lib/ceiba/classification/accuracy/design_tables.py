"""A sampling design for people: strata by name, how many samples each gets, where they lie."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes

from ceiba import labels
from ceiba.classification.accuracy import designs
from ceiba.classification.accuracy.assessment import DesignEstimate, design_of
from ceiba.errors import InputError
from ceiba.legends import Legend


def plan_sample(
    strata: pd.DataFrame, number: int, *, allocation: str, fewest: int, expected_accuracy: float
) -> pd.DataFrame:
    """Strata with how many samples each gets, in the column ``samples``.

    Parameters
    ----------
    strata
        From :func:`ceiba.classification.accuracy.designs.count_strata`.
    number
        Samples in all; ``conabio`` finds the number itself.
    allocation
        ``conabio`` (:func:`ceiba.classification.accuracy.designs.conabio_sizes`), or a method of
        :func:`ceiba.classification.accuracy.designs.allocate_samples`.
    fewest
        Least samples of a stratum, where it has as many pixels.
    expected_accuracy
        User's accuracy [1] expected of every stratum before anything is known.
    """
    pixels = dict(zip(strata["stratum"], strata["pixels"], strict=True))
    areas = dict(zip(strata["stratum"], strata["area_ha"], strict=True))
    expected = dict.fromkeys(areas, expected_accuracy)
    if allocation == "conabio":
        sizes = designs.conabio_sizes(pixels, expected)
        sizes = {name: max(size, min(fewest, pixels[name])) for name, size in sizes.items()}
    elif allocation in designs.ALLOCATIONS:
        sizes = designs.allocate_samples(
            areas, number, method=allocation, pixels=pixels, accuracies=expected, fewest=fewest
        )
    else:
        raise InputError(f"no allocation {allocation!r}; there are conabio, {', '.join(designs.ALLOCATIONS)}")
    few = [str(name) for name, size in sizes.items() if size < min(2, pixels[name])]
    if few:
        raise InputError(
            f"strata {', '.join(few)} would get fewer than 2 samples, which tell nothing of their errors; "
            f"set fewest to 2 or more (it is {fewest})"
        )
    return strata.assign(samples=strata["stratum"].map(sizes).astype("int64"))


def expected_half_width(plan: pd.DataFrame, expected_accuracy: float) -> float:
    """Half-width [1] that overall accuracy will have at 95 %, if user's accuracies are as expected."""
    drawn = plan[plan["samples"] > 0]
    areas = dict(zip(drawn["stratum"], drawn["area_ha"], strict=True))
    sizes = dict(zip(drawn["stratum"], drawn["samples"], strict=True))
    return designs.expected_half_width(areas, sizes, dict.fromkeys(areas, expected_accuracy))


def name_stratum(number: int, legend: Legend, regions: Sequence[str] = ()) -> str:
    """Class in both languages, then region and buffer where there are any."""
    code, zone, is_buffer = designs.stratum_parts(int(number))
    entry = legend.find(code)
    words = [f"{code} " + " | ".join(dict.fromkeys((entry.name_es, entry.name_en)))]
    if zone:
        words.append(regions[zone - 1] if zone <= len(regions) else f"{labels.both('classification.part')} {zone}")
    if is_buffer:
        words.append(labels.both("classification.design_buffer"))
    return ", ".join(words)


def plan_table(plan: pd.DataFrame, legend: Legend, regions: Sequence[str] = ()) -> pd.DataFrame:
    """One row a stratum: name, area, share and samples."""
    return pd.DataFrame(
        {
            labels.both("classification.design_stratum"): [
                name_stratum(number, legend, regions) for number in plan["stratum"]
            ],
            labels.both("classification.area_ha"): [f"{value:,.1f}" for value in plan["area_ha"]],
            labels.both("classification.share"): [f"{value:.1%}" for value in plan["area_ha"] / plan["area_ha"].sum()],
            labels.both("classification.design_wanted"): plan["samples"].to_numpy(),
        }
    )


def draw_points(axes: Axes, sample: pd.DataFrame, legend: Legend, *, where: str) -> None:
    """Where the samples lie, in the colours of their mapped classes; buffers as crosses. ``where`` names place and year."""
    colors = legend.colors()
    buffered = sample["stratum"] >= designs.BUFFER
    for chosen, marker in ((~buffered, "o"), (buffered, "X")):
        rows = sample[chosen]
        shades = [colors[int(code)] for code in rows["map_code"]]
        axes.scatter(rows["x"], rows["y"], c=shades, marker=marker, s=18, edgecolor="0.3", linewidth=0.4)
    axes.set_aspect("equal")
    axes.set(xlabel=labels.both("classification.easting"), ylabel=labels.both("classification.northing"))
    axes.set_title(f"{labels.both('classification.design_title')} ({len(sample)}), {where}")
    axes.ticklabel_format(style="plain", useOffset=False)
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=7)


def describe_design(table: pd.DataFrame, assessed: DesignEstimate, legend: Legend, design: pd.DataFrame | None) -> str:
    """What a reader must know of the sample behind an estimate, in both languages, as a list in Markdown.

    How many points of the design were told; strata with one sample or none; that a table without strata was taken for a
    simple random sample.
    """
    words = []
    if design_of(table, design) is not None:
        words.append(f"{labels.both('classification.design_told')}: {table['sample_id'].nunique()} / {len(design)}")
    if "stratum" not in table:
        words.append(labels.both("classification.design_random"))
    for key, strata in (("single", assessed.single), ("unsampled", assessed.unsampled)):
        if strata:
            names = [name_stratum(int(name), legend) if str(name).isdigit() else str(name) for name in strata]
            words.append(f"{labels.both(f'classification.design_{key}')}: {'; '.join(names)}")
    if assessed.coverage < 1:
        words.append(f"{labels.both('classification.design_coverage')}: {assessed.coverage:.1%}")
    return "\n".join(f"- {line}" for line in words)


def region_accuracy_table(assessed: Mapping[str, object], legend: Legend) -> pd.DataFrame:
    """One row a region and class that occurs there: estimated area with its interval, samples, and the region's overall accuracy.

    ``assessed`` is of :func:`ceiba.classification.accuracy.assessment.assess_regions`.
    """
    rows = []
    for name, estimate in assessed.items():
        overall = estimate.overall
        # Once a region: it is the same for all its classes.
        words = f"{overall.value:.0%} ({overall.lower:.0%} - {overall.upper:.0%}), {estimate.samples}"
        for row in estimate.classes[estimate.classes["area_ha"] > 0].itertuples():
            entry = legend.find(int(row.code))
            rows.append(
                {
                    labels.both("classification.part"): name,
                    labels.both("classification.class"): f"{row.code} {entry.name_es} | {entry.name_en}",
                    labels.both("classification.samples"): row.samples,
                    labels.both("classification.corrected_area_ha"): f"{row.area_ha:,.1f}",
                    labels.both("classification.interval"): f"{row.area_lower_ha:,.1f} - {row.area_upper_ha:,.1f}",
                    labels.both("classification.region_accuracy"): words,
                }
            )
            words = ""
    return pd.DataFrame(rows)


def estimates_table(assessed: Mapping[str, object]) -> pd.DataFrame:
    """Estimates of every region in one table for the product: region, then the columns of the estimate's classes."""
    parts = [estimate.classes.assign(region=name, total_ha=estimate.total_ha) for name, estimate in assessed.items()]
    table = pd.concat(parts, ignore_index=True)

    return table[["region", *[name for name in table.columns if name != "region"]]]
