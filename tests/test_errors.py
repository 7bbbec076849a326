from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.errors import format_count, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("für 世界 👩\u200d💻\u3000x", "für 世界 👩\u200d💻\u3000x"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nError: b", "a\\nError: b"),
        ("a\u2028b\u0085c", "a\\u2028b\\x85c"),
        ("gnp.\u202etxt", "gnp.\\u202etxt"),
        ("caf\udce9", "caf\\udce9"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_control_characters_in_names_are_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters(exclude_categories=())))
def test_any_name_is_one_line_that_can_be_encoded(name: str) -> None:
    shown = printable(name)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert printable(shown) == shown


def test_counts_have_the_right_plural() -> None:
    assert [format_count(count, "image") for count in (0, 1, 1000)] == ["0 images", "1 image", "1,000 images"]
