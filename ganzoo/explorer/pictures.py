"""The pictures that the explorer shows, drawn through the Python API, and the commands that make the same."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.errors import OptionError, printable
from ganzoo.explorer.images import Images
from ganzoo.explorer.state import State
from ganzoo.sampling.image_files import to_pil
from ganzoo.sampling.plane import seed_at

if TYPE_CHECKING:
    from ganzoo.api.controls import Controls
    from ganzoo.api.loaded import LoadedRun

PNG_LEVEL = 1  # fast; at 64 px, level 6 takes three times as long for a tenth less


def draw(run: LoadedRun, controls: Controls, state: State, images: Images) -> np.ndarray:
    """Return what a state shows, uint8 (H, W, C). GanzooError if the model has no such class or layers."""
    if controls.translates:
        return _translated(run, controls, state, images)
    look: dict[str, Any] = {"classes": _class(controls, state), **_style(controls, state)}
    if controls.style_layers and state.mix is not None:
        look |= {"mix_with": state.mix, "mix_layers": state.layers}
    if state.whole:
        look["seeds"] = seed_at(int(state.x), int(state.y))
    else:
        look["at"] = state.point
    return np.asarray(run.generate(**look))[0]


def _translated(run: LoadedRun, controls: Controls, state: State, images: Images) -> np.ndarray:
    if state.source is None:
        raise OptionError("choose an image to translate.")
    source = images.get(state.source)
    if not controls.looks:
        source_domain, target = _direction(controls, state)
        leading = [first for first, last in controls.directions if last == target]
        made = run.translate(source.pixels, domain=target)[leading.index(source_domain)]
        return source.without_padding(np.asarray(made))
    domain = state.domain or controls.domains[0]
    if state.reference is not None:
        made = run.translate(source.pixels, domain=domain, reference=images.get(state.reference).pixels)
    else:
        made = run.translate(source.pixels, domain=domain, seeds=state.seed, psi=state.psi)
    return source.without_padding(np.asarray(made)[0])


def _direction(controls: Controls, state: State) -> tuple[str, str]:
    """Return the source and target domain of a state's direction, which is named by its number."""
    number = state.direction or "0"
    if not number.isdecimal() or int(number) >= len(controls.directions):
        raise OptionError(f"direction: {number[:40]!r} is not one of the {len(controls.directions)} of the model.")
    return controls.directions[int(number)]


def _class(controls: Controls, state: State) -> str | None:
    if not controls.classes:
        return None
    chosen = controls.classes[0] if state.class_ is None else state.class_
    if chosen not in controls.classes:
        raise OptionError(f"class: the model has no class {chosen[:40]!r}.")
    return chosen


def _style(controls: Controls, state: State) -> dict[str, Any]:
    return {"psi": state.psi, "noise": state.noise} if controls.style_layers else {}


def command(run_name: str, controls: Controls, state: State, images: Images) -> str:
    """Return the command line that makes the same picture as a state shows."""
    words = ["ganzoo", "generate", run_name]
    if controls.translates:
        words += _translation_options(controls, state, images)
    else:
        words += _place_options([state]) + _class_options(controls, [state]) + _style_options(controls, state)
        if controls.style_layers and state.mix is not None:
            words += ["--mix-with", str(state.mix), "--mix-layers", state.layers]
    return quoted(words)


def walk_command(run_name: str, controls: Controls, stops: Sequence[State], settings: Sequence[str]) -> str:
    """Return the command line that makes the same walk through favourites; the first gives psi and noise."""
    places = [*_place_options(stops), *_class_options(controls, stops), *_style_options(controls, stops[0])]
    return quoted(["ganzoo", "generate", run_name, "--interpolate", *places, "--grid", "1x1", *settings])


def _place_options(states: Sequence[State]) -> list[str]:
    if all(state.whole for state in states):
        return ["--seeds", ",".join(str(seed_at(int(state.x), int(state.y))) for state in states)]
    return [word for state in states for word in ("--at", f"{_number(state.x)},{_number(state.y)}")]


def _class_options(controls: Controls, states: Sequence[State]) -> list[str]:
    chosen = [name for state in states if (name := _class(controls, state)) is not None]
    return ["--class", ",".join(chosen if len(set(chosen)) > 1 else chosen[:1])] if chosen else []


def _style_options(controls: Controls, state: State) -> list[str]:
    if not controls.style_layers:
        return []
    given = {"--psi": None if state.psi is None else _number(state.psi), "--noise": state.noise}
    return [word for name, value in given.items() if value is not None for word in (name, value)]


def _translation_options(controls: Controls, state: State, images: Images) -> list[str]:
    source = "IMAGE" if state.source is None else images.get(state.source).file
    words = ["--source", source]
    if not controls.looks:
        return [*words, "--domain", _direction(controls, state)[1]]
    words += ["--domain", state.domain or controls.domains[0]]
    if state.reference is not None:
        return [*words, "--reference", images.get(state.reference).file]
    psi = [] if state.psi is None else ["--psi", _number(state.psi)]
    return [*words, "--seeds", str(state.seed), *psi]


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)


def quoted(words: Sequence[str]) -> str:
    """Return words as a line for a shell."""
    return shlex.join(map(printable, words))


def png(image: np.ndarray) -> bytes:
    """Encode a picture uint8 (H, W, C) as PNG, fast."""
    buffer = io.BytesIO()
    to_pil(image).save(buffer, "png", compress_level=PNG_LEVEL)
    return buffer.getvalue()
