"""The validation report of a set of products: one page in Spanish and English, whole in itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import matplotlib.figure
import numpy as np
import rasterio
from markupsafe import Markup

from ceiba import provenance
from ceiba.errors import StoreError
from ceiba.grids import Period
from ceiba.report import TEMPLATES, both, note_name, number, words
from ceiba.review import DRAFT, ProductSet, Review, latest_reviews, list_reviews, state_of
from ceiba.sources import dataset_period
from ceiba.specifications import Finding, Specification, tile_of

PICTURE_PX = 320
MOST_PICTURES = 12
COLORS = ("red", "green", "blue")


def write_review_report(
    path: Path, products: ProductSet, specification: Specification, findings: Sequence[Finding]
) -> Path:
    """Write the page of a set: its state, the criteria as they are now, pictures, every product and the history of reviews.

    Raises :class:`StoreError` where it cannot be written.
    """
    of_set = [review for review in list_reviews(products.area.name) if is_about(review, products)]
    latest = latest_reviews(of_set)
    states = {dataset.id: state_of(dataset.id, latest) for dataset in products.datasets}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    environment.filters |= {"both": both, "number": number, "note_name": note_name, "met": findings_of}
    environment.globals |= {"w": words}
    page = environment.get_template("review.html").render(
        products=products,
        title=products.definition.title,
        place=products.place.title,
        specification=specification,
        findings=findings,
        state=state_of_set(list(states.values())),
        rows=[describe(dataset, states[dataset.id]) for dataset in products.datasets],
        pictures=[
            (f"{tile_of(dataset)} {dataset_period(dataset)}", picture)
            for dataset in choose_pictures(products.datasets)
            if (picture := draw(dataset))
        ],
        reviews=of_set[::-1],
        moment=datetime.now(UTC),
        code=provenance.code_state(),
        style=Markup((TEMPLATES / "report.css").read_text("utf-8")),  # noqa: S704 - a file of ours
        script=Markup((TEMPLATES / "report.js").read_text("utf-8")),  # noqa: S704 - a file of ours
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, "utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}") from error
    return path


def is_about(review: Review, products: ProductSet) -> bool:
    """Whether a review speaks of the tiles and years of a set: of its products, or of those that were rejected and made again."""
    years = Period.parse(review.period)
    return (
        (review.product, review.version) == (products.definition.name, products.definition.version)
        and not set(review.tiles).isdisjoint(products.tiles)
        and years.first_year <= products.period.last_year
        and products.period.first_year <= years.last_year
    )


def state_of_set(states: Sequence[str]) -> str:
    """The state that all products share; "draft" where they differ, since the set as a whole is not decided."""
    return states[0] if len(set(states)) == 1 else DRAFT


def describe(dataset, state: str) -> Mapping[str, object]:
    """A product as a row of the page."""
    properties = dataset.metadata_doc["properties"]
    widened = properties.get("ceiba:input_period") or {}
    return {
        "tile": tile_of(dataset),
        "period": str(dataset_period(dataset)),
        "input_years": ", ".join(dict.fromkeys(widened.values())),
        "state": state,
        "notes": {
            name: value
            for name, value in properties.get("ceiba:notes", {}).items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        },
        "id": str(dataset.id),
    }


def choose_pictures(datasets: Sequence) -> Sequence:
    """Products to show, spread over the set."""
    if len(datasets) <= MOST_PICTURES:
        return datasets
    return [datasets[at] for at in np.linspace(0, len(datasets) - 1, MOST_PICTURES).round().astype(int)]


def draw(dataset) -> str:
    """A small PNG of a product as base64: natural color where it has the bands, else its first band; "" for tables."""
    names = list(dataset.measurements)
    if not names:
        return ""
    chosen = list(COLORS) if set(COLORS) <= set(names) else names[:1]
    folder = dataset.uri.rsplit("/", 1)[0]
    bands = []
    for name in chosen:
        with rasterio.open(f"{folder}/{dataset.measurements[name]['path']}") as file:
            scale = max(1.0, max(file.shape) / PICTURE_PX)
            shape = tuple(max(1, round(side / scale)) for side in file.shape)
            bands.append(file.read(1, out_shape=shape, masked=True).astype("float64").filled(np.nan))
    image = np.stack(bands, axis=-1)
    if not np.isfinite(image).any():
        return ""
    low, high = np.nanpercentile(image, [2, 98])
    stretched = np.clip((image - low) / (high - low or 1.0), 0, 1)
    # No data is light gray, as in the notebooks: it must not pass for water or shadow.
    stretched = np.where(np.isfinite(image), stretched, 0.83)
    figure = matplotlib.figure.Figure(figsize=(image.shape[1] / 100, image.shape[0] / 100), dpi=100)
    figure.figimage(stretched if len(chosen) == 3 else stretched[..., 0], cmap="viridis", origin="upper")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def findings_of(review: Review) -> str:
    """How the criteria stood when a review was made, "5/6" of those that a program checked."""
    checked = [finding for finding in review.findings if finding["passed"] is not None]
    return f"{sum(bool(finding['passed']) for finding in checked)}/{len(checked)}"
