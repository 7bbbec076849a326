"""The YAML of a card, read back by a YAML library."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import printable
from ganzoo.sharing.front_matter import front_matter

yaml = pytest.importorskip("yaml")

TEXTS = st.text(max_size=20).map(printable)
SCALARS = (
    TEXTS
    | st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
)
NAMES = TEXTS.filter(bool)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(SCALARS | st.dictionaries(NAMES, SCALARS, min_size=1, max_size=3), min_size=1, max_size=3)
        | st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_a_yaml_library_reads_the_same_entries(entries):
    text = front_matter(entries)
    assert text.startswith("---\n")
    assert text.endswith("---\n")
    assert (yaml.safe_load(text[4:-4]) or {}) == entries


@pytest.mark.parametrize("word", ["no", "On", "null", "1e5", "0x1f", "2020-01-01", "", "-", "a: b", "#", "~", ".5"])
def test_a_word_that_yaml_would_misread_stays_a_text(word):
    assert yaml.safe_load(front_matter({"x": word, "y": [word]})[4:-4]) == {"x": word, "y": [word]}


def test_entries_without_a_value_are_left_out():
    assert front_matter({"a": None, "b": [], "c": {}, "d": {"e": None, "f": 1}}) == "---\nd:\n  f: 1\n---\n"
