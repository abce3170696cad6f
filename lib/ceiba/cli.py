"""The command ``ceiba``: plan, run and look at the work of every stage."""

import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from ceiba.classification.samples.label_commands import add_command as add_label_command
from ceiba.config import Config, project_root
from ceiba.errors import CeibaError, ParameterError
from ceiba.legend_commands import make_app as make_legend_app
from ceiba.react2eo.reactions.commands import make_app as make_reactions_app
from ceiba.review_commands import make_app as make_review_app

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False
)
area_app = typer.Typer(no_args_is_help=True, help="Areas: your own place and those that ship.")
app.add_typer(area_app, name="area")
# Where no terminal tells its width (logs, CI) tables need more than 80 columns.
console = Console(width=None if sys.stdout.isatty() else 170)
app.add_typer(make_review_app(console), name="review")
app.add_typer(make_legend_app(console), name="legend")
reactions_app = make_reactions_app(console)
app.add_typer(reactions_app, name="reactions")
add_label_command(app, console)
errors = Console(stderr=True)
log = logging.getLogger("ceiba")

MAIN_AREAS = ["sample", "simulated"]

Targets = Annotated[
    list[str] | None, typer.Argument(help="Stages (mosaics) or notebooks (02_mosaics/01_make_geomedian); all if none.")
]
Areas = Annotated[
    list[str] | None,
    typer.Option("--area", help="Area of catalogs/grids.yml or your own; sample and simulated if none."),
]
Tiles = Annotated[str, typer.Option("--tiles", help="Tile names with commas; all tiles if none.")]
Years = Annotated[
    str, typer.Option("--years", help="One year (2018) or a range (2016:2020); all years of the place if none.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="A notebook parameter, name=value; may be given several times.")
]


@app.callback()
def configure(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell every step on the console.")] = False,
) -> None:
    """Ceiba: from satellite scenes and field recordings to ecosystem integrity."""
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        force=True,
        handlers=[
            RichHandler(
                level=logging.INFO if verbose else logging.ERROR, console=errors, show_path=False, rich_tracebacks=False
            )
        ],
    )
    for name in ("distributed", "papermill", "botocore", "traitlets", "blib2to3"):
        logging.getLogger(name).setLevel(logging.ERROR)


@app.command(
    epilog="Examples: `ceiba run` · `ceiba run mosaics --area mexico --tiles x012y008 --years 2016:2020 --jobs 8` · "
    "`ceiba run 04_change/01_map_land_change --set first_year=2018`"
)
def run(
    targets: Targets = None,
    area: Areas = None,
    tiles: Tiles = "",
    years: Years = "",
    set_: Settings = None,
    jobs: Annotated[int, typer.Option(help="Units at a time; all cores if 0.")] = 0,
    cluster: Annotated[str, typer.Option(help="local or gateway (Dask Gateway).")] = "local",
    report: Annotated[bool, typer.Option(help="Write the report page.")] = True,
) -> None:
    """Run what is not done yet, and write a report."""
    from ceiba import run as runner
    from ceiba.cluster import open_cluster
    from ceiba.report import write_report

    areas, settings = area or MAIN_AREAS, parse_settings(set_)
    chains = runner.plan_chains(targets or [], areas, tiles=split(tiles), years=parse_years(years), settings=settings)
    units = [unit for notebooks in chains.values() for of_notebook in notebooks for unit in of_notebook]
    folder = report_folder()
    keep_log(folder)
    with (
        Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=False,
        ) as progress,
        open_cluster(cluster, jobs=jobs) as opened,
    ):
        bar = progress.add_task("ceiba run", total=len(units))

        def started(unit) -> None:
            progress.update(bar, description=f"{unit.notebook.partition('/')[2]} {unit.tile.name} {unit.period}")

        def ended(result) -> None:
            progress.advance(bar)
            if not result.is_good:
                progress.console.print(f"[red]{result.status}[/red] {result.unit}: {result.reason}", soft_wrap=True)

        results = runner.run(chains, cluster=opened, started=started, ended=ended)
    console.print(summary_table(results))
    if report:
        page = write_report(folder, results)
        console.print(f"Report: {page}")
    if not all(result.is_good for result in results):
        raise typer.Exit(1)


