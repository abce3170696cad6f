"""Recordings of the simulated area: sites, nights, what is heard in each file, and the files."""

import dataclasses
import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from pyproj import Transformer
from scipy import signal

from ceiba.simulation.bat_passes import Call, bat_species, plan_pass, synthesize_call
from ceiba.simulation.files import write_table
from ceiba.simulation.integrity import draw_states, known_network, node_rows
from ceiba.simulation.layout import CELL_M, CRS, TILE_M, UTC_OFFSET_H, YEARS, pixel_centers, random_stream
from ceiba.simulation.sounds import MAKERS
from ceiba.simulation.world import World

SITES_PER_TILE = 4
NIGHTS = (datetime.date(YEARS[-1], 3, 14), datetime.date(YEARS[-1], 3, 15))
ULTRASONIC_HZ, ULTRASONIC_S = 256_000, 2.0
AUDIBLE_HZ, AUDIBLE_S = 22_050, 10.0
# Root mean square of the recorders' own noise, in steps of the 16-bit file.
ULTRASONIC_NOISE, AUDIBLE_NOISE = 4.0, 12.0
BUSH_CRICKET_PEAK = 5.0
# Calls of a night, and seconds of human sound of a night, by state: well inside the bins of the network.
CALLS = {"none": (0, 0), "few": (5, 12), "many": (24, 44)}
HUMAN_SOUND_S = {"none": (0.0, 0.0), "some": (1.5, 4.5), "much": (9.0, 15.0)}
HUMAN_CLASSES = ("gunshot", "chainsaw", "engine")
GUNSHOT_S = 0.7


@dataclass(frozen=True)
class Site:
    """A place with recorders; states of the nodes of the network at its cell, those of the two sounds drawn
    from it.
    """

    name: str
    x: float
    y: float
    longitude: float
    latitude: float
    road_distance_m: float
    states: dict[str, str]


@dataclass(frozen=True)
class Sound:
    """One sound of a file; ``snr_db`` is its peak over the recorder's noise [dB]."""

    start_time_s: float
    end_time_s: float
    sound_class: str
    snr_db: float


