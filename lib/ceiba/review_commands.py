"""The commands ``ceiba review``: list, accept, reject and report."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ceiba.errors import ReviewError
from ceiba.grids import Period

Product = Annotated[str, typer.Argument(help="Product, such as geomedian_10m.")]
AreaName = Annotated[str, typer.Option("--area", help="Area of catalogs/grids.yml or your own.")]
Tiles = Annotated[str, typer.Option("--tiles", help="Tile names with commas; all tiles if none.")]
Years = Annotated[str, typer.Option("--years", help="One year (2018) or a range (2016:2020); all years if none.")]
Reviewer = Annotated[str, typer.Option("--by", help="Name of the reviewer.")]
Reason = Annotated[str, typer.Option("--reason", help="Why.")]
Specification = Annotated[
    str, typer.Option("--specification", help="Of catalogs/specifications.yml; the first for the product if none.")
]


def make_app(console: Console) -> typer.Typer:
    """The commands, which tell what they do on ``console``."""
    app = typer.Typer(no_args_is_help=True, help="Reviews: sets of products are drafts until an expert accepts or rejects them.")

    @app.command("list")
    def list_reviews(area: AreaName = "simulated") -> None:
        """Show the reviews of an area, and how many products of each kind are draft, accepted or rejected."""
        from ceiba import cube as index
        from ceiba import review
        from ceiba.products import load_definitions

        reviews = review.list_reviews(area)
        table = Table("date", "verdict", "product", "tiles", "years", "products", "by", "reason", "held against", title=area)
        for each in reviews:
            where = ", ".join(each.tiles) if len(each.tiles) < 4 else f"{len(each.tiles)} tiles"
            table.add_row(
                each.date[:10], each.verdict, f"{each.product} {each.version}", where, each.period,
                str(len(each.datasets)), each.reviewer, each.reason, each.specification,
            )  # fmt: skip
        console.print(table)
        latest = review.latest_reviews(reviews)
        counts = Table("product", review.DRAFT, *review.VERDICTS, title="products now")
        for definition in load_definitions().values():
            if definition.per in ("scene", "review"):
                continue
            found = index.find_datasets(index.connect(), definition.name)
            states = [
                review.state_of(dataset.id, latest)
                for dataset in found
                if dataset.metadata_doc["properties"].get("ceiba:area") == area
            ]
            if states:
                names = (review.DRAFT, *review.VERDICTS)
                counts.add_row(definition.name, *(str(states.count(name) or "") for name in names))
        console.print(counts)

    @app.command(
        epilog='Example: `ceiba review accept geomedian_10m --area mexico --years 2018 --by "A. Pérez" --reason "meets all"`'
    )
    def accept(
        product: Product,
        by: Reviewer,
        reason: Reason,
        area: AreaName = "simulated",
        tiles: Tiles = "",
        years: Years = "",
        specification: Specification = "",
        anyway: Annotated[bool, typer.Option("--anyway", help="Accept although a criterion is not met.")] = False,
    ) -> None:
        """Accept a set of products; what a program can check of the specification is checked first."""
        judge("accepted", product, by, reason, area, tiles, years, specification, anyway=anyway)

    @app.command(
        epilog='Example: `ceiba review reject geomedian_10m --area mexico --tiles x012y008 --years 2018 --by "A. Pérez" --reason "a seam"`'
    )
    def reject(
        product: Product,
        by: Reviewer,
        reason: Reason,
        area: AreaName = "simulated",
        tiles: Tiles = "",
        years: Years = "",
        specification: Specification = "",
    ) -> None:
        """Reject a set of products: its units are made again by the next run, under new ids, and the plan says why."""
        judge("rejected", product, by, reason, area, tiles, years, specification, anyway=True)

    @app.command(epilog="Example: `ceiba review report geomedian_10m --area simulated --to review.html`")
    def report(
        product: Product,
        area: AreaName = "simulated",
        tiles: Tiles = "",
        years: Years = "",
        specification: Specification = "",
        to: Annotated[Path, typer.Option(help="File of the page.")] = Path("review.html"),
    ) -> None:
        """Write the validation report of a set: criteria, pictures, every product and its history."""
        from ceiba.review import find_set
        from ceiba.review_report import write_review_report
        from ceiba.specifications import check_set, find_specification

        found = find_set(product, area, tiles=words(tiles), period=period(years))
        held = find_specification(specification, product)
        console.print(f"Report: {write_review_report(to, found, held, check_set(found, held))}", soft_wrap=True)

    def judge(verdict, product, by, reason, area, tiles, years, specification, *, anyway) -> None:
        from ceiba.review import find_set, write_review
        from ceiba.specifications import check_set, find_specification

        found = find_set(product, area, tiles=words(tiles), period=period(years))
        held = find_specification(specification, product)
        findings = check_set(found, held)
        console.print(finding_table(str(found), findings))
        unmet = [finding.criterion.name for finding in findings if finding.passed is False]
        if unmet and not anyway:
            raise ReviewError(
                f"{found} does not meet {', '.join(unmet)} of specification {held.name}; reject it, or accept it with --anyway"
            )
        written = write_review(
            found, verdict, reviewer=by, reason=reason, specification=held.name,
            findings=[finding.record() for finding in findings],
        )  # fmt: skip
        console.print(f"{verdict}: {len(written.datasets)} products of {found}, review {written.id}", soft_wrap=True)

    return app


def finding_table(title: str, findings) -> Table:
    """How a set meets each criterion."""
    table = Table("criterion", "asked", "found", "verdict", "not met by", title=title)
    for finding in findings:
        verdict = {None: "open", True: "met", False: "[red]not met[/red]"}[finding.passed]
        value = "" if finding.value is None else f"{finding.value:.4g}"
        limit = "" if finding.passed is None else f"{finding.criterion.limit:g}"
        table.add_row(finding.criterion.title["en"], limit, value, verdict, "; ".join(finding.failing))
    return table


def words(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def period(years: str) -> Period | None:
    """The years, None where empty."""
    return Period.parse(years) if years else None
