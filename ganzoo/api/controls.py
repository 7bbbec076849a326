"""What can be chosen when a run generates or translates images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ganzoo.interfaces.dataset import DataInfo
from ganzoo.interfaces.translator import DirectTranslator
from ganzoo.sampling.latents import class_names


@dataclass(frozen=True)
class Controls:
    """What can be chosen when a run generates or translates images.

    `translates` says whether it makes images from others, and `looks` whether a seed or a reference then chooses one of
    several looks. `directions` are the pairs (source, target) of domains that a model without looks translates between.
    A model that generates from latents may have `classes`, and `style_layers`, the number of layers that have a style:
    0 unless the model is style-based, without `psi`, noise and mixing.
    """

    translates: bool = False
    looks: bool = False
    domains: tuple[str, ...] = ()
    directions: tuple[tuple[str, str], ...] = ()
    classes: tuple[str, ...] = ()
    style_layers: int = 0


def controls_of_generator(generator: Any, data: DataInfo) -> Controls:
    """Return what can be chosen with a generator."""
    from ganzoo.interfaces.networks import StyleGenerator  # not at the top: requires that Jittor has been started

    classes = tuple(class_names(generator.classes, data.domains)) if generator.classes else ()
    styles = generator.style_layers() if isinstance(generator, StyleGenerator) else 0
    return Controls(classes=classes, style_layers=styles)


def controls_of_translator(translator: Any, data: DataInfo) -> Controls:
    """Return what can be chosen with a translator."""
    names = tuple(data.domains)
    if isinstance(translator, DirectTranslator):
        pairs = tuple((names[source], names[target]) for source, target in translator.directions)
        return Controls(translates=True, domains=names, directions=pairs)
    return Controls(translates=True, looks=True, domains=names)
