"""Notebooks as programs: their parameters, read without running them, and checked strictly."""

import ast
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ceiba.config import project_root
from ceiba.errors import ParameterError
from ceiba.parameter_limits import check_limits

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list}
UNIT_PARAMETERS = ("area", "tile", "year", "first_year", "last_year")


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell: ``name: type = default  # help``."""

    name: str
    type: str
    default: object
    help: str


def notebook_path(notebook: str) -> Path:
    """Path of ``stage/name`` below ``notebooks/``; raises :class:`ParameterError` naming those that exist."""
    path = project_root() / "notebooks" / f"{notebook}.ipynb"
    if not path.exists():
        known = ", ".join(list_notebooks())
        raise ParameterError(f"no notebook {notebook!r}; there are {known}")
    return path


def list_notebooks() -> list[str]:
    """Names of all notebooks, ``02_mosaics/01_make_geomedian``, in order."""
    folder = project_root() / "notebooks"
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.glob("[0-9]*/[0-9]*.ipynb"))


def read_parameters(notebook: str) -> dict[str, Parameter]:
    """Parameters of a notebook by name, from its cell tagged ``parameters``; raises :class:`ParameterError`."""
    path = notebook_path(notebook)
    return _read_parameters(path, path.stat().st_mtime_ns)


@functools.cache
def _read_parameters(path: Path, _changed: int) -> dict[str, Parameter]:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ParameterError(f"{path.name} has {len(cells)} cells tagged 'parameters'; it needs one")
    return parse_parameters(cells[0].source, path.name)


def parse_parameters(source: str, name: str) -> dict[str, Parameter]:
    """Parse the text of a parameters cell; raises :class:`ParameterError` with the line that is not allowed."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise ParameterError(f"{name}: the parameters cell is no Python: {error}") from error
    lines = source.splitlines()
    parameters = {}
    for node in tree.body:
        line = lines[node.lineno - 1]
        simple = (
            isinstance(node, ast.AnnAssign)
            and isinstance(node.target, ast.Name)
            and isinstance(node.annotation, ast.Name)
        )
        if not simple or node.value is None or node.annotation.id not in TYPES:
            raise ParameterError(
                f"{name}: {line!r} must read 'name: type = literal  # help', type one of {', '.join(TYPES)}"
            )
        try:
            default = ast.literal_eval(node.value)
        except ValueError as error:
            raise ParameterError(f"{name}: the default in {line!r} must be a literal") from error
        comment = re.search(r"#\s*(.*)$", line)
        parameters[node.target.id] = Parameter(
            node.target.id, node.annotation.id, default, comment[1] if comment else ""
        )
    return parameters


def check_parameters(notebook: str, given: Mapping[str, object]) -> dict[str, object]:
    """Values for a run: the notebook's defaults with ``given`` in their place, each of the declared type.

    Text given on a command line is read by the declared type: "07" stays a string for ``str`` and is 7 for ``int``.
    Raises :class:`ParameterError` on an unknown name, a value of another type or one beyond its limits
    (:mod:`ceiba.parameter_limits`), naming what is allowed.
    """
    declared = read_parameters(notebook)
    unknown = sorted(set(given) - set(declared))
    if unknown:
        raise ParameterError(f"{notebook} has no parameter {', '.join(unknown)}; it has {', '.join(declared)}")
    values = {
        name: check_value(notebook, parameter, given[name]) if name in given else parameter.default
        for name, parameter in declared.items()
    }
    check_limits(notebook, values)
    return values


def check_value(notebook: str, parameter: Parameter, value: object) -> object:
    """``value`` as the parameter's type; raises :class:`ParameterError`."""
    wanted = TYPES[parameter.type]
    if isinstance(value, str) and wanted is not str:
        try:
            value = ast.literal_eval({"true": "True", "false": "False"}.get(value.lower(), value))
        except (ValueError, SyntaxError) as error:
            raise ParameterError(_wrong_type(notebook, parameter, value)) from error
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise ParameterError(_wrong_type(notebook, parameter, value))
    return value


def _wrong_type(notebook: str, parameter: Parameter, value: object) -> str:
    meaning = f" ({parameter.help})" if parameter.help else ""
    return f"{notebook}: parameter {parameter.name} is {value!r}, but its type is {parameter.type}{meaning}"
