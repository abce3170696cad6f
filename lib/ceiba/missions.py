"""How many looks at a place can be expected of the satellites in orbit, from ``catalogs/missions.yml``."""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import yaml

from ceiba.config import project_root
from ceiba.errors import CatalogError
from ceiba.grids import Period


@dataclass(frozen=True)
class Mission:
    """A satellite in one state: first and last day of imaging (None: still), days between passes, share of valid pixels [1]."""

    name: str
    scenes: str
    begins: date
    ends: date | None
    revisit_days: float
    valid_share: float

    def passes(self, period: Period) -> float:
        """Passes over a place within a period of whole years."""
        first = max(self.begins, date(period.first_year, 1, 1))
        last = min(self.ends or date.max, date(period.last_year, 12, 31))
        return max(0.0, ((last - first) + timedelta(days=1)).days / self.revisit_days)


@dataclass(frozen=True)
class SceneSize:
    """How the scenes of a product lie: swath, path spacing at the equator and size across and along [km], bands and bytes."""

    swath_km: float
    path_spacing_km: float
    size_km: tuple[float, float]
    reads_per_look: float
    bands: int
    resolution_m: float
    bytes_per_m2: float

    def looks_per_pass(self, latitude: float) -> float:
        """Looks at a pixel while the satellite passes each path once: more than 1, since paths overlap.

        Paths converge towards the poles with the cosine of the ``latitude`` [degrees]. For Landsat it gives the side-lap of the
        users' handbook (7.3 % at the equator, 19.7 % at 30 degrees).
        """
        return self.swath_km / (self.path_spacing_km * math.cos(math.radians(latitude)))

    def share_of_tile(self, width_km: float, height_km: float) -> float:
        """Mean share [1] of a tile that a scene which touches it covers, for a tile anywhere among the scenes."""
        across, along = self.size_km
        return across * along / ((across + width_km) * (along + height_km))


@dataclass(frozen=True)
class Missions:
    """All missions, how their scenes lie, and what of them is usable in a country."""

    missions: tuple[Mission, ...]
    scenes: Mapping[str, SceneSize]
    countries: Mapping[str, Mapping]

    def expected_looks(self, scenes: str, country: str, period: Period, latitude: float) -> float:
        """Looks at a pixel within a period, cloudy ones too, gaps of the sensor taken off; 0 for a product without missions."""
        if scenes not in self.scenes:
            return 0.0
        passes = sum(each.passes(period) * each.valid_share for each in self.missions if each.scenes == scenes)
        acquired = self.country(country)["acquired_share"].get(scenes, 1.0)
        return passes * acquired * self.scenes[scenes].looks_per_pass(latitude)

    def clear_share(self, country: str) -> float:
        """Expected share [1] of looks without cloud."""
        return self.country(country)["clear_share"]

    def country(self, name: str) -> Mapping:
        """Entry of a country, the default where it has none."""
        return self.countries.get(name, self.countries["default"])


@functools.cache
def load_missions() -> Missions:
    """The missions of ``catalogs/missions.yml``; raises :class:`CatalogError` saying what is wrong."""
    path = project_root() / "catalogs" / "missions.yml"
    return read_missions(yaml.safe_load(path.read_text("utf-8")), path.name)


def read_missions(entry: Mapping, name: str) -> Missions:
    """Check the content of a file of missions; raises :class:`CatalogError`."""
    try:
        scenes = {product: _read_size(values) for product, values in entry["scenes"].items()}
        missions = tuple(_read_mission(mission, values) for mission, values in entry["missions"].items())
        countries = {
            country: {
                "acquired_share": {key: float(value) for key, value in values["acquired_share"].items()},
                "clear_share": float(values["clear_share"]),
            }
            for country, values in entry["countries"].items()
        }
        countries["default"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CatalogError(f"{name} is malformed: {error!r}") from error
    for mission in missions:
        if mission.scenes not in scenes:
            raise CatalogError(f"{name}: mission {mission.name} has scenes {mission.scenes!r}; there are {', '.join(scenes)}")
        if mission.ends and mission.ends < mission.begins or not mission.revisit_days > 0:
            raise CatalogError(f"{name}: mission {mission.name} ends before it begins, or revisits in no days")
    shares = [mission.valid_share for mission in missions] + [values["clear_share"] for values in countries.values()]
    shares += [share for values in countries.values() for share in values["acquired_share"].values()]
    if not all(0 < share <= 1 for share in shares):
        raise CatalogError(f"{name}: shares must lie above 0 and not above 1; found {sorted(shares)}")
    return Missions(missions, scenes, countries)


def _read_mission(name: str, entry: Mapping) -> Mission:
    begins, ends = entry["begins"], entry["ends"]
    if not isinstance(begins, date) or not isinstance(ends, date | None):
        raise ValueError(f"mission {name}: begins and ends are dates such as 2013-04-11")
    return Mission(name, entry["scenes"], begins, ends, float(entry["revisit_days"]), float(entry["valid_share"]))


def _read_size(entry: Mapping) -> SceneSize:
    across, along = entry["size_km"]
    return SceneSize(
        swath_km=float(entry["swath_km"]),
        path_spacing_km=float(entry["path_spacing_km"]),
        size_km=(float(across), float(along)),
        reads_per_look=float(entry["reads_per_look"]),
        bands=int(entry["bands"]),
        resolution_m=float(entry["resolution_m"]),
        bytes_per_m2=float(entry["bytes_per_m2"]),
    )