def choose_sites(world: World) -> list[Site]:
    """Four sites a tile over the range of conditions, on land, with bat activity and human sound drawn from
    the network.

    One cell is chosen from each quarter of the tile's land cells in order of condition. The sounds belong to
    the site, not to the night: both nights of a site are in the same state.
    """
    random = random_stream(world.seed, "sites")
    network, year = known_network(), YEARS[-1]
    states = world.condition[year].states
    to_degrees = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
    cells = round(TILE_M / CELL_M)
    water = network.nodes["land_cover"].states.index("water")
    sites = []
    for tile in range(states["condition"].shape[1] // cells):
        rows, columns = np.nonzero(states["land_cover"][2:-2, tile * cells + 2 : (tile + 1) * cells - 2] != water)
        rows, columns = rows + 2, columns + tile * cells + 2
        order = random.permutation(rows.size)
        order = order[np.argsort(states["condition"][rows[order], columns[order]], kind="stable")]
        for quarter in range(SITES_PER_TILE):
            pick = order[int((quarter + random.uniform(0.2, 0.8)) / SITES_PER_TILE * order.size)]
            row, column = rows[pick], columns[pick]
            x, y = pixel_centers(row, column, CELL_M)
            longitude, latitude = to_degrees.transform(x, y)
            here = {node: values[row, column] for node, values in states.items()}
            for node in ("bat_activity", "human_sound"):
                here[node], _ = draw_states(node_rows(network, node, here), np.array(random.random()))
            sites.append(
                Site(
                    name=f"sim{len(sites) + 1:02d}",
                    x=float(x),
                    y=float(y),
                    longitude=longitude,
                    latitude=latitude,
                    road_distance_m=float(world.terrain.road_distance_m[row * 8 + 4, column * 8 + 4]),
                    states={node: network.nodes[node].states[int(state)] for node, state in here.items()},
                )
            )
    return sites


def plan_calls(random: np.random.Generator, activity: str, zone: str) -> list[list[Call]]:
    """Bat calls of a night, a list for each of its two files: whole passes of species of the life zone, apart
    in time.
    """
    files: list[list[Call]] = [[], []]
    wanted = int(random.integers(CALLS[activity][0], CALLS[activity][1] + 1))
    species = [name for name, row in bat_species().iterrows() if zone in row["zones"].split()]
    free_s = [0.05 + 0.2 * random.random(), 0.05 + 0.2 * random.random()]
    for attempt in range(40):
        missing = wanted - sum(map(len, files))
        if missing <= 0:
            break
        name, number = str(random.choice(species)), attempt % 2
        room = int((ULTRASONIC_S - 0.05 - free_s[number]) / (1.15 * bat_species().loc[name, "interval_s"]))
        calls = min(missing, room, int(random.integers(5, 14)))
        if calls < min(3, missing):
            continue
        planned = plan_pass(random, name, start_s=free_s[number], calls=calls, best_snr_db=random.uniform(20, 36))
        files[number] += planned
        free_s[number] = planned[-1].end_time_s + random.uniform(0.05, 0.15)
    return files


def plan_human_sounds(random: np.random.Generator, state: str, road_distance_m: float) -> list[list[Sound]]:
    """Human sounds of a night, a list for each of its two files; engines are the likelier the nearer a road
    is [m].
    """
    files: list[list[Sound]] = [[], []]
    wanted_s = random.uniform(*HUMAN_SOUND_S[state])
    engines = 0.15 + 0.7 * np.exp(-road_distance_m / 250)
    free_s = [random.uniform(0.2, 0.8), random.uniform(0.2, 0.8)]
    number = int(random.integers(0, 2))
    while wanted_s > 0.3 and min(free_s) < AUDIBLE_S - 1:
        number = number if free_s[number] < AUDIBLE_S - 1 else 1 - number
        weights = np.array([(1 - engines) * 0.4, (1 - engines) * 0.6, engines])
        kind = str(random.choice(HUMAN_CLASSES, p=weights))
        length_s = (
            GUNSHOT_S if kind == "gunshot" else min(random.uniform(2, 6), wanted_s, AUDIBLE_S - 0.2 - free_s[number])
        )
        end_s = free_s[number] + length_s
        files[number].append(Sound(free_s[number], end_s, kind, random.uniform(18, 32)))
        wanted_s -= length_s
        free_s[number] = end_s + random.uniform(0.2, 0.8)
        number = 1 - number
    return files


def render_ultrasonic(random: np.random.Generator, calls: Sequence[Call], *, bush_cricket: bool) -> np.ndarray:
    """Samples of an ultrasonic file, int16, dim ``(time,)``: noise, rumble of wind, calls, and bush-crickets
    near 20 kHz.
    """
    count = round(ULTRASONIC_S * ULTRASONIC_HZ)
    samples = ULTRASONIC_NOISE * random.standard_normal(count, dtype=np.float32)
    rumble = random.standard_normal(count // 64 + 2, dtype=np.float32)
    samples += 10 * np.interp(np.arange(count) / 64, np.arange(rumble.size), rumble).astype(np.float32)
    if bush_cricket:
        # Stridulation is a burst of noise in a band some kilohertz wide, not a tone.
        center_hz = random.uniform(18e3, 23e3)
        band = signal.butter(2, (center_hz - 3500, center_hz + 3500), btype="bandpass", fs=ULTRASONIC_HZ, output="sos")
        song = signal.sosfilt(band, random.standard_normal(count, dtype=np.float32))
        pulses = np.clip(np.sin(2 * np.pi * random.uniform(25, 45) * np.arange(count) / ULTRASONIC_HZ), 0, 1) ** 4
        samples += (BUSH_CRICKET_PEAK * ULTRASONIC_NOISE * song * pulses / np.abs(song * pulses).max()).astype(
            np.float32
        )
    for call in calls:
        sound = synthesize_call(call, sampling_rate_hz=ULTRASONIC_HZ, noise_rms=ULTRASONIC_NOISE)
        first = round(call.start_time_s * ULTRASONIC_HZ)
        samples[first : first + sound.size] += sound[: count - first]
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def render_audible(random: np.random.Generator, sounds: Sequence[Sound]) -> np.ndarray:
    """Samples of an audible file, int16, dim ``(time,)``: noise, wind, and the sounds at their times."""
    count = round(AUDIBLE_S * AUDIBLE_HZ)
    samples = AUDIBLE_NOISE * (random.standard_normal(count) + 3 * MAKERS["wind"](random, AUDIBLE_S, AUDIBLE_HZ))
    for sound in sounds:
        made = MAKERS[sound.sound_class](random, sound.end_time_s - sound.start_time_s, AUDIBLE_HZ)
        if sound.sound_class != "gunshot":
            ramp = round(0.05 * AUDIBLE_HZ)
            made[:ramp] *= np.linspace(0, 1, ramp)
            made[-ramp:] *= np.linspace(1, 0, ramp)
        first = round(sound.start_time_s * AUDIBLE_HZ)
        made = made[: count - first]
        samples[first : first + made.size] += made * AUDIBLE_NOISE * 10 ** (sound.snr_db / 20)
    return np.clip(np.round(samples), -32768, 32767).astype(np.int16)


def write_recordings(folder: Path, world: World) -> None:
    """Write ``recordings/*.flac`` with their table ``recordings.csv``, and the truth about sites, calls and
    sounds below ``folder``.
    """
    (folder / "recordings").mkdir(parents=True, exist_ok=True)
    sites = choose_sites(world)
    files, calls, sounds = [], [], []
    for site in sites:
        for night in NIGHTS:
            random = random_stream(world.seed, f"night {site.name} {night}")
            bats = plan_calls(random, site.states["bat_activity"], site.states["life_zone"])
            people = plan_human_sounds(random, site.states["human_sound"], site.road_distance_m)
            wet, crickets = random.random() < 0.2, random.random() < 0.5
            for number in range(2):
                start = datetime.datetime.combine(night, datetime.time(19, 20)) + datetime.timedelta(
                    minutes=95 * number
                )
                bush_cricket = crickets and number == 0
                samples = render_ultrasonic(random, bats[number], bush_cricket=bush_cricket)
                file = _write_sound(folder, site, start, samples, ULTRASONIC_HZ, files)
                calls += [{"file": file, **dataclasses.asdict(call)} for call in bats[number]]
                if bush_cricket:
                    sounds.append(
                        {
                            "file": file,
                            **dataclasses.asdict(Sound(0.0, ULTRASONIC_S, "insects", 20 * np.log10(BUSH_CRICKET_PEAK))),
                        }
                    )

                heard = list(people[number])
                heard += [Sound(0.0, AUDIBLE_S, "rain", random.uniform(14, 20))] if wet else []
                heard += [Sound(0.0, AUDIBLE_S, "insects", random.uniform(6, 16))] if crickets else []
                samples = render_audible(random, heard)
                file = _write_sound(folder, site, start + datetime.timedelta(minutes=5), samples, AUDIBLE_HZ, files)
                # Nobody speaks on these recordings; the row says so of the whole file.
                heard.append(Sound(0.0, AUDIBLE_S, "speech-free", float("nan")))
                sounds += [{"file": file, **dataclasses.asdict(sound)} for sound in heard]
    write_table(folder / "recordings" / "recordings.csv", pd.DataFrame(files))
    write_table(folder / "truth" / "calls.csv", _rounded(calls, Call))
    write_table(folder / "truth" / "sounds.csv", _rounded(sounds, Sound))
    rows = [
        {
            "site": site.name,
            "longitude": round(site.longitude, 6),
            "latitude": round(site.latitude, 6),
            "x": site.x,
            "y": site.y,
            "road_distance_m": round(site.road_distance_m),
            **site.states,
        }
        for site in sites
    ]
    write_table(folder / "truth" / "sites.csv", pd.DataFrame(rows))


def _write_sound(
    folder: Path,
    site: Site,
    start: datetime.datetime,
    samples: np.ndarray,
    sampling_rate_hz: int,
    files: list[dict],
) -> str:
    file = f"{site.name}_{start:%Y%m%d_%H%M%S}.flac"
    soundfile.write(folder / "recordings" / file, samples, sampling_rate_hz, subtype="PCM_16")
    files.append(
        {
            "file": file,
            "site": site.name,
            "longitude": round(site.longitude, 6),
            "latitude": round(site.latitude, 6),
            "recorded_at": start.isoformat(),
            "sampling_rate_hz": sampling_rate_hz,
            "utc_offset_h": UTC_OFFSET_H,
        }
    )
    return file


def _rounded(rows: list[dict], kind: type) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["file", *(field.name for field in dataclasses.fields(kind))])
    places = {name: 6 if name.endswith("_s") else 1 for name in table if name.endswith(("_s", "_hz", "_db"))}
    return table.round(places)
