"""The commands ``ceiba legend``: list, show, styles and crosswalks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ceiba.config import project_root

LegendName = Annotated[str, typer.Argument(help="A legend of catalogs/legends, such as mexico_31.")]


def make_app(console: Console) -> typer.Typer:
    """The commands, which tell what they do on ``console``."""
    app = typer.Typer(no_args_is_help=True, help="Legends: classes, colors, crosswalks, styles for other programs.")

    @app.command("list")
    def list_legends() -> None:
        """Show the legends and the crosswalks between them and to other schemes."""
        from ceiba.crosswalks import list_crosswalks, load_crosswalk
        from ceiba.legends import load_legend

        table = Table("legend", "classes", "parents in", "proposed classes", title="catalogs/legends")
        for path in sorted((project_root() / "catalogs" / "legends").glob("*.csv")):
            legend = load_legend(path.stem)
            proposed = sum(entry.facts.get("status") == "proposal" for entry in legend.classes)
            table.add_row(legend.name, str(len(legend)), ", ".join(legend.parent_legends), str(proposed or ""))
        console.print(table)
        walks = Table("from", "to", "rows", "of these proposed", title="catalogs/crosswalks")
        for name in list_crosswalks():
            walk = load_crosswalk(*name.split("__"))
            walks.add_row(walk.source, walk.target, str(len(walk.links)), str(len(walk.proposals) or ""))
        console.print(walks)

    @app.command("show")
    def show_legend(name: LegendName) -> None:
        """Show the classes of a legend with their colors and parents."""
        from ceiba.legends import load_legend

        legend = load_legend(name)
        # What is only proposed says so wherever it is shown.
        facts = [fact for fact in ("status",) if any(entry.facts.get(fact) for entry in legend.classes)]
        table = Table("", "code", "es", "en", *legend.parent_legends, *facts, title=name)
        for entry in legend.classes:
            more = [str(entry.parents[coarser]) for coarser in legend.parent_legends] + [entry.facts.get(fact, "") for fact in facts]
            table.add_row(f"[on {entry.color}]  [/]", str(entry.code), entry.name_es, entry.name_en, *more)
        console.print(table)

    @app.command("styles")
    def write_styles(
        name: LegendName,
        to: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("."),
        language: Annotated[str, typer.Option(help="Language of the names: es or en.")] = "es",
    ) -> None:
        """Write a legend for QGIS (.qml, .txt), map servers (.sld, .ows.yml) and GDAL (.clr)."""
        from ceiba import legend_styles
        from ceiba.legends import load_legend

        for path in legend_styles.write_styles(load_legend(name), to, language=language):
            console.print(str(path), soft_wrap=True)

    @app.command("crosswalk")
    def show_crosswalk(
        source: Annotated[str, typer.Argument(help="Legend or scheme to start from.")],
        target: Annotated[str, typer.Argument(help="Legend or scheme to go to.")],
    ) -> None:
        """Show which class stands for which, how well, and what is only Ceiba's proposal."""
        from ceiba.crosswalks import load_crosswalk, scheme_codes

        walk = load_crosswalk(source, target)
        names = [scheme_codes(scheme) or {} for scheme in (source, target)]
        table = Table("from", "", "relation", "to", "", "status", "note", title=f"{source} -> {target}")
        for link in walk.links:
            before, after = (known.get(code, ("", ""))[1] for known, code in zip(names, (link.from_code, link.to_code), strict=True))
            table.add_row(link.from_code, before, link.relation, link.to_code, after, link.status, link.note)
        console.print(table)

    return app
