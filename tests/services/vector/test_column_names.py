import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vector.column_names import MAX_NAME_BYTES, RESERVED_NAMES, name_columns

LIKELY = st.sampled_from(
    ["id", "ID", "geom", "source_id", "a", "A", "a_2", "xmin", "ctid", "etl_batch_id", "", "_", "1"]
)
NAMES = st.lists(st.one_of(LIKELY, st.text(max_size=12), st.text(min_size=50, max_size=90)), max_size=12)


def names(*sources: str) -> list[str]:
    return [naming.name for naming in name_columns(sources)]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("Area (m²)", "area_m²"),
        ("  Straße ", "straße"),
        ("名前", "名前"),
        ("हिन्दी", "हिन्दी"),
        ("2020 pop", "_2020_pop"),
        ("a--b__c", "a_b_c"),
        ("%", "column"),
        ('x"; DROP TABLE jobs; --', "x_drop_table_jobs"),
        ("id", "source_id"),
        ("GEOM", "source_geom"),
        ("xmin", "source_xmin"),
        ("plain_name", "plain_name"),
    ],
)
def test_names_are_cleaned_and_still_say_what_they_said(source: str, name: str) -> None:
    assert names(source) == [name]


def test_a_name_that_needs_no_change_keeps_it_whoever_comes_first() -> None:
    assert names("ID", "source_id", "Height", "height") == ["source_id_2", "source_id", "height_2", "height"]


def test_renames_say_why() -> None:
    namings = name_columns(["Name", "name", "id", "x" * 70, "fine"])
    assert [naming.reason for naming in namings] == ["duplicate", None, "reserved", "too_long", None]


def test_a_long_name_is_cut_between_characters() -> None:
    first, second = names("ü" * 40, "ü" * 50)
    assert first == "ü" * 31
    assert second == "ü" * 30 + "_2"


@given(NAMES)
def test_names_are_unique_short_and_never_reserved(sources: list[str]) -> None:
    found = names(*sources)
    assert len(found) == len(sources)
    assert len(set(found)) == len(found)
    assert all(0 < len(name.encode()) <= MAX_NAME_BYTES for name in found)
    assert RESERVED_NAMES.isdisjoint(found)
    assert not any(name[0].isdigit() for name in found)


@given(NAMES)
def test_naming_again_changes_nothing(sources: list[str]) -> None:
    once = names(*sources)
    assert names(*once) == once
    assert all(naming.reason is None for naming in name_columns(once))


@given(NAMES)
def test_only_changed_names_are_reported(sources: list[str]) -> None:
    assert all((naming.reason is None) == (naming.source == naming.name) for naming in name_columns(sources))
