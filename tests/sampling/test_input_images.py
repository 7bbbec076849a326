from __future__ import annotations

from ganzoo.sampling.input_images import UniqueNames, filename_part


def test_names_are_unique():
    names = UniqueNames()
    made = [names.new(name) for name in ["a", "a-2", "a", "a", "a-2", "b", "a-2-2"]]
    assert len(set(made)) == len(made)
    assert made[:3] == ["a", "a-2", "a-3"]


def test_a_part_of_a_file_name_is_short_and_has_no_separator():
    assert [filename_part("a/b"), filename_part("\0"), len(filename_part("\u72d0" * 99).encode()) <= 60] == [
        "a-b",
        "-",
        True,
    ]
