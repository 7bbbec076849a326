"""Base classes of networks. They subclass Jittor's, so Jittor must have been started: import this module inside
`Model.build`."""

from __future__ import annotations

import traceback
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ganzoo.backend import jittor, run_pending
from ganzoo.errors import CheckpointError, PluginError, ShapeError
from ganzoo.interfaces import augmentation
from ganzoo.interfaces.noise import constant_noise

jt: Any = jittor()


class Network(jt.nn.Module):  # type: ignore[misc]
    """A Jittor module whose weights can be listed, saved and restored strictly.

    Every attribute that is a `jt.Var` counts as a weight unless its name starts with '_'. Weights with stop_grad are
    buffers (running statistics), which are saved but not trained. Change buffers with `Var.update`, so that they can be
    restored if an update is skipped.
    """

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call `execute`. ShapeError, naming the layer, if an array is empty or does not fit a layer."""
        for value in (*arguments, *named.values()):
            if isinstance(value, jt.Var) and 0 in value.shape:
                raise ShapeError(f"{type(self).__name__} was given an empty array, of shape {tuple(value.shape)}.")
        try:
            return super().__call__(*arguments, **named)
        except ShapeError as error:
            if error.__cause__ is not None:  # already named by a network inside this one
                raise
            raise ShapeError(f"{type(self).__name__}{self._failing_layer(error)[0]}: {error}") from error
        except AssertionError as error:  # Jittor's own layers check shapes by `assert`, often without a message
            name, layer, shapes = self._failing_layer(error)
            if not type(layer).__module__.startswith("jittor."):
                raise
            weight = getattr(layer, "weight", None)
            sizes = f"; its weight has shape {tuple(weight.shape)}" if isinstance(weight, jt.Var) else ""
            raise ShapeError(
                f"{type(self).__name__}{name}: Jittor's {type(layer).__name__} does not fit an array of shape {shapes}"
                f"{sizes}."
            ) from error

    def _failing_layer(self, error: BaseException) -> tuple[str, Any, str]:
        """Return '.' and the dotted name of the innermost layer that the error passed through ('' for the network
        itself), the layer, and the shapes of the arrays that it was given."""
        names = {id(module): f".{name}" for name, module in self.named_modules() if name}
        found: tuple[str, Any, str] = "", self, ""
        for frame, _ in traceback.walk_tb(error.__traceback__):
            module = frame.f_locals.get("self")
            if id(module) in names and frame.f_code.co_name == "execute":
                given = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[: frame.f_code.co_argcount]]
                shapes = [str(tuple(each.shape)) for each in given if isinstance(each, jt.Var)]
                found = names[id(module)], module, " and ".join(shapes)
        return found

    def state(self) -> dict[str, Any]:
        """Return all weights and buffers by dotted name, as live Vars."""
        return dict(self.state_dict())

    def trainable(self) -> dict[str, Any]:
        """Return the weights that an optimizer updates, by dotted name."""
        return {name: var for name, var in self.state().items() if not var.is_stop_grad()}

    def parameter_count(self) -> int:
        """Return the number of trainable parameters."""
        return sum(int(np.prod(var.shape)) for var in self.trainable().values())

    def grow(self, size: int, alpha: float) -> None:
        """Work on images of `size` px from now on, with the newest resolution faded in by `alpha` in [0, 1].

        Called before each step and before sampling. A network that does not grow ignores the call.
        """

    def active_weights(self) -> dict[str, Any]:
        """Return the trainable weights that the current resolution uses, by dotted name. The others are neither updated
        nor averaged."""
        return self.trainable()

    def weight_scales(self) -> dict[str, float]:
        """Return the factors by which the network multiplies weights before it uses them, by dotted name, as with
        equalised learning rate (Karras et al. 2018, section 4.1). A weight that is left out has the factor 1.

        A run that starts with the weights of another network keeps the products, though the factors may differ.
        """
        return {}

    def train(self) -> None:
        """Switch to training mode (batch statistics, dropout)."""
        self._set_training(True)

    def eval(self) -> None:
        """Switch to inference mode. Unlike Jittor's own `eval`, this does not freeze the weights."""
        self._set_training(False)

    def _set_training(self, training: bool) -> None:
        for module in self.modules():
            module.is_train = training

    def check_state(self, values: Mapping[str, np.ndarray]) -> None:
        """Raise CheckpointError if a name is missing or unknown, or if a shape or dtype differs. Computes nothing, so a
        newly built network need not allocate memory yet."""
        state = self.state()
        missing, unknown = sorted(state.keys() - values.keys()), sorted(values.keys() - state.keys())
        if missing or unknown:
            what = f"lacks {missing[0]!r}" if missing else f"contains {unknown[0]!r}, which the network lacks"
            raise CheckpointError(f"the checkpoint belongs to another network: it {what}.")
        for name, var in state.items():
            if tuple(var.shape) != values[name].shape:
                raise CheckpointError(
                    f"the checkpoint belongs to another network: {name!r} has shape {values[name].shape}, "
                    f"not {tuple(var.shape)}."
                )
            if values[name].dtype != str(var.dtype):
                raise CheckpointError(f"{name!r} in the checkpoint has dtype {values[name].dtype}, not {var.dtype}.")

    def load_state(self, values: Mapping[str, np.ndarray]) -> None:
        """Replace every weight and buffer. CheckpointError as from `check_state`, before anything is replaced."""
        self.check_state(values)
        for name, var in self.state().items():
            var.update(jt.array(values[name]))
        run_pending()  # Jittor can't fuse a fresh array with a reshape and a broadcast: the kernel would not compile


