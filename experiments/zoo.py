"""Make an entry of the zoo from a run, or replace one.

    python experiments/zoo.py 00000-lsgan-mnist lsgan-mnist \\
        --summary "Handwritten digits." --data-license "CC BY-SA 3.0"
    python experiments/zoo.py 00003-lsgan-mnist lsgan-mnist    # a better run; keeps the texts

Exports the networks of RUN (a run or a checkpoint) that generate images as float16, evaluates the file, draws a sheet,
and writes NAME.safetensors, NAME.json (the card) and NAME.png to the folder `weights` of the model's package. Then
updates the sections of experiments/zoo.md. Commit all four files.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import ganzoo
from ganzoo.checkpoints import exporting, loading
from ganzoo.checkpoints.checkpoint import Checkpoint
from ganzoo.checkpoints.opening import open_checkpoint
from ganzoo.checkpoints.zoo import describe, sha256_of
from ganzoo.cli import main as command_line
from ganzoo.data.catalog import open_data, training_data_of
from ganzoo.errors import GanzooError, OptionError
from ganzoo.files import atomic_write, format_bytes
from ganzoo.interfaces.options import flag
from ganzoo.interfaces.zoo import CARD, PICTURE, TEXTS, WEIGHTS
from ganzoo.metrics.records import recipe_id
from ganzoo.registry import plugins
from ganzoo.registry.discovery import BUNDLED
from ganzoo.registry.plugins import Registry
from ganzoo.sampling import image_files
from ganzoo.sharing.recipe import train_command

PAGE = Path(__file__).with_suffix(".md")
SECTIONS = re.compile(r"(<!-- entries -->\n).*(<!-- end -->\n)", re.DOTALL)
MAX_BYTES = 8_000_000  # of the weights: a wheel with all entries must stay below 40 MB
SAMPLES, SAMPLES_PER_PAIR, MAX_REAL = 5_000, 200, 10_000
SOURCES, STYLES = 6, 8  # columns and rows of a sheet of translations
ROW_WIDTH, SHEET_IMAGES = 1024, 96  # px; a sheet of samples has at most this many


def make_entry(
    saved: Checkpoint,
    registry: Registry,
    name: str,
    folder: Path,
    texts: dict[str, str],
    *,
    all_networks: bool,
    **counts: Any,
) -> None:
    """Write the three files of an entry to a folder. `texts` are those of the card that the user gave; others are kept
    from the present card. `counts` are the numbers of `samples` and `real` images of the metrics."""
    card = {"license": "MIT", **_present_texts(folder / f"{name}{CARD}"), **texts}
    if missing := [each for each in ("summary", "data_license") if not card.get(each)]:
        raise OptionError(f"{flag(missing[0])}: needed for a new entry.")
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / f"{name}{WEIGHTS}"
        exporting.export(saved, registry, weights, slim=True, all_networks=all_networks)
        if weights.stat().st_size > MAX_BYTES:
            size, limit = map(format_bytes, (weights.stat().st_size, MAX_BYTES))
            raise OptionError(f"{name}: its file would have {size}, but at most {limit} are allowed; train less wide.")
        arguments, sources = usage(saved, registry)
        card["usage"] = shlex.join(["ganzoo", "generate", f"zoo:{name}", *sources, *arguments])
        card["recipe"] = texts.get("recipe") or train_command(saved, saved.model(registry))
        card["sha256"] = sha256_of(weights)
        metrics = measure(saved, registry, weights, **counts)
        picture = draw_sheet(saved, registry, weights, arguments)
        content = json.dumps({**{each: card[each] for each in TEXTS}, "metrics": metrics}, indent=2, ensure_ascii=False)
        folder.mkdir(exist_ok=True)
        atomic_write(folder / weights.name, weights.read_bytes())
        atomic_write(folder / f"{name}{PICTURE}", picture.read_bytes())
        atomic_write(folder / f"{name}{CARD}", f"{content}\n".encode())


def _present_texts(card: Path) -> dict[str, str]:
    if not card.exists():
        return {}
    return {name: json.loads(card.read_text())[name] for name in ("summary", "license", "data_license")}


def usage(saved: Checkpoint, registry: Registry) -> tuple[list[str], list[str]]:
    """Return the arguments of `ganzoo generate` that draw the sheet, and those that name images to translate."""
    model = saved.model(registry)
    translator = loading.translator_of(saved, registry)
    if isinstance(translator, ganzoo.DirectTranslator):
        return [], ["--source", "my-images"]
    if translator is not None:
        return ["--seeds", f"0-{max(1, STYLES // len(saved.data.domains)) - 1}"], ["--source", "my-images"]
    if model.is_conditional(saved.options(model)) and saved.data.domains:
        return [], []  # a row for each class
    columns = max(4, min(12, ROW_WIDTH // loading.trained_sizes(saved, registry)[-1]))
    rows = max(4, min(SHEET_IMAGES // columns, columns))
    return ["--seeds", f"0-{rows * columns - 1}", "--grid", f"{rows}x{columns}"], []


def measure(saved: Checkpoint, registry: Registry, weights: Path, samples: int | None, real: int) -> dict[str, float]:
    """Return the metrics of an exported file by their full names."""
    translating = loading.translator_of(saved, registry) is not None
    samples = samples or (SAMPLES_PER_PAIR if translating else SAMPLES)
    record = ganzoo.load(weights).evaluate(samples=samples, real=real, against=saved.run.data_path).record
    found = {}
    for mode, numbers in record["mean"].items():
        counts = [(each["samples"], each["real"]) for each in record["results"] if each["mode"] == mode]
        for name, value in numbers.items():
            backbone = record["recipe"]["backbones"][name]
            found[recipe_id(name, *min(counts), mode, backbone)] = float(f"{value:.4g}")
    return found


def draw_sheet(saved: Checkpoint, registry: Registry, weights: Path, arguments: list[str]) -> Path:
    """Draw the sheet with the exported file, and return its path."""
    out, sources = weights.with_name("sheet"), weights.with_name("sources")
    if loading.translator_of(saved, registry) is not None:
        _write_sources(saved, registry, sources)
        arguments = ["--source", str(sources), *arguments]
    command_line(["generate", str(weights), *arguments, "--out", str(out)], "ganzoo", standalone_mode=False)
    return out / "grid.png"


def _write_sources(saved: Checkpoint, registry: Registry, folder: Path) -> None:
    """Write some validation images of each domain, from all over the set, to a folder."""
    dataset = open_data(
        training_data_of(saved.run.data_name, saved.run.data_path, registry), registry, labels=saved.run.labels
    )
    dataset = dataset.validation() or dataset
    labels, domains = dataset.labels(), len(saved.data.domains)
    folder.mkdir()
    for domain in range(domains):
        count, members = max(1, SOURCES // domains), np.flatnonzero(labels == domain)
        # Domains begin with the same letters or people: another part of the set for each.
        for index in np.roll(members, -domain * len(members) // domains)[:: max(1, len(members) // count)][:count]:
            image_files.save(folder / f"{domain}-{index}.png", dataset.load(int(index))[0])


def fill_in(page: str, folder: Path, registry: Registry) -> str:
    """Return the page, in `folder`, with a section for each entry that ganzoo's own plugins bring."""
    entries = [
        describe(entry)
        for name, entry in sorted(registry.zoo_models.items())
        if (plugin := registry.plugin_of("zoo_models", name)) and plugin.distribution == BUNDLED
    ]
    sections = "\n".join(line for entry in entries for line in _section(entry, folder))
    return SECTIONS.sub(lambda match: f"{match[1]}\n{sections}\n{match[2]}", page)


