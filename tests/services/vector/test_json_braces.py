import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.vector.json_braces import BraceScanner

# Strings of the characters that matter, and of one that takes several bytes.
TEXTS = st.text('"\\{}[],: aé', max_size=8)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=12,
)


def depths(text: bytes) -> list[int]:
    """Open braces behind each byte, told by the simplest of means."""
    found, depth, in_string, escaped = [], 0, False, False
    for byte in text:
        character = chr(byte)
        if escaped:
            escaped = False
        elif in_string:
            escaped, in_string = character == "\\", character != '"'
        elif character == '"':
            in_string = True
        else:
            depth += {"{": 1, "}": -1}.get(character, 0)
        found.append(depth)
    return found


def scanned(text: bytes, block: int) -> list[int]:
    scanner, found = BraceScanner(), []
    for start in range(0, len(text), block):
        braces = scanner.scan(text[start : start + block])
        changes = dict(zip(braces.at.tolist(), braces.depth[1:].tolist(), strict=True))
        depth = int(braces.depth[0])
        for offset in range(braces.start, braces.end):
            depth = changes.get(offset, depth)
            found.append(depth)
    return found


@settings(deadline=None)
@given(VALUES, st.booleans())
@example({"a": '\\"}\\\\'}, True)
@example({"\\": "\\\\", '"': "{"}, True)
def test_braces_are_found_wherever_the_blocks_are_cut(value: Any, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    expected = depths(text)
    for block in range(1, len(text) + 1):
        assert scanned(text, block) == expected


@settings(deadline=None)
@given(st.binary(max_size=30).map(lambda raw: bytes(b'"\\{}'[byte % 4] for byte in raw)))
def test_what_is_no_json_is_cut_the_same_way_whatever_the_blocks(text: bytes) -> None:
    """A backslash escapes outside of strings too: that is no JSON, and the parser says so."""
    assert len({tuple(scanned(text, block)) for block in range(1, len(text) + 1)}) <= 1


def test_the_ends_of_objects_lie_behind_their_braces() -> None:
    braces = BraceScanner().scan(b'{"a":{}} {"b":"}"}')
    assert braces.closings(0).tolist() == [8, 18]
    assert braces.closings(1).tolist() == [7]
    begins, ends = braces.stretches(0)
    assert list(zip(begins.tolist(), ends.tolist(), strict=True)) == [(0, 0), (8, 9), (18, 18)]
    assert braces.is_inside(2, depth=1) is False
    assert braces.is_inside(4, depth=1) is True