@app.command(
    epilog="Examples: `ceiba plan mosaics --area mexico --years 1996:2025 --budget 5000` · `ceiba plan --tables` · "
    "`ceiba plan mosaics --area colombia --csv units.csv && ceiba run mosaics --area colombia --cluster gateway`"
)
def plan(
    targets: Targets = None,
    area: Areas = None,
    tiles: Tiles = "",
    years: Years = "",
    set_: Settings = None,
    budget: Annotated[
        float | None, typer.Option(min=0, help="Exit with code 1 where the plan costs more; that of catalogs/prices.yml if none.")
    ] = None,
    units: Annotated[bool, typer.Option("--units", help="List the units, the first 200.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write every unit to this file.")] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="The maps that the owner's tables ask for; with --csv the commands that make them.")
    ] = False,
) -> None:
    """Show what would run: units done, ready and waiting for inputs, with time, memory, storage and cost against a budget."""
    if tables:
        if targets or years or set_ or budget is not None or units:
            raise ParameterError("--tables plans whole tables: beside it stand --area, --tiles and --csv alone")
        plan_owner_tables(area or ["mexico", "colombia"], split(tiles), csv)
        return
    from ceiba import plan_tables
    from ceiba.estimates import estimate_chains, sum_budget
    from ceiba.run import plan_chains

    chains = plan_chains(
        targets or [], area or MAIN_AREAS, tiles=split(tiles), years=parse_years(years), settings=parse_settings(set_)
    )
    estimates = estimate_chains(chains)
    sums = sum_budget(estimates, budget)
    console.print(plan_tables.notebook_table(estimates, sums))
    console.print(plan_tables.area_table(estimates, sums))
    if units:
        console.print(plan_tables.unit_table(estimates))
    if csv:
        console.print(f"{plan_tables.write_units(csv, estimates)} units in {csv}")
    for line in plan_tables.budget_lines(sums):
        console.print(f"[red]{line}[/red]" if sums.is_exceeded and line.startswith("Total") else line, soft_wrap=True)
    if sums.is_exceeded:
        raise typer.Exit(1)


def plan_owner_tables(areas: list[str], tiles: list[str], csv: Path | None) -> None:
    """Print the maps of the owner's tables of some areas, and what each still needs."""
    from ceiba import owner_products

    products = owner_products.owner_products_of(areas)
    console.print(owner_products.owner_table(owner_products.estimate_owner_products(products, tiles=tiles)))
    console.print("A row with + is an annual map that no table asks for, but a change needs. CPU hours are those of the map alone.")
    if csv:
        console.print(f"{owner_products.write_owner_products(csv, products)} maps and their commands in {csv}", soft_wrap=True)
        console.print("Run a column of commands from top to bottom before the next one; what is done is not done again.")


@app.command()
def status(area: Areas = None) -> None:
    """Show the products in the cube, by area and product."""
    from ceiba import cube as index
    from ceiba.products import load_definitions

    table = Table(
        "product", "version", "tiles", "periods", "datasets", title=f"Store {Config.from_environment().store}"
    )
    connection = index.connect()
    for definition in load_definitions().values():
        datasets = index.find_datasets(connection, definition.name)
        properties = [dataset.metadata_doc["properties"] for dataset in datasets]
        if area and definition.per != "scene":
            properties = [entry for entry in properties if entry.get("ceiba:area") in area]
        tiles = {entry["odc:region_code"] for entry in properties} if definition.per != "scene" else set()
        periods = sorted({str(entry.get("ceiba:period", entry["datetime"][:4])) for entry in properties})
        span = f"{periods[0]} .. {periods[-1]}" if len(periods) > 1 else "".join(periods)
        table.add_row(definition.name, definition.version, str(len(tiles) or ""), span, str(len(properties)))
    console.print(table)


@app.command()
def samples() -> None:
    """Show the sample data and where each comes from on this machine."""
    from ceiba.samples import find_sample, load_registry

    table = Table("sample", "origin", "where", "licence")
    for name, entry in load_registry().items():
        try:
            if "made_by" in entry:
                table.add_row(name, "made here", f"by {entry['made_by']}", entry["licence"])
                continue
            sample = find_sample(name)
            table.add_row(
                name, sample.origin, str(sample.folder or next(iter(sample.files.values())).parent), entry["licence"]
            )
        except CeibaError as error:
            table.add_row(name, "[red]not here[/red]", str(error), entry["licence"])
    console.print(table)


@app.command(
    name="index",
    epilog="Example: `ceiba index --area mexico --tiles x020y010 --years 2019 --source earth_search`",
)
def index_scenes(
    area: Annotated[str, typer.Option(help="Area whose archives are asked.")] = "sample",
    tiles: Tiles = "",
    years: Years = "",
    source: Annotated[
        list[str] | None, typer.Option(help="Archive of the area's catalogue; scene_archive if none.")
    ] = None,
    set_: Settings = None,
) -> None:
    """Bring the scenes of an area's archives into the cube (the first notebook of the ARD stage)."""
    chosen = [f"sources={source!r}"] if source else []
    run(["01_ard/01_fetch_scenes"], [area], tiles, years, [*chosen, *(set_ or [])], report=False)


@app.command()
def check() -> None:
    """Verify the store: every dataset in the cube has its files, unchanged; nothing half-written lies about."""
    from ceiba import cube as index
    from ceiba import store
    from ceiba.products import load_definitions

    connection, problems, count = index.connect(), [], 0
    for definition in load_definitions().values():
        for dataset in index.find_datasets(connection, definition.name):
            problems += store.verify(dataset.uri)
            count += 1
    removed = store.sweep()
    for problem in problems:
        console.print(f"[red]{problem}[/red]", soft_wrap=True)
    console.print(f"{count} datasets checked, {len(problems)} problems, {removed} half-written folders removed")
    if problems:
        raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="Port on this machine.")] = 8000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    dashboards: Annotated[bool, typer.Option(help="Serve the dashboards in the same process.")] = True,
) -> None:
    """Serve React-2-EO (the app at /, its services, maps for other programs) and the dashboards (/dashboards)."""
    from ceiba.serving import serve as serve_all

    serve_all(host=host, port=port, dashboards=dashboards)


