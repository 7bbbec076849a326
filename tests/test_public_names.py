"""ganzoo/README.md describes every public name as it is, and its examples run."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

import ganzoo
from tests.support import public_names

pytestmark = pytest.mark.usefixtures("jittor")
NAMES = [name for names in public_names.names_by_module().values() for name in names]


def test_every_public_name_is_on_the_page_and_no_other() -> None:
    page = public_names.PAGE.read_text()
    modules = public_names.modules_on_page(page)
    assert sorted(modules) == sorted(public_names.names_by_module())  # each in one section
    described = set(re.findall(r"^### (\w+)$", page, flags=re.MULTILINE))
    assert {name for name in NAMES if public_names.has_entry(name)} <= described
    for name in set(ganzoo.__all__) - described:
        assert re.search(rf"`(ganzoo\.)?{name}`", page), name
    assert {*NAMES, "jt", "__version__"} == {*ganzoo.__all__}


def test_signatures_and_descriptions_on_the_page_are_those_of_the_code() -> None:
    page = public_names.PAGE.read_text()
    assert page == public_names.fill_in(page), "run `python -m tests.support.public_names`"


@pytest.mark.parametrize("name", [name for name in NAMES if public_names.has_entry(name)])
def test_a_public_name_has_a_docstring_of_its_own(name: str) -> None:
    text = public_names.documentation(getattr(ganzoo, name))
    assert text
    assert not text.startswith(f"{name}("), "a dataclass without one gets its signature"


def test_the_examples_on_the_page_run_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = re.findall(r"^```python\n(.*?)^```", public_names.PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(examples) > 5
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)  # dataclasses look there
    for example in examples:
        exec(compile(example.replace('start("cpu")', "start()"), public_names.PAGE, "exec"), vars(module))
    assert "generator {'adversarial': " in capsys.readouterr().out
