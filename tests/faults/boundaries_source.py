"""The places in the app's source that have an effect, so that one which no scenario reaches is noticed."""

import ast
from collections.abc import Iterator

from tests.faults.boundaries_effects import PLUMBING, ROOT

FOLDERS = ("core", "jobs", "services")
# They only look, within a transaction whose end is a boundary.
READ_ONLY = ("VectorToPostGISHandler.measure", "VectorToPostGISHandler.value_range")
# Methods whose call is an effect, with what they are called on.
EFFECTS = {
    "transaction": ("database", "_database"),
    "send_jobs": ("bus",),
    "send_tasks": ("bus",),
    "facts": ("bronze", "silver"),
    "download": ("bronze", "silver"),
    "read": ("bronze", "silver"),
    "write": ("bronze", "silver"),
    "names": ("bronze", "silver"),
    "execute": ("connection",),
    "copy": ("cursor",),
    "settle": ("letter",),
    "mkdtemp": ("tempfile",),
    "rmtree": ("shutil",),
}


def places_with_effects() -> list[str]:
    """Qualified names of the functions that call one themselves."""
    found: dict[str, None] = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found |= dict.fromkeys(effects_in(ast.parse(path.read_text()), ""))
    return [name for name in found if name not in READ_ONLY and not PLUMBING.search(name)]


def effects_in(node: ast.AST, place: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from effects_in(child, f"{place}.{child.name}" if place else child.name)
            continue
        if isinstance(child, ast.Call) and is_effect(child.func):
            yield place
        yield from effects_in(child, place)


def is_effect(called: ast.expr) -> bool:
    if not isinstance(called, ast.Attribute) or called.attr not in EFFECTS:
        return False
    owner = called.value
    name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
    return name in EFFECTS[called.attr]