@reactions_app.command("simulate")
def simulate_people(
    area: Annotated[str, typer.Option(help="The simulated area; real places are refused.")] = "simulated",
    people: Annotated[int, typer.Option(min=1, max=100_000, help="How many take part.")] = 400,
) -> None:
    """Let invented people react to the simulated area, to show or to try what is done with reactions."""
    from ceiba.react2eo.settings import Settings
    from ceiba.samples import find_sample
    from ceiba.simulation.reactions import Crowd, find_simulated_place, simulate_reactions, true_shares

    place = find_simulated_place(area)
    shares = true_shares(find_sample(place.area).path("truth"))
    said = simulate_reactions(Settings.from_environment().reactions_url, place.name, shares, crowd=Crowd(people=people))
    console.print(f"{len(said)} simulated opinions on {place.name}; take them away with: ceiba reactions remove {place.name}")


@area_app.command(
    "add",
    epilog="Examples: `ceiba area add my_forest --geojson my_forest.geojson --crs EPSG:32616` · "
    "`ceiba area add colombia_007059 --path-row 7/59 --years 1996:2015`",
)
def add_area(
    name: Annotated[str, typer.Argument(help="Name of the new area: small letters, digits and _.")],
    geojson: Annotated[Path | None, typer.Option(help="Outline of the area, EPSG:4326.")] = None,
    crs: Annotated[str, typer.Option(help="Projected CRS of its products, in metres, such as EPSG:6372.")] = "",
    path_row: Annotated[str, typer.Option(help="Instead of an outline: a path and row of Landsat (WRS-2), 7/59.")] = "",
    tile_size_m: Annotated[int, typer.Option(help="Side of a tile [m].")] = 20_000,
    years: Annotated[str, typer.Option(help="Years with data, 2016:2024.")] = "2016:2025",
) -> None:
    """Add a place of your own: its tiles and a catalogue to fill in."""
    from ceiba.path_rows import PathRow
    from ceiba.places import add_path_row, add_place

    if path_row and not geojson and not crs:
        folder = add_path_row(name, PathRow.parse(path_row), years=parse_years(years))
    elif geojson and crs and not path_row:
        folder = add_place(name, geojson=geojson, crs=crs, tile_size_m=tile_size_m, years=parse_years(years))
    else:
        raise ParameterError("give either --geojson with --crs, or --path-row, whose CRS and pixels are those of Landsat")
    console.print(
        f"Area {name}: tiles in {folder / 'area.yml'}; fill in where its data lie in {folder / 'catalog.yml'}"
    )


@area_app.command("list")
def list_areas() -> None:
    """Show the areas."""
    from ceiba.grids import load_areas

    table = Table("area", "place", "tiles", "years", "CRS", "stages")
    for found in load_areas().values():
        for place in found.places:
            crs = place.crs if len(place.crs) < 12 else "own"
            table.add_row(found.name, place.name, str(len(place.tiles)), str(place.years), crs, ", ".join(place.stages))
    console.print(table)


def parse_settings(pairs: list[str] | None) -> dict[str, str]:
    """``["a=1"]`` to ``{"a": "1"}``; raises :class:`ParameterError`."""
    settings = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ParameterError(f"--set {pair}: write name=value")
        settings[name.strip()] = value
    return settings


def parse_years(years: str):
    """A :class:`~ceiba.grids.Period`, or None where empty."""
    from ceiba.grids import Period

    return Period.parse(years) if years else None


def split(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def summary_table(results) -> Table:
    """Units of a run by notebook and how they ended."""
    table = Table("notebook", "done before", "made", "skipped", "failed", "blocked", "seconds", title="ceiba run")
    notebooks: dict[str, list] = {}
    for result in results:
        notebooks.setdefault(result.unit.notebook, []).append(result)
    for notebook in sorted(notebooks):
        ended = notebooks[notebook]
        counts = [
            str(sum(result.status == status for result in ended) or "")
            for status in ("done", "made", "skipped", "failed", "blocked")
        ]
        table.add_row(notebook, *counts, f"{sum(result.seconds for result in ended):.0f}")
    return table


def report_folder() -> Path:
    """Folder of this run's report, ``reports/<moment>/`` of the checkout, or below ``CEIBA_REPORTS``."""
    base = Path(os.environ.get("CEIBA_REPORTS") or project_root() / "reports")
    folder = base / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 2
    while folder.exists():
        folder = folder.with_name(f"{folder.name.partition('-')[0]}-{number}")
        number += 1
    folder.mkdir(parents=True)
    return folder


def keep_log(folder: Path) -> None:
    """Write every message of the run to ``run.log`` of its report."""
    handler = logging.FileHandler(folder / "run.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def main() -> None:
    """Entry point: an error of Ceiba is one clear line and exit code 2."""
    try:
        app()
    except CeibaError as error:
        errors.print(f"[red]{type(error).__name__}:[/red] {error}", soft_wrap=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
