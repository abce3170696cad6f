"""The commands ``ceiba reactions``: status, publish, export and remove."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ceiba.errors import InputError

Region = Annotated[str, typer.Option("--region", help="Name of a region; all if none.")]
Layer = Annotated[str, typer.Option("--layer", help="Name of a layer; all if none.")]


def make_app(console: Console) -> typer.Typer:
    """The commands, which tell what they do on ``console``."""
    app = typer.Typer(no_args_is_help=True, help="Reactions of people: what is published of them.")

    @app.command()
    def status(region: Region = "", layer: Layer = "") -> None:
        """Show published figures by term, region and layer; never more than everybody can see."""
        from ceiba.react2eo.reactions import published

        votes = open_votes()
        units = published.read_units(votes.engine, region=region, layer=layer)
        table = Table("term", "region", "layer", "likes", "dislikes", "devices", "share", "95 %", "last change")
        for names, figures in published.sum_by(units, "term", "region", "layer").items():
            row = figures.describe()
            low, high = row["interval"]
            table.add_row(
                *names, f"{row['likes']}", f"{row['dislikes']}", f"{row['devices']}", f"{row['share']:.0%}", f"{low:.0%} to {high:.0%}",
                row["published"],
            )  # fmt: skip
        console.print(table)
        console.print(f"Database: {votes.engine.url.render_as_string(hide_password=True)}", soft_wrap=True)
        votes.close()

    @app.command()
    def publish(
        roll_up: Annotated[
            bool, typer.Option("--roll-up", help="Also join what is too little in its cell, as happens once a day.")
        ] = False,
    ) -> None:
        """Publish now what may be published, without waiting for the server's next hour."""
        from ceiba.react2eo.reactions import publication

        votes = open_votes()
        changed = publication.publish(votes.engine, length=votes.keys.length, roll_up=True if roll_up else None)
        console.print("Another process is publishing just now." if changed is None else f"{changed} units changed.")
        votes.close()

    @app.command(epilog="Example: `ceiba reactions export reactions.csv --region romania`")
    def export(
        to: Annotated[Path, typer.Argument(help="File to write: .csv or .geojson.")],
        region: Region = "",
        layer: Layer = "",
    ) -> None:
        """Write the published figures of all cells into a file."""
        from ceiba.react2eo.layers import take_snapshot
        from ceiba.react2eo.reactions import cell_files, published

        if to.suffix not in {".csv", ".geojson"}:
            raise InputError(f"{to.name}: the file's name must end in .csv or .geojson")
        votes = open_votes()
        rows = cell_files.make_rows(published.read_units(votes.engine, region=region, layer=layer))
        if to.suffix == ".csv":
            to.write_text(cell_files.write_csv(rows), "utf-8", newline="")
        else:
            bounds = {name: each.bounds for name, each in take_snapshot().regions.items()}
            to.write_text(json.dumps(cell_files.write_geojson(rows, bounds)), "utf-8")
        console.print(f"{to}: {len(rows)} units", soft_wrap=True)
        votes.close()

    @app.command()
    def remove(
        region: Annotated[str, typer.Argument(help="Name of the region.")],
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    ) -> None:
        """Delete everything about a region: votes, published figures, log of animations. It cannot be undone."""
        from ceiba.react2eo.reactions import publication

        if not yes:
            typer.confirm(f"Delete all reactions and published figures of {region}?", abort=True)
        votes = open_votes()
        removed = publication.remove_region(votes.engine, region)
        console.print("Deleted: " + ", ".join(f"{count} {table}" for table, count in removed.items()))
        votes.close()

    return app


def open_votes():
    """The votes of this deployment."""
    from ceiba.react2eo.reactions.votes import Votes
    from ceiba.react2eo.settings import Settings

    settings = Settings.from_environment()
    return Votes(settings.reactions_url, term=settings.reactions_term)
