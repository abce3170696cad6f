"""Every notebook keeps the rules of CONTRIBUTING.md, section "A notebook": each rule is one check below."""

import ast
import functools
import io
import re
import tokenize
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted(path for path in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
# What is only read by hand writes no product, and has no table of reads and writes to keep.
READING_ONLY = {"00_start"}
STAGES = (
    "00_start",
    "01_ard",
    "02_mosaics",
    "03_classification",
    "04_change",
    "05_bioacoustics",
    "06_integrity",
    "07_dashboards",
)
TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}
SECTIONS = ("Background", "Method", "Parameters", "Load packages", "Check", "Write")
NO_NOTEBOOKS = pytest.param(None, marks=pytest.mark.skip(reason="there are no notebooks yet"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix() if path else "none"


@functools.cache
def load(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


@pytest.fixture(params=NOTEBOOKS or [NO_NOTEBOOKS], ids=name_of)
def path(request) -> Path:
    return request.param


@pytest.fixture
def notebook(path: Path) -> nbformat.NotebookNode:
    return load(path)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def code_lines(source: str) -> list[str]:
    """Lines of code: neither blank nor comment only."""
    return [line for line in source.splitlines() if line.strip() and not line.strip().startswith("#")]


def parameters_cell(notebook):
    cells = [cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", [])]
    assert len(cells) == 1, f"{len(cells)} cells tagged `parameters`, one is needed"
    return cells[0]


def trees(notebook) -> list[tuple[str, ast.Module]]:
    """Cell id and syntax tree of each code cell; a magic or shell command is a syntax error here."""
    parsed = []
    for cell in code_cells(notebook):
        try:
            parsed.append((cell.id, ast.parse(cell.source)))
        except SyntaxError as error:
            pytest.fail(f"cell {cell.id} is not plain Python (no magics, no `!`): {error}")
    return parsed


def headings(notebook) -> list[str]:
    texts = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    return re.findall(r"^##? (.+?)\s*$", texts, flags=re.MULTILINE)


def writes_product(path: Path) -> bool:
    return path.parent.name not in READING_ONLY


# ---- place and format ----


def test_name_and_folder(path):
    assert path.parent.name in STAGES, f"folder {path.parent.name}: the stages are {', '.join(STAGES)}"
    assert path.parent.parent == ROOT / "notebooks", "notebooks lie directly in their stage's folder"
    assert re.fullmatch(r"\d\d_[a-z0-9]+(_[a-z0-9]+)+\.ipynb", path.name), "named NN_verb_object.ipynb"
    assert not re.search(r"_v\d+\b|_(19|20)\d\d|_final|_copy", path.stem), "no versions or dates in the name"


def test_number_is_unique_in_its_stage(path):
    same = [other.name for other in NOTEBOOKS if other.parent == path.parent and other.name[:2] == path.name[:2]]
    assert same == [path.name]


def test_stored_without_output(path, notebook):
    for cell in code_cells(notebook):
        assert cell.outputs == [], f"cell {cell.id} holds output"
        assert cell.execution_count is None, f"cell {cell.id} holds an execution count"
    assert path.stat().st_size <= 30_000, f"{path.stat().st_size} bytes; at most 30 kB"


def test_is_valid_and_has_the_python3_kernel(notebook):
    nbformat.validate(notebook)
    assert notebook.nbformat_minor >= 5, "cell ids need format 4.5"
    assert notebook.metadata.kernelspec.name == "python3"


def test_cell_ids_are_unique_words(notebook):
    ids = [cell.id for cell in notebook.cells]
    assert len(set(ids)) == len(ids), "a cell id occurs twice"
    # A generated id is eight characters or more of hexadecimal, or holds no word at all.
    bad = [each for each in ids if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", each) or is_generated(each)]
    assert not bad, f"cell ids that are no words: {bad}"


def is_generated(cell_id: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{8,}", cell_id)) or not re.search(r"[a-z]{3,}", cell_id)


# ---- what a reader meets ----


def test_first_cell_is_title_sentence_and_table(path, notebook):
    first = notebook.cells[0]
    assert first.cell_type == "markdown"
    lines = [line for line in first.source.splitlines() if line.strip()]
    assert lines[0].startswith("# "), "the first line is the title"
    assert not lines[1].startswith(("|", "#")), "a sentence follows the title"
    if writes_product(path):
        table = "\n".join(line for line in lines if line.startswith("|")).lower()
        for word in ("reads", "writes", "runs after", "minutes"):
            assert word in table, f"the first table does not say {word!r}"


def test_sections_in_order(path, notebook):
    wanted = SECTIONS if writes_product(path) else SECTIONS[2:4]
    found = [each for each in headings(notebook) if each in wanted]
    assert found == list(wanted), f"sections {found}; in this order: {list(wanted)}"


def test_background_names_its_source(path, notebook):
    if not writes_product(path):
        pytest.skip("a notebook that writes no product has no method to cite")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    background = text.partition("## Background")[2].partition("\n## ")[0]
    assert re.search(r"10\.\d{4,9}/\S+", background), "Background cites at least one DOI"


def test_method_is_numbered(path, notebook):
    if not writes_product(path):
        pytest.skip("a notebook that writes no product has no method")
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert re.search(r"^1\. ", text.partition("## Method")[2].partition("\n## ")[0], flags=re.MULTILINE)


def test_markdown_before_each_code_cell(notebook):
    for before, cell in zip([None, *notebook.cells], notebook.cells, strict=False):
        if cell.cell_type == "code":
            assert before is not None and before.cell_type == "markdown", f"no text before cell {cell.id}"


def test_one_sentence_a_source_line(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    paragraphs = re.split(r"^#+ References", text, flags=re.MULTILINE)[0].splitlines()
    # Lists and tables hold short things; "et al. The" and "fig. A" end no sentence.
    long = [
        line
        for line in paragraphs
        if re.match(r"[A-Z`*]", line) and re.search(r"(?<!\bal)(?<!\bfig)(?<!\bvs)[a-z)`][.!?] +[A-Z]", line)
    ]
    assert not long, f"one sentence a line, so that a change shows: {long}"


def test_thin(notebook):
    total = 0
    for cell in code_cells(notebook):
        count = len(code_lines(cell.source))
        total += count
        assert count, f"cell {cell.id} is empty"
        assert count <= 15, f"cell {cell.id} has {count} lines of code; at most 15"
    assert total <= 80, f"{total} lines of code; at most 80"


def test_no_definitions_and_no_nested_loops(notebook):
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.TryStar, ast.While)
    loops = (ast.For, ast.AsyncFor, ast.While)
    for cell_id, tree in trees(notebook):
        for node in ast.walk(tree):
            assert not isinstance(node, definitions), f"{type(node).__name__} in cell {cell_id}: move it to the library"
            if isinstance(node, loops):
                inner = [each for statement in node.body for each in ast.walk(statement) if isinstance(each, loops)]
                assert not inner, f"nested loop in cell {cell_id}"
            if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
                assert len(node.generators) == 1, f"nested loop in a comprehension of cell {cell_id}"


def test_no_paths_addresses_or_installs(notebook):
    for cell_id, tree in trees(notebook):
        source = ast.unparse(tree)
        assert "sys.path" not in source, f"sys.path in cell {cell_id}"
        assert not re.search(r"\b(pip|conda|mamba)\b.*\binstall\b", source), f"an install in cell {cell_id}"
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert "://" not in node.value, f"an address in cell {cell_id}: {node.value!r}"
                absolute = re.match(r"(/[A-Za-z]|~/|[A-Za-z]:\\)", node.value)
                assert not absolute, f"an absolute path in cell {cell_id}: {node.value!r}"


def test_imports_only_under_load_packages(notebook):
    with_imports = [
        cell_id
        for cell_id, tree in trees(notebook)
        if any(isinstance(n, ast.Import | ast.ImportFrom) for n in tree.body)
    ]
    assert len(with_imports) == 1, f"imports in {with_imports}; they go into one cell"


# ---- parameters ----


def test_parameters_are_typed_literals_with_meaning(notebook):
    source = parameters_cell(notebook).source
    tree = ast.parse(source)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    for node in tree.body:
        line = ast.unparse(node)
        assert isinstance(node, ast.AnnAssign), f"{line}: write `name: type = value  # meaning, unit`"
        assert node.lineno == node.end_lineno, f"{line}: one parameter a line"
        assert isinstance(node.annotation, ast.Name), f"{line}: the types are {', '.join(TYPES)}"
        kind = TYPES.get(node.annotation.id)
        assert kind, f"{line}: the types are {', '.join(TYPES)}"
        value = literal(node.value, line)
        fits = type(value) is kind or (kind is float and type(value) is int)
        assert fits, f"{line}: the default is no {node.annotation.id}"
        assert len(comments.get(node.lineno, "")) >= 4, f"{line}: say what it means in a comment"
        text = source.splitlines()[node.lineno - 1].partition("#")[0]
        assert text.count("=") == 1, f"{line}: no second '='"
    assert len({node.lineno for node in tree.body}) == len(tree.body), "one parameter a line"


def literal(node, line: str):
    try:
        return ast.literal_eval(node)
    except ValueError:
        pytest.fail(f"{line}: the default must be a literal, nothing derived")


def test_parameters_begin_with_area_and_tile(path, notebook):
    names = [node.target.id for node in ast.parse(parameters_cell(notebook).source).body]
    wanted = ["area", "tile"] if writes_product(path) else ["area"]
    assert names[: len(wanted)] == wanted, f"parameters begin with {', '.join(wanted)}"
    default = {
        node.target.id: ast.literal_eval(node.value) for node in ast.parse(parameters_cell(notebook).source).body
    }
    assert default["area"] == "sample", "the default is the sample area, so that Run All works at once"
    assert default.get("tile", "") == ""


def test_parameters_are_explained_before_their_cell(notebook):
    cells = notebook.cells
    position = cells.index(parameters_cell(notebook))
    assert cells[position - 1].cell_type == "markdown"
    assert "## Parameters" in cells[position - 1].source, "the heading Parameters stands before its cell"


# ---- one task, one write ----


def calls(notebook, owner: str, name: str) -> list[ast.Call]:
    return [
        node
        for _, tree in trees(notebook)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == name
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == owner
    ]


def test_begins_its_own_task_with_every_parameter(path, notebook):
    if not writes_product(path):
        pytest.skip("a notebook that writes no product begins no task")
    begun = calls(notebook, "ceiba", "begin")
    assert len(begun) == 1, f"ceiba.begin() is called {len(begun)} times"
    (call,) = begun
    assert [ast.literal_eval(each) for each in call.args] == [name_of(path)], "begin() names this notebook"
    given = {each.arg for each in call.keywords}
    wanted = {node.target.id for node in ast.parse(parameters_cell(notebook).source).body}
    assert given == wanted, f"begin() is given {sorted(given)}, the parameters are {sorted(wanted)}"
    derived = [
        each.arg for each in call.keywords if not (isinstance(each.value, ast.Name) and each.value.id == each.arg)
    ]
    assert not derived, f"begin() takes parameters as they are, not derived: {derived}"


def test_writes_once_at_the_end(path, notebook):
    written = calls(notebook, "task", "write")
    if not writes_product(path):
        assert not written
        return
    assert len(written) == 1, f"task.write() is called {len(written)} times"
    cells = code_cells(notebook)
    assert "task.write(" in cells[-1].source, "task.write() stands in the last code cell"


def test_checks_can_fail(path, notebook):
    if not writes_product(path):
        pytest.skip("a notebook that writes no product has no result to check")
    position = next(
        number
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown" and re.search(r"^## Check\s*$", cell.source, flags=re.MULTILINE)
    )
    checks = [
        node
        for cell in notebook.cells[position:]
        if cell.cell_type == "code"
        for node in ast.walk(ast.parse(cell.source))
    ]
    asserted = [node for node in checks if isinstance(node, ast.Assert)]
    assert asserted, "Check holds no assertion"
    assert not [node for node in asserted if isinstance(node.test, ast.Constant)], "an assertion that cannot fail"


def test_shows_its_data_source(path, notebook):
    if not writes_product(path):
        pytest.skip("a notebook that writes no product begins no task")
    assert "task.source_line" in "\n".join(cell.source for cell in code_cells(notebook))


def test_something_for_the_report(path, notebook):
    if not writes_product(path):
        pytest.skip("only what production runs goes into the report")
    assert any("report" in cell.metadata.get("tags", []) for cell in code_cells(notebook)), "no cell tagged `report`"
