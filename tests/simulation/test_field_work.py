"""Simulated field work says what the truth holds, with the errors that it states."""

import numpy as np
import pytest
from affine import Affine

from ceiba.classification.agriculture.crop_surface import join_visits
from ceiba.classification.agriculture.frames import build_frame, draw_segments, to_csv
from ceiba.errors import InputError
from ceiba.simulation import field_work
from ceiba.simulation.layout import LEFT_M, TOP_M


@pytest.fixture
def truth(monkeypatch):
    """Blocks of 80 m of five classes, a third of them crops."""
    blocks = np.random.default_rng(0).choice([28, 28, 1, 11, 27, 31], (32, 64)).astype("uint8")
    codes = np.repeat(np.repeat(blocks, 8, 0), 8, 1)
    monkeypatch.setattr(field_work, "_truth", lambda year: (codes, Affine(10, 0, LEFT_M, 0, -10, TOP_M)))
    return codes


def test_visits_find_the_crops_of_the_truth(truth):
    visits = field_work.crop_visits(2020, 160)
    assert len(visits) == 16 * 32
    assert visits["found_ha"].sum() == pytest.approx((truth == 28).sum() * 0.01, rel=0.01)
    assert visits["x"].min() == LEFT_M + 80 and visits["y"].max() == TOP_M - 80


def test_the_register_is_wrong_where_it_says_so(truth):
    register = field_work.make_register()
    assert 500 < len(register) < 850 and register["parcel"].is_unique
    assert (register["registered"] != register["true_code"]).mean() == pytest.approx(field_work.WRONG_ENTRIES, abs=0.03)
    assert register.area.eq(6400).all()
    assert register["registered"].equals(field_work.make_register()["registered"])


def test_visits_meet_the_drawn_segments_or_are_missed(truth):
    from odc.geo.geobox import GeoBox
    from odc.geo.xr import wrap_xr

    geobox = GeoBox(truth.shape, Affine(10, 0, LEFT_M, 0, -10, TOP_M), "EPSG:6372")
    frame = build_frame(wrap_xr((truth == 28).astype("float32"), geobox), side_px=16)
    drawn = draw_segments(frame, 30, seed=1)
    visits = field_work.crop_visits(2020, 160)
    joined = join_visits(drawn, visits, year=2020)
    assert joined["found_ha"].to_numpy() == pytest.approx(joined["mapped_ha"].to_numpy(), rel=0.15, abs=0.01)
    with pytest.raises(InputError, match="no visit of 2019"):
        join_visits(drawn, visits, year=2019)
    with pytest.raises(InputError, match="30 drawn segments were not visited"):
        join_visits(drawn, visits.assign(x=visits["x"] + 40), year=2020)
    lines = to_csv(drawn, "EPSG:6372").decode().splitlines()
    assert lines[0] == "segment,x,y,area_ha,longitude,latitude,found_ha" and len(lines) == 31
