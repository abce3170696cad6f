"""``/api/products``: the regions, layers and years that there are, with the words, colors and addresses that a program needs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from ceiba import labels
from ceiba.react2eo.answers import describe_errors
from ceiba.react2eo.credits import credit_lines, source_line
from ceiba.react2eo.layers import Layer, Region, Snapshot
from ceiba.react2eo.maps.external import describe_external
from ceiba.react2eo.maps.tiles import native_zoom
from ceiba.react2eo.product_answers import Products

router = APIRouter(prefix="/api", tags=["products"])


# Described and not filtered by its model: that would cost more than all the rest.
@router.get(
    "/products",
    summary="Regions, layers and years",
    response_model=None,
    responses={200: {"model": Products, "description": "Regions, those with most to show first."}} | describe_errors(404),
)
def list_products(
    request: Request, theme: Annotated[str, Query(max_length=60, description="Name of a theme; the default one if empty.")] = ""
) -> dict:
    """Everything that can be shown of a theme."""
    snapshot: Snapshot = request.app.state.snapshots.current()
    chosen = snapshot.themes.find(theme)
    regions = [describe_region(region, chosen.contents) for region in snapshot.regions.values()]
    regions = [region for region in regions if region["layers"]]
    first = chosen.region if any(region["name"] == chosen.region for region in regions) else ""
    return {
        "theme": {
            "name": chosen.name, "title": chosen.title, "text": chosen.text, "color": chosen.color,
            "region": first or (regions[0]["name"] if regions else ""),
            "contents": chosen.contents,
        },
        "themes": [{"name": each.name, "title": each.title} for each in snapshot.themes.themes.values()],
        "regions": regions,
        "external": describe_external(request.app.state.external.offered(snapshot.themes)),
        "dashboards": request.app.state.dashboards,
    }  # fmt: skip


def describe_region(region: Region, contents: tuple[str, ...]) -> dict:
    """A region with those of its layers that a theme names, in the theme's order."""
    return {
        "name": region.name,
        "title": region.title,
        "bounds": region.bounds,
        "simulated": region.simulated,
        "layers": [describe_layer(region.layers[name]) for name in contents if name in region.layers],
    }


def describe_layer(layer: Layer) -> dict:
    """What a program needs to show a layer."""
    return {
        "name": layer.name,
        "title": layer.content.title,
        "short": layer.content.short,
        "text": layer.content.text,
        "kind": layer.kind,
        "product": layer.definition.name,
        "periods": [str(period) for period in layer.periods],
        "version": layer.version,
        "tiles": f"/tiles/{layer.region.name}/{layer.name}/{{period}}/{{z}}/{{x}}/{{y}}.webp?v={layer.version}",
        "resolution_m": layer.resolution_m,
        "native_zoom": native_zoom(layer),
        "legend": describe_legend(layer),
        "source": {language: source_line(layer, language) for language in labels.LANGUAGES},
        "credits": {language: list(credit_lines(layer, language)) for language in labels.LANGUAGES},
    }


def describe_legend(layer: Layer) -> dict:
    """Colors with their words: classes, or stops of a scale; a composite has none but its text."""
    if layer.kind == "composite":
        return {"kind": "composite"}
    if layer.kind == "classes":
        classes = [{"code": each.code, "es": each.name_es, "en": each.name_en, "color": each.color} for each in layer.legend.classes]
        return {"kind": "classes", "classes": classes}
    units = layer.measurements[0].units
    stops = [{"value": value, "color": color} for value, color in layer.style.stops]
    words = {"low": layer.content.low, "high": layer.content.high}
    return {"kind": "scale", "stops": stops, "units": "" if units == "1" else units, "words": words}
