"""What ``/api/slices`` takes and answers."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
Position = Annotated[list[Number], Field(min_length=2, max_length=3)]
Ring = Annotated[list[Position], Field(min_length=4)]


class Words(BaseModel):
    """A text in Spanish and English."""

    es: str
    en: str


class PointValue(BaseModel):
    """A measurement at a point."""

    measurement: str
    value: float | None = Field(description="None where there is no data.")
    class_name: Words | None = Field(None, description="Name of the class, for classes alone.")


class PointPeriod(BaseModel):
    """All measurements of a period at a point."""

    period: str
    values: list[PointValue]


class MeasurementFacts(BaseModel):
    """What a measurement is."""

    measurement: str
    title: Words
    units: str = Field(description="UDUNITS; 1 for none, class for codes of classes.")


class Series(BaseModel):
    """A layer's product in time at a point."""

    region: str
    layer: str
    product: str
    lon: float
    lat: float
    source: Words
    measurements: list[MeasurementFacts]
    series: list[PointPeriod]


class PolygonGeometry(BaseModel):
    """GeoJSON polygon (RFC 7946), longitude and latitude."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["Polygon"]
    coordinates: Annotated[
        list[Ring], Field(min_length=1, examples=[[[[22.146, 45.2], [22.15, 45.2], [22.15, 45.204], [22.146, 45.2]]]])
    ]


class MultiPolygonGeometry(BaseModel):
    """GeoJSON polygons (RFC 7946), longitude and latitude."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["MultiPolygon"]
    coordinates: Annotated[list[Annotated[list[Ring], Field(min_length=1)]], Field(min_length=1)]


class StatisticsRequest(BaseModel):
    """What to summarize."""

    model_config = ConfigDict(extra="forbid")

    region: str = Field(max_length=60, examples=["romania"])
    layer: str = Field(max_length=60, examples=["ndvi"])
    first: str = Field("", max_length=12, description="First period, the first there is where empty.", examples=["2016"])
    last: str = Field("", max_length=12, description="Last period, the last there is where empty.", examples=["2020"])
    polygon: Annotated[PolygonGeometry | MultiPolygonGeometry, Field(discriminator="type")]


class ValueStatistics(BaseModel):
    """Statistics of a measurement over the pixels in a polygon, each counted alike; None where there is no data."""

    measurement: str
    mean: float | None
    standard_deviation: float | None = Field(description="Of all pixels, not of a sample.")
    min: float | None
    max: float | None
    p10: float | None
    p50: float | None
    p90: float | None


class ClassArea(BaseModel):
    """A class in a polygon."""

    code: int
    class_name: Words
    color: str
    area_ha: float = Field(description="True area on the ground [ha].")
    share: float = Field(description="Of the area with data.")


class PeriodStatistics(BaseModel):
    """A period in a polygon."""

    period: str
    pixels: int = Field(description="Pixels whose middle lies in the polygon.")
    valid_pixels: int = Field(description="Those with data.")
    valid_share: float = Field(description="Share of the polygon's area that has data, 0 to 1.")
    valid_area_ha: float = Field(description="True area of the pixels with data [ha].")
    values: list[ValueStatistics]
    classes: list[ClassArea]


class Statistics(BaseModel):
    """A layer in a polygon, period by period."""

    region: str
    layer: str
    source: Words
    polygon_area_ha: float = Field(description="Area of the polygon on the ellipsoid WGS 84 [ha].")
    areas: str = Field(
        "each pixel with its own true area on the ellipsoid WGS 84, not that of its CRS", description="How areas are found."
    )
    periods: list[PeriodStatistics]
