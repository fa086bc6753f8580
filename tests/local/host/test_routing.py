import pytest

from local.host.routing import BadRoute, Route, split_path


def match(template: str, path: str) -> dict[str, str] | None:
    return Route(template).match(split_path(path))


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("jobs/status/{id}", "/jobs/status/a1", {"id": "a1"}),
        ("jobs/status/{id}", "/Jobs/STATUS/A1/", {"id": "A1"}),
        ("jobs/status/{id}", "/jobs/status", None),
        ("jobs/status/{id}", "/jobs/status/a/b", None),
        ("{a:int}", "/-3", {"a": "-3"}),
        ("{a:int}", "/3.5", None),
        ("{a:int:min(2)}", "/1", None),
        ("{a:range(1,3)}", "/3", {"a": "3"}),
        ("{a:length(2)}", "/abc", None),
        ("{a:minlength(2)}", "/abc", {"a": "abc"}),
        ("{a:alpha}", "/a1", None),
        ("{a:bool}", "/True", {"a": "True"}),
        ("{a:guid}", "/0f8fad5b-d9cb-469f-a165-70867728950e", {"a": "0f8fad5b-d9cb-469f-a165-70867728950e"}),
        ("{a:datetime}", "/2026-01-31", {"a": "2026-01-31"}),
        ("{a:double}", "/1e3", {"a": "1e3"}),
        (r"{a:regex(^\d{{2}}:\d$)}", "/12:3", {"a": "12:3"}),
        (r"{a:regex(^\d{{2}}$)}", "/123", None),
        ("{a}/{b?}", "/1", {"a": "1"}),
        ("{a}/{b?}", "/1/2", {"a": "1", "b": "2"}),
        ("{a}/{b=7}", "/1", {"a": "1", "b": "7"}),
        ("{z}-{x}.{format}", "/3-4.mvt", {"z": "3", "x": "4", "format": "mvt"}),
        ("files/{*rest}", "/files/a/b", {"rest": "a/b"}),
        ("files/{**rest}", "/files", {}),
        ("a/b", "/a/%62", {}),
        ("{a}", "/caf%C3%A9%2Fbar", {"a": "café%2Fbar"}),
    ],
)
def test_templates_match_as_in_asp_net(template: str, path: str, values: dict[str, str] | None) -> None:
    assert match(template, path) == values


def test_the_more_specific_template_comes_first() -> None:
    templates = ["{*rest}", "a/{x}", "a/{x:int}", "a/b", "{x}"]
    ordered = sorted(templates, key=lambda template: Route(template).precedence)
    assert ordered == ["a/b", "a/{x:int}", "a/{x}", "{x}", "{*rest}"]


def test_an_unknown_constraint_is_refused() -> None:
    with pytest.raises(BadRoute, match="integer"):
        Route("items/{number:integer}")
