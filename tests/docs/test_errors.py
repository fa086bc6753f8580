"""docs/errors.md names every code that the source can give, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("core", "infrastructure", "jobs", "services", "triggers")
    for path in (ROOT / folder).rglob("*.py")
]
CODE = re.compile(r"[a-z]+(_[a-z0-9]+)+")
# Made from a parameter's name; written in SQL.
ELSEWHERE = {"schema_not_allowed", "container_name_not_allowed", "task_failed", "dead_lettered"}
# No error's: what STAC calls a projection.
OTHERS = {"EPSG:4326"}


def codes_in(tree: ast.AST) -> Iterator[str]:
    """What is given as an error's code, and as a row's reason of rejection."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id="InvalidInput"), args=[ast.Constant(value=str(code)), *_]):
                yield code
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                yield code
            case ast.AnnAssign(target=ast.Name(id="default_code"), value=ast.Constant(value=str(code))):
                yield code
            case ast.Assign(targets=[ast.Name(id="default_code")], value=ast.Constant(value=str(code))):
                yield code
            case ast.Dict(keys=[ast.Constant(value="code"), *_], values=[ast.Constant(value=str(code)), *_]):
                yield code
            case ast.Call(func=ast.Attribute(attr="reject"), args=[_, ast.Constant(value=str(code))]):
                yield code
            case ast.Assign(targets=[ast.Subscript()], value=ast.Constant(value=str(code))) if CODE.fullmatch(code):
                yield code


def given() -> set[str]:
    found = {code for path in SOURCES for code in codes_in(ast.parse(path.read_text()))}
    return (found | ELSEWHERE) - OTHERS


def documented() -> set[str]:
    first_cells = re.findall(r"^\| (`[^|]*`) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    return {code for cell in first_cells for code in re.findall(r"`(\w+)`", cell)}


def test_the_source_is_looked_at() -> None:
    assert {"table_exists", "null_geometry", "worker_lost", "timeout", "service_unavailable"} <= given()


def test_every_code_is_documented() -> None:
    assert given() - documented() == set()


def test_every_documented_code_is_one() -> None:
    assert documented() - given() == set()
