import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from core.errors import InvalidInput
from services.vector.json_slices import GeoJsonSlices
from tests.services.vector.test_json_braces import VALUES

Features = list[dict[str, Any]]

ANYWHERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
FEATURES = st.lists(st.dictionaries(st.sampled_from(["type", "features", "a", 'b"}']), VALUES, max_size=3), max_size=4)
BLANKS = st.sampled_from(["", " ", "\n", "\r\n\t "])
# Members that stand before and behind the features; one is called like them, deeper down.
MEMBERS = st.dictionaries(st.sampled_from(["type", "crs", "x]", "é"]), VALUES, max_size=2)


def cut(path: Path, text: str, block: int) -> tuple[Features, GeoJsonSlices]:
    path.write_bytes(text.encode())
    slices = GeoJsonSlices(path, block)
    found: Features = []
    for part in slices:
        items = json.loads(part.text)
        assert len(items) == part.items
        for n, item in enumerate(items):
            assert part.offset >= -1, n
            found.append(item)
    return found, slices


def collection(features: Features, before: Any, behind: Any, blank: str) -> str:
    """With blanks wherever they may stand in the neighbourhood of features."""
    listed = f"{blank},{blank}".join(json.dumps(feature) for feature in features)
    heads = "".join(f"{json.dumps(name)}:{json.dumps(value)},{blank}" for name, value in before.items())
    tails = "".join(f",{blank}{json.dumps(name)}:{json.dumps(value)}" for name, value in behind.items())
    return f'{blank}{{{blank}{heads}"features"{blank}:{blank}[{blank}{listed}{blank}]{tails}{blank}}}{blank}'


@ANYWHERE
@given(FEATURES, MEMBERS, MEMBERS, BLANKS)
@example([{}, {"a": "],{"}], {"crs": {"features": [1]}}, {"x]": ['"features":[{}]']}, "")
def test_the_features_are_the_same_wherever_the_blocks_are_cut(
    tmp_path: Path, features: Features, before: Any, behind: Any, blank: str
) -> None:
    text = collection(features, before, behind, blank)
    whole = json.loads(text)
    for block in {*range(1, 40), len(text)}:
        found, slices = cut(tmp_path / "a.geojson", text, block)
        assert found == features
        assert json.loads(slices.members) == {**whole, "features": []}


@ANYWHERE
@given(FEATURES, st.sampled_from(["\n", "\r\n", "\n\x1e", " \n\n"]), st.booleans())
def test_the_texts_of_a_sequence_are_the_same_wherever_the_blocks_are_cut(
    tmp_path: Path, features: Features, separator: str, ends_with_separator: bool
) -> None:
    features = [{"n": n, **feature, "features": None} for n, feature in enumerate([{}, *features])]
    begin = "\x1e" if "\x1e" in separator else ""
    text = begin + separator.join(json.dumps(feature) for feature in features) + separator * ends_with_separator
    for block in {*range(1, 40), len(text)}:
        found, slices = cut(tmp_path / "a.geojson", text, block)
        assert (found, bytes(slices.members)) == (features, b"")


@ANYWHERE
@given(FEATURES.filter(bool), st.data(), BLANKS)
def test_a_text_that_is_cut_off_is_never_taken_for_a_whole_one(
    tmp_path: Path, features: Features, data: st.DataObject, blank: str
) -> None:
    text = collection(features, {"type": "x"}, {"crs": None}, blank).rstrip()
    end = data.draw(st.integers(0, len(text) - 1))
    for block in (1, 7, len(text)):
        with pytest.raises(InvalidInput) as caught:
            cut(tmp_path / "a.geojson", text[:end], block)
        assert caught.value.code == "unreadable_file"


def test_what_a_slice_holds_and_where_it_stood(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(b'{"features":[{"a":1},{"b":"22"}]}')
    parts = list(GeoJsonSlices(path, 21))
    assert [(bytes(part.text), part.offset, part.items) for part in parts] == [
        (b'[{"a":1}]', 12, 1),
        (b'[ {"b":"22"}]', 19, 1),
    ]


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_bytes(b'\xef\xbb\xbf{"features":[{}]}')
    assert [part.offset for part in GeoJsonSlices(path)] == [15]


def why_refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        list(GeoJsonSlices(path))
    assert caught.value.code == "unreadable_file"
    return caught.value.message.removeprefix("The file cannot be read as GeoJSON: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"features":[{"a":1},{"b', "it ends at byte 24, inside feature 2, which begins at byte 21."),
        ('{"features":[{"a":1}', "it ends behind feature 1, before its collection is closed."),
        ('{"features":[{"a":1}]', "it ends behind feature 1, before its collection is closed."),
        ('{"features":[{"a":1}]} x', "it goes on behind its end, at byte 23."),
        ('{"features":[{"a":1}]}{}', "it goes on behind its end, at byte 22."),
        ('{"a":1}\n{"a":', "it ends at byte 13, inside feature 2, which begins at byte 8."),
        ('{"a":1},{"a":2}', "its JSON texts are not separated by line breaks, behind byte 0."),
        ('{"type":"Fea', "it ends at byte 12, inside feature 1, which begins at byte 0."),
        ("  ", "it is empty."),
    ],
)
def test_a_refusal_names_the_place(tmp_path: Path, text: str, why: str) -> None:
    assert why_refused(tmp_path / "a.geojson", text) == why


def test_a_comma_between_blocks_may_not_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"features":[{"a":1} {"a":2}]}')
    with pytest.raises(InvalidInput, match="a comma is missing at byte 21"):
        list(GeoJsonSlices(path, block_bytes=20))


def test_a_feature_that_does_not_end_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text('{"features":[{"a":1},{"b":"' + "x" * 5000)
    with pytest.raises(InvalidInput) as caught:
        list(GeoJsonSlices(path, block_bytes=100, largest=1000))
    assert caught.value.code == "feature_too_large"
    assert "Feature 2, which begins at byte 21" in caught.value.message