def _section(entry: dict[str, Any], folder: Path) -> Iterator[str]:
    yield from (f"## {entry['name']}", "", entry["summary"], "")
    if entry["picture"]:
        yield from (f"![Sheet of {entry['name']}]({os.path.relpath(entry['picture'], folder)})", "")
    yield from ("```bash", entry["usage"], "```", "", "| | |", "|---|---|")
    yield f"| model | `{entry['model']}`, {entry['size']} px, {format_bytes(entry['bytes'])} |"
    yield f"| data | `{entry['data']}`: {entry['data_license']} |"
    yield f"| training | {entry['kimg']:g} kimg: `{entry['recipe']}` |"
    yield f"| metrics | {'<br>'.join(f'{name} {value:.4g}' for name, value in entry['metrics'].items())} |"
    yield f"| licence | {entry['license']} |"
    yield ""


def folder_of(model: Any) -> Path:
    """Return the folder `weights` in the package of a model."""
    package = sys.modules[type(model).__module__.partition(".")[0]]
    return Path(str(package.__file__)).parent / "weights"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", help="run or checkpoint")
    parser.add_argument("name", metavar="NAME", help="name of the entry, such as lsgan-mnist")
    parser.add_argument("--summary", help="what the model draws, one sentence")
    parser.add_argument("--data-license", help="licence of the training data")
    parser.add_argument("--license", help="licence of the weights  [default: MIT]")
    parser.add_argument("--recipe", help="command that trained it  [default: made from the run's options]")
    parser.add_argument("--all-networks", action="store_true", help="keep the discriminator, as in `ganzoo export`")
    parser.add_argument("--samples", type=int, help="generated images  [default: 5,000; 200 per pair of domains]")
    parser.add_argument("--real", type=int, default=MAX_REAL, help="maximum number of real images  [default: 10,000]")
    parser.add_argument("--folder", type=Path, help="where to write  [default: `weights` in the model's package]")
    parser.add_argument("--experiments", type=Path, default="experiments", help="folder of all runs")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    given = parser.parse_args()
    texts = {name: getattr(given, name) for name in ("summary", "data_license", "license", "recipe")}
    try:
        registry = plugins.load()
        saved, _ = open_checkpoint(given.run, given.experiments, registry, lambda *found: found, print)
        folder = given.folder or folder_of(saved.model(registry))
        ganzoo.start(given.device)
        chosen = {name: text for name, text in texts.items() if text}
        counts = {"samples": given.samples, "real": given.real}
        make_entry(saved, registry, given.name, folder, chosen, all_networks=given.all_networks, **counts)
        atomic_write(PAGE, fill_in(PAGE.read_text(), PAGE.parent, plugins.load()).encode())
    except GanzooError as error:
        sys.exit(f"Error: {error}")
    print(f"{folder / given.name}{WEIGHTS}, {CARD} and {PICTURE} are written, and {PAGE} is updated")


if __name__ == "__main__":
    main()
