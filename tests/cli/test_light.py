"""Listings and help must not wait for Jittor, NumPy or Pillow."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = [
    ["--help"],
    ["--version"],
    ["train", "--help"],
    ["train", "lsgan", "--help"],
    ["train", "gan", "--help"],
    ["generate", "--help"],
    ["evaluate", "--help"],
    ["metrics"],
    ["models"],
    ["plugins", "--json"],
    ["train", "stylegan", "--help"],
    ["data", "--help"],
    ["data", "list"],
    ["data", "prepare", "--help"],
    ["data", "show", "--help"],
    ["data", "download", "--help"],
    ["data", "align", "--help"],
    ["train", "stargan2", "--help"],
    ["import", "--help"],
    ["import", "stylegan", "--help"],
    ["import", "stargan2", "--help"],
    ["runs"],
    ["runs", "--sort", "kimg", "--json"],
    ["explore", "--help"],
    ["card", "--help"],
    ["push", "--help"],
    ["zoo"],
    ["zoo", "lsgan-mnist"],
    ["new-plugin", "--help"],
    ["doctor", "--help"],
]
BLOCKED = """
import sys
HEAVY = "jittor jittor_utils numpy PIL lmdb matplotlib safetensors".split()
class BlockingFinder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise AssertionError(name + " was imported")
sys.meta_path.insert(0, BlockingFinder())
from ganzoo.cli import main
main(sys.argv[1:], prog_name="ganzoo")
"""


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_heavy_module_is_imported(command, workdir):
    child = subprocess.run([sys.executable, "-c", BLOCKED, *command], capture_output=True, text=True, check=False)
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip()


def test_the_names_of_data_commands_are_known_without_importing_them():
    from ganzoo.cli.commands import DATA_COMMANDS
    from ganzoo.cli.data import data

    assert sorted(data.commands) == list(DATA_COMMANDS)
