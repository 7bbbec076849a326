"""Isolation of plugins: whatever one of them does, the others work, and its problem is reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ganzoo.cli import main
from ganzoo.cli.commands import COMMANDS
from ganzoo.errors import OptionError, PluginError
from ganzoo.registry import plugins
from tests.registry.conftest import Install

GOOD = '''
import click
import ganzoo

class Good(ganzoo.Model):
    name = "good"
    summary = "a third-party model"
    def build(self, options, data, train):
        raise NotImplementedError

@ganzoo.hookimpl
def ganzoo_models():
    return [Good()]

@ganzoo.hookimpl
def ganzoo_commands():
    @click.command("greet")
    def greet():
        """Say hello."""
        click.echo("hello")
    return [greet]
'''
DATA_COMMAND = '''
import click
import ganzoo

@ganzoo.hookimpl
def ganzoo_data_commands():
    @click.command("count")
    def count():
        """Count to three."""
        click.echo("one two three")
    return [count]
'''
MODEL = """
import ganzoo

class Model(ganzoo.Model):
    name = "mine"
    summary = "a model"
    def build(self, options, data, train):
        raise NotImplementedError

"""
# Fault -> code of the module, and what `ganzoo plugins` must report.
BROKEN = {
    "raises": (
        "raise RuntimeError('no\\nluck')",
        "import of bad_raises failed: RuntimeError: no luck (bad_raises.py, line 1)",
    ),
    "exits": ("import sys; sys.exit(3)", "import of bad_exits failed: SystemExit: 3 (bad_exits.py, line 1)"),
    "syntax": ("def (", "import of bad_syntax failed: SyntaxError"),
    "signature": (
        MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(colour): return [Model()]",
        "hookimpl definition: ganzoo_models(colour)",
    ),
    "unknown": (
        MODEL + "@ganzoo.hookimpl\ndef ganzoo_model(): return [Model()]",
        "there is no hook 'ganzoo_model'. Did you mean 'ganzoo_models'?",
    ),
    "wrapper": (
        MODEL + "@ganzoo.hookimpl(wrapper=True)\ndef ganzoo_models():\n    return (yield)",
        "ganzoo_models is a hook wrapper",
    ),
    "undecorated": (
        MODEL + "def ganzoo_models(): return [Model()]",
        "ganzoo_models is not decorated with @ganzoo.hook",
    ),
    "class": (MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): return [Model]", "pass an instance, not the class"),
    "nonsense": (MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): return [42]", "42 is not a Model"),
    "none": (MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): pass", "it returned None instead of a list of models"),
    "text": (MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): return 'mine'", "it returned 'mine'"),
    "hook_raises": (
        MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): yield 1 / 0",
        "ganzoo_models: it raised ZeroDivisionError: division by zero",
    ),
    "hook_exits": (
        MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): raise SystemExit",
        "ganzoo_models: it raised SystemExit",
    ),
    "data_hook_raises": (
        DATA_COMMAND.replace('@click.command("count")', "1 / 0"),
        "ganzoo_data_commands: it raised ZeroDivisionError: division by zero",
    ),
    "data_none": (
        DATA_COMMAND.replace("return [count]", "return count"),
        "instead of a list of data commands",
    ),
    "invalid": (
        MODEL + "Model.summary = None\n@ganzoo.hookimpl\ndef ganzoo_models(): return [Model()]",
        "'mine': its summary is None",
    ),
}


def plugin(registry: plugins.Registry, name: str) -> plugins.Plugin:
    (found,) = [each for each in registry.plugins if each.name == name]
    return found


def ganzoo(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_third_party_models_and_commands_are_added_to_the_bundled_ones(install: Install) -> None:
    install("good", GOOD)
    registry = plugins.load()
    assert {"gan", "lsgan", "good"} <= registry.models.keys()
    assert plugin(registry, "good").provides == {"models": ["good"], "commands": ["greet"]}
    assert plugin(registry, "good").problems == []
    assert ganzoo("greet").output == "hello\n"
    assert "greet" in ganzoo("--help").output
    assert "a third-party model" in ganzoo("train", "--help").output


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_reported_and_stops_no_other(install: Install, kind: str) -> None:
    code, expected = BROKEN[kind]
    install(f"bad_{kind}", code)
    install("good", GOOD)
    registry = plugins.load()
    broken = plugin(registry, f"bad_{kind}")
    assert expected in "; ".join(broken.problems)
    assert (broken.provides, broken.origin) == ({}, f"dist-of-bad_{kind} 1.5")
    assert {"gan", "lsgan", "good"} <= registry.models.keys()
    assert "mine" not in registry.models
    assert all(not each.problems for each in registry.plugins if each is not broken)


def test_plugins_lists_every_problem_with_its_origin(install: Install) -> None:
    for kind, (code, _) in BROKEN.items():
        install(f"bad_{kind}", code)
    text = ganzoo("plugins")
    rows = {row["name"]: row for row in json.loads(ganzoo("plugins", "--json").output)}
    assert text.exit_code == 0
    for kind, (_, expected) in BROKEN.items():
        row = rows[f"bad_{kind}"]
        assert (row["origin"], row["module"]) == (f"dist-of-bad_{kind} 1.5", f"bad_{kind}")
        assert expected in row["problems"][0]
        assert row["problems"][0] in text.output
    assert rows["ganzoo_lsgan"]["provides"] == {"models": ["lsgan"], "zoo_models": ["lsgan-avatars", "lsgan-mnist"]}
    assert rows["ganzoo_lsgan"]["problems"] == []


def test_help_and_listings_work_beside_broken_plugins(install: Install) -> None:
    for kind, (code, _) in BROKEN.items():
        install(f"bad_{kind}", code)
    for arguments in (["--help"], ["train", "--help"], ["train", "lsgan", "--help"], ["models"], ["data", "list"]):
        result = ganzoo(*arguments)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("written", ["bad_raises", "bad-raises", "dist-of-bad_raises"])
def test_using_a_broken_plugins_model_gives_its_error(install: Install, written: str) -> None:
    install("bad_raises", BROKEN["raises"][0])
    result = ganzoo("train", written)
    assert result.exit_code == PluginError.exit_status
    assert result.output == (
        f"Error: model '{written}': its plugin (dist-of-bad_raises 1.5) is broken: "
        "import of bad_raises failed: RuntimeError: no luck (bad_raises.py, line 1)\n"
    )


def test_the_error_for_an_unknown_model_names_the_near_match_and_the_broken_plugins(install: Install) -> None:
    install("bad_raises", BROKEN["raises"][0])
    with pytest.raises(OptionError, match=r"called 'lsgn'. Did you mean 'lsgan'\? Some plugins .*\(bad_raises\)"):
        plugins.load().model("lsgn")


def test_a_taken_name_stays_with_its_owner(install: Install) -> None:
    # The plugin's name sorts first, but bundled plugins are loaded before it.
    install("aaa", MODEL + 'Model.name = "lsgan"\n@ganzoo.hookimpl\ndef ganzoo_models(): return [Model()]')
    registry = plugins.load()
    assert type(registry.model("lsgan")).__module__ == "ganzoo_lsgan"
    (problem,) = plugin(registry, "aaa").problems
    assert problem.startswith("model 'lsgan' is already registered by ganzoo ")


def test_the_valid_models_of_a_faulty_plugin_can_be_used(install: Install) -> None:
    install("half", MODEL + "@ganzoo.hookimpl\ndef ganzoo_models(): return [42, Model()]")
    registry = plugins.load()
    assert "mine" in registry.models
    assert plugin(registry, "half").problems == ["42 is not a Model"]


def test_a_command_of_ganzoos_own_is_not_replaced(install: Install) -> None:
    install("thief", GOOD.replace('"greet"', '"train"'))
    registry = plugins.load(reserved=COMMANDS)
    assert plugin(registry, "thief").problems == ["command 'train' is one of ganzoo's own; this one is skipped"]
    assert registry.commands == {}


def test_third_party_data_commands_are_added_to_ganzoos_own(install: Install) -> None:
    install("counting", DATA_COMMAND)
    assert plugin(plugins.load(), "counting").provides == {"data_commands": ["count"]}
    assert "data commands: count" in ganzoo("plugins").output
    assert ganzoo("data", "count").output == "one two three\n"
    listed = ganzoo("data", "--help").output
    assert "Count to three." in listed
    assert "prepare" in listed


def test_a_data_command_of_ganzoos_own_is_not_replaced(install: Install) -> None:
    install("thief", DATA_COMMAND.replace('"count"', '"list"'))
    rows = {row["name"]: row for row in json.loads(ganzoo("plugins", "--json").output)}
    assert rows["thief"]["problems"] == ["command 'data list' is one of ganzoo's own; this one is skipped"]
    assert "one two three" not in ganzoo("data", "list").output


def test_a_taken_data_command_stays_with_its_owner(install: Install) -> None:
    install("aaa", DATA_COMMAND)
    install("bbb", DATA_COMMAND.replace("one two three", "four"))
    (problem,) = plugin(plugins.load(), "bbb").problems
    assert problem == "command 'data count' is already registered by dist-of-aaa 1.5; this one is skipped"
    assert ganzoo("data", "count").output == "one two three\n"


def test_one_module_under_two_names_is_one_plugin(install: Install) -> None:
    install("twice", GOOD + "\n@ganzoo.hookimpl\ndef ganzoo_tick(run, stats): raise OSError", one="twice", two="twice")
    registry = plugins.load()
    assert plugin(registry, "one").problems == []
    assert plugin(registry, "two").problems == ["twice is already registered, as dist-of-twice:one"]
    assert len(registry.notify("ganzoo_tick", run=Path(), stats={})) == 1


def test_a_plugin_that_imports_jittor_gets_a_problem(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jittor", None)  # so that the module is restored after the test
    monkeypatch.delitem(sys.modules, "jittor")
    install("heavy", 'import sys\nsys.modules["jittor"] = sys\n' + GOOD)
    registry = plugins.load()
    assert plugin(registry, "heavy").problems == [
        "heavy imports jittor, so every command waits for it; import it in build, as ganzoo.jt"
    ]
    assert "good" in registry.models


def test_a_failed_import_of_jittor_says_how_to_import_it(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jittor", None)  # so that the module is restored after the test
    monkeypatch.delitem(sys.modules, "jittor")
    (tmp_path / "jittor").mkdir()
    (tmp_path / "jittor" / "__init__.py").write_text('raise OSError("libcudart.so: cannot open shared object file")')
    install("heavy", "import jittor as jt\n" + GOOD)
    install("other", "raise OSError('of its own')")
    registry = plugins.load()
    (problem,) = plugin(registry, "heavy").problems
    assert problem == (
        "import Jittor, and modules that use it, only inside build; import of heavy failed: "
        "OSError: libcudart.so: cannot open shared object file (heavy.py, line 1)"
    )
    assert plugin(registry, "other").problems == ["import of other failed: OSError: of its own (other.py, line 1)"]


@pytest.mark.parametrize("code", ["from ganzoo import jt", "import ganzoo\nclass G(ganzoo.Generator): pass"])
def test_networks_that_are_imported_outside_build_are_named(install: Install, tmp_path: Path, code: str) -> None:
    (tmp_path / "early").mkdir()
    (tmp_path / "early" / "networks.py").write_text(code)
    (tmp_path / "early" / "__init__.py").write_text("import ganzoo\nfrom early.networks import G\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    script = (
        "from importlib import metadata\nfrom ganzoo.registry import plugins\n"
        "print(plugins.load([metadata.EntryPoint('early', 'early', 'ganzoo')]).plugins[-1].problems[0])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == (
        "import Jittor, and modules that use it, only inside build; import of early failed: "
        "Jittor is not started yet (__init__.py, line 2)\n"
    )


def test_the_event_hooks_of_a_plugin_are_listed(install: Install) -> None:
    install("listener", "import ganzoo\n@ganzoo.hookimpl\ndef ganzoo_tick(run, stats): pass")
    assert plugin(plugins.load(), "listener").provides == {"events": ["tick"]}
    assert any(line.endswith("events: tick") for line in ganzoo("plugins").output.splitlines())


def test_a_damaged_entry_points_file_is_reported_and_stops_no_other(install: Install, tmp_path: Path) -> None:
    install("good", GOOD)
    install("damaged", GOOD)
    (tmp_path / "dist_of_damaged-1.5.dist-info" / "entry_points.txt").write_text("[ganzoo]\nno equals sign\n")
    registry = plugins.load()
    assert {"lsgan", "good"} <= registry.models.keys()
    (problem,) = plugin(registry, "dist-of-damaged").problems
    assert problem.startswith("entry_points.txt is damaged: ")


def test_entry_points_can_be_given() -> None:
    registry = plugins.load([metadata.EntryPoint("any", "ganzoo_lsgan", "ganzoo")])
    assert list(registry.models) == ["lsgan"]
    assert plugin(registry, "any").origin == "unknown"


@pytest.mark.parametrize("value", ["no module", "ganzoo_lsgan:missing", "ganzoo.nowhere", ""])
def test_an_entry_point_that_leads_nowhere_is_a_problem(value: str) -> None:
    registry = plugins.load([metadata.EntryPoint("any", value, "ganzoo")])
    assert plugin(registry, "any").problems[0].startswith(f"import of {value} failed: ")


def test_a_folder_that_shadows_a_package_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the current folder has a folder with the package's name, Python imports that as a namespace package."""
    (tmp_path / "hidden_gan").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    registry = plugins.load([metadata.EntryPoint("hidden", "hidden_gan", "ganzoo")])
    assert plugin(registry, "hidden").problems == [
        f"the folder {tmp_path / 'hidden_gan'} shadows the package of the same name; run ganzoo from another folder"
    ]


