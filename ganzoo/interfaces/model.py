"""What a plugin registers: a model's name, its options, and how to build its networks and loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.errors import CheckpointError, OptionError
from ganzoo.interfaces.dataset import Draw
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.stages import Stage

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.loss import Loss
    from ganzoo.interfaces.networks import Network
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.interfaces.translator import Translator


@dataclass(frozen=True)
class Adam:
    """Settings of the Adam optimizer (Kingma & Ba 2015, algorithm 1) for one network.

    `learning_rate` per update; `weight_decay` is added to the gradient (L2), as in PyTorch's `Adam`. `multipliers`
    scale the learning rate of weights by the beginning of their name, e.g. {"mapping.": 0.01}.
    """

    learning_rate: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0
    multipliers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """Everything that is trained: networks, the optimizer of each, and the loss.

    `generator` names the network that is sampled. `ema` gives, per network, the decay per step of its
    exponential moving average (EMA); the average is then what is sampled. A network without one is sampled as it is.
    A model that turns images into images has a `translator` over these very networks, which is sampled in place of
    `generator`; it may use all of them but those that are a `ganzoo.Discriminator` and have no average.
    """

    networks: Mapping[str, Network]
    optimizers: Mapping[str, Adam]
    loss: Loss
    generator: str = "generator"
    ema: Mapping[str, float] = field(default_factory=dict)
    translator: Translator | None = None

    def sampling_networks(self) -> list[str]:
        """The networks that images are made with."""
        from ganzoo.interfaces.networks import Discriminator

        if self.translator is None:
            return [self.generator]
        return [
            name
            for name, network in self.networks.items()
            if name in self.ema or not isinstance(network, Discriminator)
        ]


@dataclass(frozen=True)
class AdamMoments:
    """Adam's memory of one network: the moments of each weight, and how many updates it has had."""

    first: Mapping[str, np.ndarray]
    second: Mapping[str, np.ndarray]
    steps: Mapping[str, int]

    @classmethod
    def of_torch(cls, state: Any, names: Sequence[str]) -> AdamMoments:
        """From the state_dict of a PyTorch Adam over weights of these names, in this order. CheckpointError if it is
        of something else."""
        import numpy as np

        try:
            keys = [key for group in state["param_groups"] for key in group["params"]]
            if len(keys) != len(names):
                raise CheckpointError(f"its optimizer has {len(keys)} parameters, and the network {len(names)}.")
            found = {name: state["state"][key] for name, key in zip(names, keys) if key in state["state"]}
            steps = {name: int(each["step"]) for name, each in found.items()}
            if min(steps.values(), default=0) < 0:
                raise ValueError("a negative number of updates")
            return cls(
                {name: each["exp_avg"].astype(np.float32, copy=False) for name, each in found.items()},
                {name: each["exp_avg_sq"].astype(np.float32, copy=False) for name, each in found.items()},
                steps,
            )
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise CheckpointError("its optimizer is none of PyTorch's Adam.") from error

    def of(self, names: Iterable[str]) -> AdamMoments:
        """Those of some weights only."""
        kept = [name for name in names if name in self.steps]
        first, second = ({name: each[name] for name in kept} for each in (self.first, self.second))
        return AdamMoments(first, second, {name: self.steps[name] for name in kept})


@dataclass(frozen=True)
class ImportedWeights:
    """What a checkpoint of another program holds, in the terms of a model of ours.

    `options` are those of the model's options that differ from their defaults; `size` (px), `channels` and `domains`
    describe the data that the networks are built for, `trained` is the resolution in px that training had come to.
    Weights go by network and by our dotted name. A network without weights is initialised afresh, and without an
    average is averaged from where it is; a weight without `moments` begins with none. `notes` tell the user what else
    there is to know, e.g. what of the file was left out, a line each.
    """

    options: Mapping[str, Any]
    size: int
    channels: int
    trained: int
    weights: Mapping[str, Mapping[str, np.ndarray]]
    ema: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    moments: Mapping[str, AdamMoments] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Model(ABC):
    """A GAN that `ganzoo train NAME` can train. Register an instance through the hook `ganzoo_models`.

    `options` is the model's options class; `defaults` overrides defaults of the training options (see
    `ganzoo.TrainOptions`), e.g. {"data": "mnist", "batch": 64}; `paper` says where the model comes from; `presets`
    are named sets of options of both kinds, e.g. {"fast": {"batch": 32, "latent": 64}} for `--preset fast`.
    `conditional` says that the networks are built for the domains of the data, so that a run goes on with no others; a
    model with `Setup.translator` is. `other_names` says what options are called here that other programs have, for a
    user who writes those: {"n_feat": "--width", "gpu_ids": "Leave it out: ..."}.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str] = ""
    options: ClassVar[type[Options]] = Options
    defaults: ClassVar[Mapping[str, Any]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    conditional: ClassVar[bool] = False
    other_names: ClassVar[Mapping[str, str]] = {}

    def resolve_options(self, options: Any, data: DataInfo) -> Any:
        """The options with every default filled in that depends on the data. What is filled in stays as it is, whatever
        data a run is resumed with."""
        return options

    def check(self, options: Any, train: TrainOptions, data: DataInfo, new: bool) -> Sequence[str]:
        """What the user should be warned of before training. OptionError or DataError if it can't work. A run that is
        not `new` is resumed from a checkpoint, so that `load_pretrained` won't be called."""
        return ()

    def draw(self, options: Any) -> Draw:
        """How images are drawn."""
        return Draw()

    def load_pretrained(self, options: Any, networks: Mapping[str, Network]) -> None:  # noqa: B027 (most models do nothing)
        """Give networks the weights that training starts from, where these aren't random. Called once, when a run is
        new; not when it is resumed or sampled."""

    def image_size(self, options: Any, data: DataInfo) -> int:
        """Side in pixels of the images to train on: the option `size` where the model has one, else the data's own."""
        size = getattr(options, "size", None)
        return data.size if size is None else int(size)

    def stages(self, options: Any, train: TrainOptions, data: DataInfo) -> Sequence[Stage]:
        """The stages of training, for data of `data.size` px. One, unless the model grows (see `Network.grow`)."""
        return (Stage(data.size, train.batch),)

    @abstractmethod
    def build(self, options: Any, data: DataInfo) -> Setup:
        """Make the networks and the loss for data of `data.size` px and `data.channels` channels.

        The first moment at which Jittor may be imported. Called for training, and again to sample a checkpoint.
        """

    def checkpoint_files(self, path: Path) -> Mapping[str, Path]:
        """The files that make up a checkpoint of another program, by a name for each, if there are several: then
        `import_weights` gets a dict of their contents. `path` is the one that the user named."""
        return {}

    def import_weights(self, content: Any, given: Mapping[str, Any]) -> ImportedWeights:
        """Translate a checkpoint of another program, for `ganzoo import`. A model that can't leaves this as it is; one
        that can says in its docstring, for the help, which files it takes.

        `content` is what was in the file: nested dicts, lists and tuples of NumPy arrays, numbers and texts, checked
        by nobody. `given` are the model's options that the user named. CheckpointError, as the rest of a sentence that
        begins with the file's name, if the content is of something else; OptionError if an option contradicts it.
        """
        raise OptionError(f"{self.name} can't import checkpoints of other programs.")

    def imports_weights(self) -> bool:
        """Whether the model implements `import_weights`."""
        return type(self).import_weights is not Model.import_weights
