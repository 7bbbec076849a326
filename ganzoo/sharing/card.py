"""The card of a run: a README.md as Hugging Face reads it, with metadata as YAML at its top."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import OptionError, format_count, printable
from ganzoo.interfaces.dataset import COLOURS
from ganzoo.interfaces.options import format_value
from ganzoo.metrics.records import Measured, measured
from ganzoo.sampling.request import shortened
from ganzoo.sharing.front_matter import front_matter
from ganzoo.sharing.recipe import train_command, without_folders

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.registry.plugins import Registry

README = "README.md"
PICTURE = "samples.png"  # beside the card
REPOSITORY = "USER/NAME"  # stands for the repository until that is known
_TASKS = {False: "unconditional-image-generation", True: "image-to-image"}  # by whether images are translated
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")


@dataclass(frozen=True)
class CardOptions:
    """What a card says besides what the run knows: the identifier of a `license`, such as 'mit' or 'cc-by-4.0', the
    `datasets` that Hugging Face has the data under (default: the name of the data, unless they were given by path), and
    the `repository` that the model is loaded from."""

    license: str | None = None
    datasets: Sequence[str] = field(default=())
    repository: str = REPOSITORY

    def check(self) -> None:
        """Raise OptionError if a value is not an identifier."""
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            raise OptionError(f"--license {self.license!r}: give an identifier such as mit, apache-2.0 or cc-by-4.0.")
        for name in self.datasets:
            if not _DATASET.fullmatch(name):
                raise OptionError(f"--dataset {name!r}: give the name of a data set, such as mnist or user/faces.")


def card_text(
    saved: Checkpoint, folder: Path, registry: Registry, options: CardOptions, *, translates: bool, picture: bool
) -> str:
    """Return the card of a checkpoint; metrics are those in its run's `folder`. `translates` says whether the model
    translates images, and `picture` whether there is a picture beside the card."""
    values = [each for each in newest_values(saved, folder) if math.isfinite(each.value)]
    parts = [
        _metadata(saved, options, values, translates),
        *_introduction(saved, registry, picture),
        *_usage(options.repository, translates),
        *_training(saved, registry),
        *_evaluation(values),
    ]
    return "\n".join(parts) + "\n"


def newest_values(saved: Checkpoint, folder: Path) -> list[Measured]:
    """Return the last value of each metric that was measured for this checkpoint."""
    images = saved.metadata.progress.images
    found = [each for each in measured(folder, saved.data) if each.record["images"] == images]
    return list({each.recipe_id: each for each in found}.values())


def _metadata(saved: Checkpoint, options: CardOptions, values: Sequence[Measured], translates: bool) -> str:
    data = saved.data.name
    by_name = saved.run.data_path is None and saved.data.count > 0 and _DATASET.fullmatch(data)
    results = {
        "task": {"type": _TASKS[translates]},
        "dataset": {"type": data if _DATASET.fullmatch(data) else "images", "name": data},
        "metrics": [
            {"type": each.name, "value": float(f"{each.value:.6g}"), "name": each.recipe_id, "args": _recipe(each)}
            for each in values
        ],
    }
    return front_matter(
        {
            "license": options.license,
            "library_name": "ganzoo",
            "pipeline_tag": _TASKS[translates],
            "tags": list(dict.fromkeys(["ganzoo", "gan", "image-generation", saved.run.model])),
            "datasets": list(options.datasets) or ([data] if by_name else None),
            "model-index": [{"name": _title(saved), "results": [results]}] if values else None,
        }
    )


def _recipe(value: Measured) -> dict[str, Any]:
    """Return what a metric depends on, besides the images themselves."""
    recipe = value.record["recipe"]
    backbone, result = recipe["backbones"][value.name], value.record["results"][0]
    networks = (recipe.get(kind) for kind in ("perceptual", "features"))
    known = (each["images"] for each in networks if isinstance(each, dict) and each.get("backbone") == backbone)
    return {
        "backbone": backbone,
        "preprocessing": next(known, None),
        "samples": result["samples"],
        "real": result["real"],
        "size": value.record["size"],
        "seed": recipe.get("seed"),
        "ganzoo": recipe.get("ganzoo"),
    }


def _title(saved: Checkpoint) -> str:
    return f"{saved.run.model} on {saved.data.name}"


def _introduction(saved: Checkpoint, registry: Registry, picture: bool) -> Iterator[str]:
    model = saved.model(registry)
    yield f"# {_prose(_title(saved))}\n"
    yield f"{_prose(model.summary[:1].upper() + model.summary[1:])}. {_prose(model.paper)}\n"
    if picture:
        yield f"![Samples]({PICTURE})\n"


def _usage(repository: str, translates: bool) -> Iterator[str]:
    generate = (
        f"ganzoo generate hf:{repository} --source my-image.png"
        if translates
        else f"ganzoo generate hf:{repository} --seeds 0-31"
    )
    call = 'run.translate("my-image.png")' if translates else "run.generate(range(32))"
    yield "## Use\n"
    yield "With ganzoo and its extra `hub` installed:\n"
    yield f"```\n{generate}\n```\n"
    yield f'```python\nimport ganzoo\n\nrun = ganzoo.load("hf:{repository}")\n{call}.save("images.png")\n```\n'


def _training(saved: Checkpoint, registry: Registry) -> Iterator[str]:
    model, data = saved.model(registry), saved.data
    train = saved.run.train_options(model.defaults).to_dict()
    if saved.run.data_path is not None:
        train["data"] = data.name
    own = saved.options(model).to_dict()
    names = f"; domains: {shortened(data.domains)}" if data.domains else ""
    names += f"; attributes: {shortened(data.attributes)}" if data.attributes else ""
    yield "## Training\n"
    yield "| | |\n|---|---|"
    count = format_count(data.count, "image")
    yield f"| data | {_prose(f'{data.name}, {count}, {data.size} px, {COLOURS[data.channels]}{names}')} |"
    yield f"| length | {saved.metadata.progress.kimg:g} kimg (thousands of real images) |"
    lineage = saved.run.lineage
    if lineage is not None:
        start = f"{lineage.name}, trained for {lineage.kimg:g} kimg on {lineage.data}, SHA-256 {lineage.sha256}"
        yield f"| began with | {_prose(start)} |"
    if saved.run.version:
        yield f"| trained with | ganzoo {_prose(saved.run.version)} |"
    yield f"\n```\n{train_command(saved, model)}\n```\n"
    yield "<details><summary>All options</summary>\n"
    yield "| option | value |\n|---|---|"
    for name, value in sorted({**train, **own}.items()):
        if value is not None:
            yield f"| `{name}` | {_prose(format_value(without_folders(value)))} |"
    yield "\n</details>\n"


def _evaluation(values: Sequence[Measured]) -> Iterator[str]:
    if not values:
        return
    yield "## Evaluation\n"
    yield "Compare values only with those of the same backbone, image size and numbers of images.\n"
    yield "| metric | value | samples | real images | backbone |\n|---|---|---|---|---|"
    for each in values:
        recipe = _recipe(each)
        counts = f"{recipe['samples']:,} | {recipe['real']:,}"
        yield f"| {_prose(each.recipe_id)} | {each.value:.4g} | {counts} | {_prose(str(recipe['backbone']))} |"


def _prose(text: str) -> str:
    """Make a text safe for a paragraph or a cell of a table in Markdown."""
    return html.escape(printable(text), quote=False).replace("|", "\\|")
