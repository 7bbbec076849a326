"""The page of public names lists exactly what `import ganzoo` offers."""

from __future__ import annotations

import re
from pathlib import Path

import ganzoo

PAGE = Path(ganzoo.__file__).with_name("README.md")


def test_the_page_lists_every_public_name_once() -> None:
    cells = re.findall(r"^\| (`.+?`) \|", PAGE.read_text(), flags=re.M)
    listed = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(ganzoo.__all__)
