"""Class change as people see it: figures, tables, and areas by a reference sample of both years."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from pyproj import Transformer

from ceiba.change.classes import figures
from ceiba.change.classes.from_to import change_budget, from_to_by_region, from_to_matrix
from ceiba.change.classes.reference import assess_change, assess_change_by_region, pair_labels
from ceiba.change.classes.series import years_between
from ceiba.classification.accuracy.areas import pixel_areas
from ceiba.errors import InputError
from ceiba.legends import load_legend


def test_figures_and_tables_of_a_change(tmp_path):
    """What the notebook shows, drawn once: nothing changed, and three changes."""
    legend = load_legend("mexico_8")
    geobox = GeoBox.from_bbox((4_000_000, 1_199_900, 4_000_060, 1_199_930), "EPSG:6372", resolution=10)
    before = wrap_xr(np.repeat([[1, 2, 3, 1, 1, 0]], 3, axis=0).astype("uint8"), geobox)
    after = before.copy(data=np.repeat([[1, 5, 5, 1, 6, 0]], 3, axis=0).astype("uint8"))
    moved = before.values != after.values
    change = xr.Dataset(
        {
            "from_class": before,
            "to_class": after,
            "change_probability": before.copy(data=np.where(before > 0, moved * 0.9, np.nan).astype("float32")),
            "change_year": before.copy(data=np.where(moved, 2019, 0).astype("uint16")),
        }
    )
    matrix = from_to_matrix(before, after, legend)
    assert figures.new_class_figure(change, legend, title="x000y000").axes[0].get_legend() is not None
    assert len(figures.change_year_figure(change, [2018, 2019, 2020], title="x000y000").axes) == 4
    drawn = figures.from_to_figure(matrix, legend, title="x000y000").axes[0]
    assert sorted(text.get_text() for text in drawn.texts) == ["0.03", "0.03", "0.03"]
    nothing = from_to_matrix(before, before, legend)
    assert not figures.from_to_figure(nothing, legend, title="x000y000").axes[0].axison
    assert len(figures.pair_table(matrix, legend)) == 3 and figures.pair_table(nothing, legend).empty
    assert len(figures.budget_table(change_budget(matrix), legend)) == 5
    regions = figures.region_table(from_to_by_region(before, after, legend, names=["x"]), legend)
    assert regions.iloc[0, 3] == "60.00%"
    plt.close("all")


def test_a_reference_sample_of_both_years_corrects_the_areas():
    """A simple random sample of 70 points, 7 of which changed: a tenth of the 4 ha, with the binomial interval."""
    legend = load_legend("mexico_8")
    geobox = GeoBox.from_bbox((4_000_000, 1_199_800, 4_000_200, 1_200_000), "EPSG:6372", resolution=10)
    codes = wrap_xr(np.full((20, 20), 1, dtype="uint8"), geobox)
    change = xr.Dataset({"from_class": codes, "to_class": codes})
    centers = np.stack(np.meshgrid(geobox.coords["x"].values[::2], geobox.coords["y"].values[::3][:8])).reshape(2, -1)
    longitude, latitude = Transformer.from_crs("EPSG:6372", "EPSG:4326", always_xy=True).transform(*centers)
    first = pd.DataFrame({"longitude": longitude, "latitude": latitude, "year": 2018, "code": 1})
    last = first.assign(year=2020, code=np.where(np.arange(len(first)) < len(first) // 10, 5, 1))
    table = pd.concat([last, first], ignore_index=True)
    found = assess_change(table, change, legend, first_year=2018, last_year=2020)
    share = (len(first) // 10) / len(first)
    total = float(pixel_areas(geobox).sum())
    assert found.change[0] == pytest.approx(share * total)
    spread = 1.96 * np.sqrt(share * (1 - share) / (len(first) - 1)) * total
    assert found.change[1] == pytest.approx(spread, rel=1e-3)
    assert len(figures.pair_table(from_to_matrix(codes, codes, legend), legend, estimate=found)) == 1
    budget = figures.corrected_budget_table(found, legend)
    assert list(budget.index) == [0, 1] and budget.iloc[1, 1].startswith(f"{share * total:,.2f} (")
    # Swap is 0 in the sample, but what 70 points did not show may be there.
    assert re.fullmatch(r"0\.00 \(0\.00 - 0\.[1-9]\d\)", budget.iloc[0, 4])
    # The first row of points has the changes: five of the 35 points of the west, two of the 35 of the east.
    zones = np.repeat([[1, 2]], 20, axis=0).repeat(10, axis=1)
    parts = assess_change_by_region(table, change, legend, zones, ["west", "east"], first_year=2018, last_year=2020)
    assert parts["west"].change[0] == pytest.approx(5 / 35 * total / 2, rel=1e-4)
    assert parts["east"].change[0] == pytest.approx(2 / 35 * total / 2, rel=1e-4)
    assert parts["east"].change_limits[0] < parts["east"].change[0] < parts["east"].change_limits[1] < total / 2
    few = np.where(np.arange(20)[:, None] < 3, 1, 2) * np.ones((1, 20), dtype="int64")
    assert list(assess_change_by_region(table, change, legend, few, ["a", "b"], first_year=2018, last_year=2020)) == ["b"]
    by_region = from_to_by_region(codes, codes, legend, zones, ["west", "east"])
    assert figures.region_table(by_region, legend, corrected=parts).iloc[0, -1].startswith(f"{5 / 70 * total:,.2f} (")
    assert assess_change(table.head(90), change, legend, first_year=2018, last_year=2020) is None
    with pytest.raises(InputError, match="two labels of 2018"):
        pair_labels(pd.concat([table, first.head(3)]), legend, 2018, 2020)


def test_years_of_the_features_between_two_years():
    source = xr.Dataset(
        {"ndvi": ("time", np.zeros(3))}, {"time": pd.to_datetime(["2018-01-01", "2019-01-01", "2021-01-01"])}
    )
    assert years_between(source, 2018, 2021) == [2018, 2019, 2021] and years_between(source, 2018, 2019) == [2018, 2019]
    with pytest.raises(InputError, match="needs features of both years; there are 2018, 2019, 2021"):
        years_between(source, 2018, 2020)