def test_ganzoo_plugins_chooses_what_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANZOO_PLUGINS", "ganzoo_gan, ganzoo_lsgn")
    registry = plugins.load()
    assert list(registry.models) == ["gan"]
    assert plugin(registry, "ganzoo_lsgn").problems == [
        "no plugin 'ganzoo_lsgn' is installed. Did you mean 'ganzoo_lsgan'?"
    ]
    monkeypatch.setenv("GANZOO_PLUGINS", "")
    assert plugins.load().plugins == []
    with pytest.raises(OptionError, match="GANZOO_PLUGINS is set, so other plugins are not loaded"):
        plugins.load().model("gan")


def test_ganzoo_trace_plugins_prints_loading_and_hook_calls(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("loud", GOOD + "\n@ganzoo.hookimpl\ndef ganzoo_tick(stats): raise OSError('disk')")
    plugins.load()
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("GANZOO_TRACE_PLUGINS", "1")
    plugins.load().notify("ganzoo_tick", run=Path(), stats={})
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    assert ["ganzoo", "plugins:", "dist-of-loud:loud", "ganzoo_models()"] in [line[:4] for line in lines]
    assert ["ganzoo", "plugins:", "loud", "(dist-of-loud", "1.5)"] in [line[:5] for line in lines]
    (event,) = [line[2:] for line in lines if line[2:4] == ["dist-of-loud:loud", "ganzoo_tick(stats)"]]
    assert event[-2:] == ["OSError:", "disk"]