class Generator(Network):
    """Maps latents z of shape (N, latent), standard normal, to images (N, C, H, W) in [-1, 1].

    A class-conditional generator sets `classes` to the number of classes, and is called with a second argument:
    `labels`, a Var (N, classes). A row is one-hot for an image of one class; for an image between classes, it is a
    weighted mean of such rows.

    A generator whose images have attributes sets `attributes` to their number, `len(data.attributes)`, and is called
    with a second argument: a Var (N, attributes) with the values. It has no classes.
    """

    latent: int
    classes: int = 0
    attributes: int = 0

    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Return images (N, C, H, W). Define it as `execute(self, z)`, or as `execute(self, z, labels)` or
        `execute(self, z, attributes)` if there are classes or attributes."""


class StyleGenerator(Generator):
    """A generator of two parts (Karras et al. 2019, section 2): a mapping network from z to an intermediate latent w,
    and a synthesis network that takes one w per style layer, coarsest first.

    Style layers come in pairs: 0 and 1 at 4 px, 2 and 3 at 8 px, and so on. `w_average`, a Var (width,), is the mean of
    w if the network tracks it; if None, or if there are classes or attributes, the mean is estimated from random z.
    Truncation applies to the first `truncation_layers` layers (None: all).
    """

    w_average: Any = None
    truncation_layers: int | None = None

    @abstractmethod
    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Map z (N, latent) to w (N, width). Define it as `map(self, z)`, or as `map(self, z, labels)` or
        `map(self, z, attributes)` if there are classes or attributes."""

    @abstractmethod
    def noise_sizes(self) -> list[int]:
        """Return the sides in px of an image's noise maps at the current resolution."""

    @abstractmethod
    def synthesise(self, styles: Sequence[Any], noise: Sequence[Any]) -> Any:
        """Return images (N, C, H, W) of the current resolution, not limited to [-1, 1].

        `styles` holds one w (N, width) for each of the `style_layers()`, `noise` one Var (N, 1, side, side) for each of
        `noise_sizes()`.
        """

    @abstractmethod
    def style_layers(self) -> int:
        """Return the number of style layers at the current resolution."""

    def execute(self, z: Any, *conditions: Any) -> Any:
        """Return images in [-1, 1], with one style in all layers and the same noise every time."""
        noise = [jt.array(values) for values in constant_noise(self.noise_sizes(), len(z))]
        return self.synthesise([self.map(z, *conditions)] * self.style_layers(), noise).clamp(-1.0, 1.0)


class Discriminator(Network):
    """Maps images (N, C, H, W) in [-1, 1], and in a conditional model their labels (N, classes) or attributes
    (N, attributes), to unbounded scores (N, 1); higher is more real. A discriminator of patches has scores (N, 1, h, w)
    (Isola et al. 2017).

    With `--augment`, a discriminator in training mode sees augmented images: they are its first argument, and its
    scores, or the first of several results, are those of the augmented images.

    `decision_boundary` is the score at which an image is as likely real as generated: 0 for logistic and hinge losses,
    0.5 for least squares with targets 0 and 1. `--augment ada` counts how many real images are above it.
    """

    decision_boundary: float = 0.0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call `execute`, with augmented images if training augments them. Other arguments are passed unchanged."""
        current = augmentation.current()
        if current is None or not getattr(self, "is_train", False):
            return super().__call__(*arguments, **named)
        if not arguments:
            raise PluginError(f"{type(self).__name__}: pass the images as the first argument, not by keyword.")
        images, *others = arguments
        with augmentation.augmenting(None):  # a discriminator inside this one gets images that are augmented already
            scores = super().__call__(current.augment(images), *others, **named)
        if images.id in current.reals:
            current.observe(scores, current.reals[images.id][1], self.decision_boundary)
        return scores

    def freezable_blocks(self) -> Sequence[Sequence[str]]:
        """Return the blocks that `--freeze-d` can freeze, the one nearest to the image first: for each, the prefixes of
        its weights' names, as in [("from_rgb.", "blocks.0."), ("blocks.1.",)]. The default is none.

        A network that grows names the blocks of its last resolution first.
        """
        return ()

    @abstractmethod
    def execute(self, *args: Any, **kwargs: Any) -> Any:
        """Return scores (N, 1). Define it as `execute(self, images)`, or with further arguments."""


def init_dcgan(network: Network, std: float) -> None:
    """Initialise as in DCGAN (Radford et al. 2016): convolution weights from N(0, std^2), the scales of normalisation
    layers from N(1, std^2), their offsets to 0. Biases and linear layers keep Jittor's defaults."""
    from ganzoo.interfaces.layers import BatchNorm, GroupNorm, InstanceNorm
    from ganzoo.interfaces.spectral_norm import SpectralNorm

    modules = network.modules()
    for module in modules:
        if isinstance(module, (BatchNorm, GroupNorm, InstanceNorm)) and module.weight is not None:
            jt.init.gauss_(module.weight, 1.0, std)
            jt.init.constant_(module.bias, 0.0)
        elif isinstance(module, (jt.nn.Conv, jt.nn.ConvTranspose)):
            jt.init.gauss_(module.weight, 0.0, std)
    for module in modules:
        if isinstance(module, SpectralNorm):
            module.reset()
