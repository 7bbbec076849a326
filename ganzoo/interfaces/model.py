"""The interface of a model, which plugins register: its name, its options, and how to build its networks and loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import LoaderConfig
from ganzoo.interfaces.optimizers import AdamMoments, Optimizer
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.stages import Stage

if TYPE_CHECKING:
    import numpy as np

    from ganzoo.interfaces.dataset import DataInfo
    from ganzoo.interfaces.loss import Loss
    from ganzoo.interfaces.networks import Network
    from ganzoo.interfaces.sheets import SheetInputs
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.interfaces.translator import DirectTranslator, Translator


@dataclass(frozen=True)
class Setup:
    """Everything that is trained: the networks, the optimizer of each, and the loss.

    `generator` names the network to sample. `ema` gives, per network, the decay per step of its exponential moving
    average (EMA), which is then sampled in place of the network. A network without EMA is sampled as it is. An
    image-to-image model has a `translator`, built on these same networks, which is sampled in place of `generator`: a
    `ganzoo.Translator`, whose translations have styles, or a `ganzoo.DirectTranslator`. It may use all of the networks
    except a `ganzoo.Discriminator` without EMA and a `ganzoo.ReplayBuffer`.
    """

    networks: Mapping[str, Network]
    optimizers: Mapping[str, Optimizer]
    loss: Loss
    generator: str = "generator"
    ema: Mapping[str, float] = field(default_factory=dict)
    translator: Translator | DirectTranslator | None = None

    def sampling_networks(self) -> list[str]:
        """Return the names of the networks that sampling uses."""
        from ganzoo.interfaces.networks import Discriminator
        from ganzoo.interfaces.replay_buffer import ReplayBuffer

        if self.translator is None:
            return [self.generator]
        return [
            name
            for name, network in self.networks.items()
            if name in self.ema or not isinstance(network, (Discriminator, ReplayBuffer))
        ]

    def weighted_networks(self) -> dict[str, Network]:
        """Return the networks that have weights, by name: all but replay buffers."""
        from ganzoo.interfaces.replay_buffer import ReplayBuffer

        return {name: each for name, each in self.networks.items() if not isinstance(each, ReplayBuffer)}


@dataclass(frozen=True)
class ImportedWeights:
    """The content of another program's checkpoint, converted for one of ganzoo's models.

    `options` are the model's options that differ from their defaults. `size` (px), `channels` and `domains` describe
    the data that the networks are built for; `trained_size` (px) is the resolution reached by training. Weights are
    keyed by network and by dotted name. A network without `weights` is newly initialised. The EMA of a network without
    `ema` starts at the network's weights. A weight without `moments` starts with moments of zero. `notes` are further
    remarks for the user, one line each, e.g. what was left out of the import.
    """

    options: Mapping[str, Any]
    size: int
    channels: int
    trained_size: int
    weights: Mapping[str, Mapping[str, np.ndarray]]
    ema: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    moments: Mapping[str, AdamMoments] = field(default_factory=dict)
    domains: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Model(ABC):
    """A GAN that `ganzoo train NAME` can train. Register an instance through the hook `ganzoo_models`.

    `options` is the model's options class; `defaults` overrides defaults of the training options (see
    `ganzoo.TrainOptions`), e.g. {"data": "mnist", "batch": 64}; `paper` cites the model's source; `presets` are named
    sets of model and training options, e.g. {"fast": {"batch": 32, "latent": 64}} for `--preset fast`. `conditional`
    says that the networks are always built for the domains of the data (see `is_conditional`). `option_hints` maps
    option names of other programs, which users may type, to the model's options or to a hint: {"n_feat": "--width",
    "gpu_ids": "Omit it: ..."}.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str] = ""
    options: ClassVar[type[Options]] = Options
    defaults: ClassVar[Mapping[str, Any]] = {}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    conditional: ClassVar[bool] = False
    option_hints: ClassVar[Mapping[str, str]] = {}

    def resolve_options(self, options: Any, data: DataInfo) -> Any:
        """Return the options with every data-dependent default filled in. These values then stay fixed, whatever data a
        run is resumed with."""
        return options

    def check(self, options: Any, train: TrainOptions, data: DataInfo, new: bool) -> Sequence[str]:
        """Return warnings to show before training. OptionError or DataError if training can't work. If not `new`, the
        weights come from a checkpoint, so `load_pretrained` won't be called."""
        return ()

    def is_conditional(self, options: Any) -> bool:
        """Return whether the networks are built for the domains of the data, because the model translates between them
        or has them as classes. Such a run needs data with at least two domains, and can't be resumed with others.

        The default is `conditional`, or the option `conditional` if the model has one.
        """
        return self.conditional or bool(getattr(options, "conditional", False))

    def loader_config(self, options: Any) -> LoaderConfig:
        """Return how the loader chooses and crops training images."""
        return LoaderConfig()

    def load_pretrained(self, options: Any, networks: Mapping[str, Network]) -> None:  # noqa: B027 (most models do nothing)
        """Load pretrained weights into the networks, if training starts from any. Called once, for a new run; not when
        a run is resumed or sampled, nor with `--from` if that checkpoint has networks without an optimizer."""

    def image_size(self, options: Any, data: DataInfo) -> int:
        """Return the side in px of the training images: the option `size` if the model has one and it is set, else the
        data's own."""
        size = getattr(options, "size", None)
        return data.size if size is None else int(size)

    def stages(self, options: Any, train: TrainOptions, data: DataInfo) -> Sequence[Stage]:
        """Return the stages of training for data of `data.size` px: a single one, unless the model grows (see
        `Network.grow`)."""
        return (Stage(data.size, train.batch),)

    @abstractmethod
    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        """Build the networks and the loss for data of `data.size` px and `data.channels` channels.

        Jittor may be imported here, but not earlier. Called for training, and again to sample a checkpoint; `train` are
        the training options, then those of its run.
        """

    def sheets(self, inputs: SheetInputs) -> Iterable[tuple[str, np.ndarray]]:
        """Yield sheets of the model's own at each tick, in addition to the standard ones, each as a name and a picture,
        uint8 (H, W, C) with C = 1 or 3.

        The sheet 'cycle' is written to samples-IMAGES-cycle.png; a name has letters, digits, '.', '-' and '_'. Called
        without gradients. A failure is reported and does not end training.
        """
        return ()

    def draws_sheets(self) -> bool:
        """Return whether the model overrides `sheets`."""
        return type(self).sheets is not Model.sheets

    def checkpoint_files(self, path: Path) -> Mapping[str, Path]:
        """If another program's checkpoint consists of several files, return them, each under a name of its own.
        `import_weights` then gets a dict of their contents. `path` is the file that the user named."""
        return {}

    def import_weights(self, content: Any, given: Mapping[str, Any]) -> ImportedWeights:
        """Convert another program's checkpoint, for `ganzoo import`. A model that supports this overrides the method.
        The help shows the override's docstring, which says which files are accepted.

        `content` is the file's content: nested dicts, lists and tuples of NumPy arrays, numbers and strings, not
        validated. `given` holds the model's options that the user set. Raises CheckpointError if the content is
        something else; its message is shown after the file's name and a colon. Raises OptionError if an option
        contradicts the content.
        """
        raise OptionError(f"{self.name} can't import checkpoints of other programs.")

    def imports_weights(self) -> bool:
        """Return whether the model overrides `import_weights`."""
        return type(self).import_weights is not Model.import_weights
