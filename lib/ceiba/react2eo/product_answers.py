"""What ``/api/products`` answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class Texts(BaseModel):
    """A text in Spanish and English."""

    es: str
    en: str


class CompositeLegend(BaseModel):
    """Three bands as red, green and blue: the layer's text explains them."""

    kind: Literal["composite"]


class ClassColor(BaseModel):
    """A class of a map."""

    code: int
    es: str
    en: str
    color: str = Field(description="#rrggbb")


class ClassLegend(BaseModel):
    """Classes of a map."""

    kind: Literal["classes"]
    classes: list[ClassColor]


class ColorStop(BaseModel):
    """A value of a scale and its color; between two of them colors are linear."""

    value: float
    color: str = Field(description="#rrggbb")


class ScaleWords(BaseModel):
    """What the ends of a scale mean."""

    low: Texts | None
    high: Texts | None


class ScaleLegend(BaseModel):
    """Stops of a scale."""

    kind: Literal["scale"]
    stops: list[ColorStop]
    units: str = Field(description="UDUNITS, empty for none.")
    words: ScaleWords


class LayerCredits(BaseModel):
    """Who is to be named, by language."""

    es: list[str]
    en: list[str]


class LayerAnswer(BaseModel):
    """A content of a region."""

    name: str
    title: Texts
    short: Texts
    text: Texts
    kind: Literal["composite", "classes", "scale"]
    product: str
    periods: list[str] = Field(description='Oldest first, "2018" or "2018--2020".')
    version: str = Field(description="Where it is the same, so are all tiles.")
    tiles: str = Field(description="Address of tiles (XYZ, Web Mercator) with {period}, {z}, {x}, {y}.")
    resolution_m: float = Field(description="Pixel size of the files [units of their CRS].")
    native_zoom: int = Field(description="Zoom from which on tiles show every pixel.")
    legend: Annotated[CompositeLegend | ClassLegend | ScaleLegend, Field(discriminator="kind")]
    source: Texts
    credits: LayerCredits


class RegionAnswer(BaseModel):
    """A place with layers."""

    name: str
    title: Texts
    bounds: tuple[float, float, float, float] = Field(description="West, south, east, north [degrees, WGS 84].")
    simulated: bool = Field(description="Whether nothing in it is real.")
    layers: list[LayerAnswer]


class ThemeName(BaseModel):
    """A theme that there is."""

    name: str
    title: Texts


class ThemeAnswer(ThemeName):
    """The theme that was chosen."""

    text: Texts
    color: str = Field(description="#rrggbb")
    region: str = Field(description="The region to open first, empty where there is none.")
    contents: list[str]


class ExternalAnswer(BaseModel):
    """A layer of another server that can be shown beside ours."""

    name: str
    title: Texts
    tiles: str = Field(description="Address of tiles (XYZ, Web Mercator) with {z}, {x}, {y}.")
    attribution: str
    terms: str
    zooms: tuple[int, int]
    bounds: tuple[float, float, float, float]


class Products(BaseModel):
    """Everything that can be shown of a theme."""

    theme: ThemeAnswer
    themes: list[ThemeName]
    regions: list[RegionAnswer]
    external: list[ExternalAnswer]
    dashboards: bool = Field(description="Whether the dashboards for analysts are served below /dashboards, too.")
