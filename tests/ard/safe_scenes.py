"""SAFE folders of Sentinel-2 as ESA delivers them, of simulated scenes, for the tests."""

from pathlib import Path

import numpy as np
import rasterio

from ceiba.simulation import layout
from ceiba.simulation.baselines import FORMER_BASELINE
from ceiba.simulation.level_1c import SkyTruth, sentinel_2_l1c_scene
from ceiba.simulation.scenes import Plan, plan_scenes, sentinel_2_scene, sky_of, sun_position_deg
from ceiba.simulation.world import World

TILE = "14QNG"
PRODUCT = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-{level}_User_Product xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/User_Product_Level-{level}.xsd">
<n1:General_Info><Product_Info>
<PRODUCT_START_TIME>{time:%Y-%m-%dT%H:%M:%S}.024Z</PRODUCT_START_TIME>
<PRODUCT_URI>{name}.SAFE</PRODUCT_URI>
<PROCESSING_BASELINE>{baseline}</PROCESSING_BASELINE>
<Datatake><SPACECRAFT_NAME>Sentinel-2A</SPACECRAFT_NAME></Datatake>
</Product_Info><Product_Image_Characteristics>
<{quantity} unit="none">10000</{quantity}>
{offsets}
</Product_Image_Characteristics></n1:General_Info></n1:Level-{level}_User_Product>
"""
GRANULE = """<?xml version="1.0" encoding="UTF-8"?>
<n1:Level-1C_Tile_ID xmlns:n1="https://psd-14.sentinel2.eo.esa.int/PSD/S2_PDI_Level-1C_Tile_Metadata.xsd">
<n1:Geometric_Info><Tile_Angles>
<Sun_Angles_Grid><Zenith><COL_STEP unit="m">5000</COL_STEP></Zenith></Sun_Angles_Grid>
<Mean_Sun_Angle><ZENITH_ANGLE unit="deg">{zenith}</ZENITH_ANGLE><AZIMUTH_ANGLE unit="deg">{azimuth}</AZIMUTH_ANGLE></Mean_Sun_Angle>
</Tile_Angles></n1:Geometric_Info></n1:Level-1C_Tile_ID>
"""
QUANTITIES = {"1C": ("QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"), "2A": ("BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET")}


def plans_of(world: World, year: int) -> list[Plan]:
    """The Sentinel-2 scenes of a year."""
    return [plan for plan in plan_scenes(world.seed, "sentinel_2") if plan.time.year == year]


def write_level_2a(folder: Path, world: World, plan: Plan, *, baseline: str = FORMER_BASELINE) -> tuple[Path, dict]:
    """A SAFE folder of level 2A below ``folder``, and its numbers by pixel size [m] and Ceiba's name."""
    fine, coarse = sentinel_2_scene(world, plan, sky_of(world.seed, plan), baseline=baseline)
    images = {f"R10m/{band}_10m": fine[name] for band, name in (("B02", "blue"), ("B03", "green"), ("B04", "red"), ("B08", "nir"))}
    names = {"B03": "green_20m", "B04": "red_20m", "B8A": "nir_narrow", "B11": "swir_1", "SCL": "quality_20m"}
    images |= {f"R20m/{band}_20m": coarse[name] for band, name in names.items()}
    images["R20m/SCL_20m"] = images["R20m/SCL_20m"].astype("uint8")
    return write_safe(folder, plan, "2A", images, baseline), {10: fine, 20: coarse}


def write_level_1c(
    folder: Path, world: World, plan: Plan, *, baseline: str = FORMER_BASELINE
) -> tuple[Path, dict, SkyTruth]:
    """A SAFE folder of level 1C below ``folder``, its numbers by pixel size [m] and Ceiba's name, and its sky."""
    from ceiba.simulation.level_1c import LEVEL_1C_BANDS

    bands, truth = sentinel_2_l1c_scene(world, plan, sky_of(world.seed, plan), baseline=baseline)
    images = {own: bands[size][name] for size, names in LEVEL_1C_BANDS.items() for own, name in names.items()}
    return write_safe(folder, plan, "1C", images, baseline), bands, truth


def write_safe(folder: Path, plan: Plan, level: str, images: dict[str, np.ndarray], baseline: str) -> Path:
    """A SAFE folder: ``images`` maps the band, with its folder and pixel size where level 2A has them, to numbers."""
    number, moment = baseline.replace(".", ""), f"{plan.time:%Y%m%dT%H%M%S}"
    name = f"S2A_MSIL{level}_{moment}_N{number}_R040_T{TILE}_{moment}"
    quantity, key = QUANTITIES[level]
    offsets = "".join(f'<{key} band_id="{band}">-1000</{key}>' for band in range(13)) if baseline >= "04.00" else ""
    zenith, azimuth = sun_position_deg(plan.time.date())
    granule = folder / f"{name}.SAFE" / "GRANULE" / f"L{level}_T{TILE}_A012345_{moment}"
    granule.mkdir(parents=True)
    (folder / f"{name}.SAFE" / f"MTD_MSIL{level}.xml").write_text(
        PRODUCT.format(level=level, time=plan.time, name=name, baseline=baseline, quantity=quantity, offsets=offsets)
    )
    (granule / "MTD_TL.xml").write_text(GRANULE.format(zenith=zenith, azimuth=azimuth))
    for band, numbers in images.items():
        place, _, own = band.rpartition("/")
        size = {256: 10, 128: 20, 43: 60}[numbers.shape[0]]
        path = granule / "IMG_DATA" / place / f"T{TILE}_{moment}_{own}.jp2"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_jp2(path, numbers, layout.grid_transform(size))
    return folder / f"{name}.SAFE"


def write_jp2(path: Path, numbers: np.ndarray, transform: rasterio.Affine) -> None:
    """Numbers as JPEG 2000, every one kept."""
    with rasterio.open(
        path, "w", driver="JP2OpenJPEG", height=numbers.shape[0], width=numbers.shape[1], count=1, dtype=numbers.dtype,
        crs=layout.CRS, transform=transform, QUALITY="100", REVERSIBLE="YES", YCBCR420="NO",
    ) as file:  # fmt: skip
        file.write(numbers, 1)
    with rasterio.open(path) as file:
        np.testing.assert_array_equal(file.read(1), numbers)
