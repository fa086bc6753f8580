"""ASP.NET Core route templates: literals, `{name}`, `{name:constraint}`, `{name?}`, `{name=default}`, `{*rest}`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote
from uuid import UUID

PARAMETER = re.compile(r"\{((?:[^{}]|\{\{|\}\})*)\}")
CONSTRAINT = re.compile(r"(\w+)(?:\((.*)\))?")
ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)

Check = Callable[[str], bool]


class BadRoute(Exception):
    """The template is not one ASP.NET Core accepts, or uses a constraint that does not exist."""


def parses(parse: Callable[[str], object]) -> Check:
    def check(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return check


def numbers(arguments: str | None) -> list[int]:
    return [int(number) for number in (arguments or "").split(",")]


def length_check(arguments: str | None) -> Check:
    limits = numbers(arguments)
    return lambda text: limits[0] <= len(text) <= limits[-1]


def regex_check(arguments: str | None) -> Check:
    pattern = re.compile((arguments or "").replace("{{", "{").replace("}}", "}"), re.IGNORECASE)
    return lambda text: pattern.search(text) is not None


def bounds_check(low: float, high: float) -> Check:
    return lambda text: parses(int)(text) and low <= int(text) <= high


CONSTRAINTS: dict[str, Callable[[str | None], Check]] = {
    "int": lambda _: bounds_check(-(2**31), 2**31 - 1),
    "long": lambda _: bounds_check(-(2**63), 2**63 - 1),
    "bool": lambda _: lambda text: text.lower() in ("true", "false"),
    "float": lambda _: parses(float),
    "double": lambda _: parses(float),
    "decimal": lambda _: parses(float),
    "datetime": lambda _: parses(datetime.fromisoformat),
    "guid": lambda _: parses(UUID),
    "alpha": lambda _: lambda text: re.fullmatch("[A-Za-z]*", text) is not None,
    "required": lambda _: bool,
    "minlength": lambda arguments: lambda text: len(text) >= numbers(arguments)[0],
    "maxlength": lambda arguments: lambda text: len(text) <= numbers(arguments)[0],
    "length": length_check,
    "min": lambda arguments: bounds_check(numbers(arguments)[0], 2**63),
    "max": lambda arguments: bounds_check(-(2**63), numbers(arguments)[0]),
    "range": lambda arguments: bounds_check(*numbers(arguments)),
    "regex": regex_check,
}


@dataclass(frozen=True)
class Parameter:
    name: str
    checks: tuple[Check, ...]
    optional: bool
    default: str | None
    catch_all: bool

    @classmethod
    def parse(cls, text: str) -> Parameter:
        """What stands between the braces: `*rest`, `name:int:min(1)?`, `name=default`."""
        catch_all = text.startswith("*")
        text = text.lstrip("*")
        optional = text.endswith("?")
        text = text.removesuffix("?")
        name, colon, constraints = text.partition(":")
        default = None
        if not colon:
            name, equals, after = name.partition("=")
            default = after if equals else None
        return cls(name, tuple(parse_constraints(constraints)), optional, default, catch_all)

    def accepts(self, text: str) -> bool:
        return all(check(text) for check in self.checks)


def parse_constraints(text: str) -> Iterable[Check]:
    """`int:min(1)`; a colon inside parentheses belongs to the argument."""
    for constraint in re.split(r":(?![^(]*\))", text) if text else []:
        match = CONSTRAINT.fullmatch(constraint)
        if not match or match[1] not in CONSTRAINTS:
            raise BadRoute(f"unknown route constraint {constraint!r}")
        yield CONSTRAINTS[match[1]](match[2])


@dataclass(frozen=True)
class Segment:
    """One part of the path between slashes: literal text, parameters, or both mixed."""

    pattern: re.Pattern[str]
    parameters: tuple[Parameter, ...]

    @classmethod
    def parse(cls, text: str) -> Segment:
        parameters, pattern, position = [], "", 0
        for match in PARAMETER.finditer(text):
            parameter = Parameter.parse(match[1])
            parameters.append(parameter)
            pattern += re.escape(text[position : match.start()]) + f"(?P<{parameter.name}>.+)"
            position = match.end()
        pattern += re.escape(text[position:])
        return cls(re.compile(pattern, re.IGNORECASE | re.DOTALL), tuple(parameters))

    @property
    def precedence(self) -> int:
        """Lower is tried first, in the order of ASP.NET Core's RoutePrecedence."""
        if not self.parameters:
            return 1
        parameter = self.parameters[-1]
        constrained = bool(parameter.checks) or self.pattern.groups > 1
        if parameter.catch_all:
            return 4 if constrained else 5
        return 2 if constrained else 3

    @property
    def catch_all(self) -> bool:
        return any(parameter.catch_all for parameter in self.parameters)

    def match(self, text: str) -> dict[str, str] | None:
        found = self.pattern.fullmatch(text)
        if not found or not all(parameter.accepts(found[parameter.name]) for parameter in self.parameters):
            return None
        return found.groupdict()

    def when_absent(self) -> dict[str, str] | None:
        """The values of a segment the path does not have; None when it must have it."""
        parameter = self.parameters[0] if len(self.parameters) == 1 else None
        if not parameter or not (parameter.optional or parameter.catch_all or parameter.default is not None):
            return None
        return {} if parameter.default is None else {parameter.name: parameter.default}


class Route:
    def __init__(self, template: str) -> None:
        parts = re.split(r"/(?![^{]*\}(?!\}))", template.strip("/")) if template.strip("/") else []
        self.segments = [Segment.parse(part) for part in parts]
        self.precedence = [segment.precedence for segment in self.segments]

    def match(self, path: list[str]) -> dict[str, str] | None:
        """The route's values for a path split at its slashes; None when it does not match."""
        values: dict[str, str] = {}
        for index, segment in enumerate(self.segments):
            rest = path[index:]
            if not rest:
                found = segment.when_absent()
            else:
                found = segment.match("/".join(rest) if segment.catch_all else rest[0])
            if found is None:
                return None
            values |= found
            if segment.catch_all:
                return values
        return values if len(path) <= len(self.segments) else None


def split_path(raw_path: str) -> list[str]:
    """A percent-encoded path as decoded segments. An encoded slash stays encoded, as in ASP.NET Core."""
    path = raw_path.strip("/")
    return [unquote(ESCAPED_SLASH.sub("%252F", part)) for part in path.split("/")] if path else []
