"""Checkpoints of StarGAN v2 for tests of the import, made by the reference (see `stargan2_files`), and checks of the
imported runs."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ganzoo.checkpoints import unpickling

from . import relative_error, run_reference, strip_prefix

if TYPE_CHECKING:
    from ganzoo.checkpoints.checkpoint import Checkpoint
    from ganzoo.training.state import TrainState

SIZE, COUNT, LATENT, DOMAINS, ITERATIONS = 64, 2, 4, 3, 2
# The networks are much narrower than by default. The keys are fields of the reference's `Architecture`.
ARCHITECTURE = {
    "size": SIZE,
    "style_dim": 8,
    "latent": LATENT,
    "hidden": 8,
    "domains": DOMAINS,
    "max_channels": 8,
    "base": 512,
}
# Our names of the networks -> the reference's.
NAMES = {
    "generator": "generator",
    "mapping": "mapping_network",
    "encoder": "style_encoder",
    "discriminator": "discriminator",
}
KINDS = ("nets", "nets_ema", "optims")


class ReferenceFiles:
    """The three files of one checkpoint, and the reference's results with them."""

    def __init__(self, folder: Path, w_hpf: float = 0.0, fan: Mapping[str, np.ndarray] | None = None) -> None:
        self.folder = folder
        rng = np.random.default_rng(3)
        self.given: dict[str, np.ndarray] = {
            name: rng.uniform(-1, 1, (COUNT, 3, SIZE, SIZE)).astype(np.float32)
            for name in ("x", "reference", "reference2")
        }
        self.given.update({name: rng.standard_normal((COUNT, LATENT), np.float32) for name in ("z", "z2")})
        self.given.update(y=np.array([0, 1]), target=np.array([2, 1]))
        if w_hpf:
            for name in ("mask/0", "mask/1", "fake_mask/0", "fake_mask/1"):
                self.given[name] = rng.random((COUNT, 1, 128, 128), np.float32)
        landmarks = {f"fan/{name}": value for name, value in (fan or {}).items()}
        settings: dict[str, Any] = {"architecture": {**ARCHITECTURE, "w_hpf": w_hpf}, "iterations": ITERATIONS}
        self.expected = run_reference(
            "stargan2_files", {**self.given, **landmarks}, folder, target=str(folder), **settings
        )

    def path(self, kind: str) -> Path:
        return self.folder / f"{ITERATIONS:06d}_{kind}.ckpt"

    def translations(self, run: Path) -> dict[str, np.ndarray]:
        """Translate images with the imported run in the folder `run`, as the reference did: with styles of latents, and
        with styles of images. Return the styles and the translations."""
        from ganzoo import jt
        from ganzoo.checkpoints import checkpoint, loading
        from ganzoo.registry import plugins

        translator: Any = loading.load_translator(checkpoint.read(checkpoint.newest(run)), plugins.load())
        if "mask/0" in self.given:
            translator.landmarks = self
        target = self.given["target"]  # the domain of each translation, by its index
        found = {
            "style/latent": translator.style_of_latents(jt.array(self.given["z"]), target),
            "style/reference": translator.style_of_images(jt.array(self.given["reference"]), target),
        }
        for kind in ("latent", "reference"):
            found[f"image/{kind}"] = translator.translate(jt.array(self.given["x"]), found[f"style/{kind}"])
        return {name: var.numpy() for name, var in found.items()}

    def masks(self, images: Any) -> list[Any]:
        """Return fixed masks, in place of the landmark network."""
        from ganzoo import jt

        return [jt.array(self.given[f"mask/{index}"]) for index in range(2)]


def import_file(path: Path, domains: tuple[str, ...] = (), **given: Any) -> Any:
    """Import a checkpoint into the working folder with the given options."""
    from ganzoo_stargan2 import StarGAN2

    from ganzoo.training.importing import import_checkpoint

    return import_checkpoint(StarGAN2(), path, given, Path("experiments"), domains)


def checkpoint_of(run: Any) -> Checkpoint:
    """Return the newest checkpoint of a run."""
    from ganzoo.checkpoints import checkpoint

    return checkpoint.read(checkpoint.newest(run.path))


def state_of(run: Any) -> TrainState:
    """Return the training state with which the run is resumed."""
    from ganzoo_stargan2 import StarGAN2

    from ganzoo.training.state import TrainState

    saved, model = checkpoint_of(run), StarGAN2()
    state = TrainState(model, saved.options(model), saved.data, run.description().train_options())
    state.load(saved.tensors, saved.metadata)
    return state


def contents(files: ReferenceFiles, *kinds: str) -> dict[str, Any]:
    """Return the contents of the files by kind."""
    return {kind: unpickling.safe_load(files.path(kind)) for kind in kinds}


def write_files(contents: dict[str, Any], name: str = "000009_{}.ckpt") -> Path:
    """Write contents as plain pickles of arrays into the working folder. Return the path of the first."""
    paths = [Path(name.format(kind)) for kind in contents]
    for path, content in zip(paths, contents.values()):
        path.write_bytes(pickle.dumps(content))
    return paths[0]


def check_translations(files: ReferenceFiles, run: Any) -> None:
    """Check that the styles and images of the run match the reference's."""
    found = files.translations(run.path)
    assert found.keys() == {"style/latent", "style/reference", "image/latent", "image/reference"}
    for name, value in found.items():
        assert relative_error(value, files.expected[name]) < 1e-4, name


def check_next_update(files: ReferenceFiles, run: Any) -> None:
    """Check that the next update by Adam changes every weight as in the reference."""
    from ganzoo import jt

    state, before = state_of(run), checkpoint_of(run).tensors
    for ours, theirs in NAMES.items():
        network, optimizer = state.setup.networks[ours], state.optimizers[ours]
        gradients = strip_prefix(files.expected, f"grad/{theirs}/")
        assert gradients.keys() == network.active_weights().keys()
        optimizer.set_active(network.active_weights())
        optimizer.step([jt.array(gradients[key].astype(np.float32)) for key in optimizer.weights])
        for key, weight in network.state().items():
            wanted = files.expected[f"updated/{theirs}/{key}"]
            change = np.abs(wanted - before[f"net/{ours}/{key}"]).max()
            assert (change > 0) == (key in gradients)
            # The mapping network's steps are so small that float32 has only two digits of them.
            assert np.abs(weight.numpy() - wanted).max() <= 1e-4 * change + 1e-7 * np.abs(wanted).max(), key
