"""ganzoo: a GAN zoo on Jittor, every model a plugin.

These are the names a plugin may use. Those that need Jittor are imported when they are first asked for, so
`import ganzoo` is light; `ganzoo.jt` is Jittor itself, started as it should be.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ganzoo.backend": ("seed",),
    "ganzoo.ranks": ("batch_mean", "sharing"),
    "ganzoo.cli.data": ("list_bad",),
    "ganzoo.data": ("DataInfo", "DataSource", "Dataset", "Draw"),
    "ganzoo.data.files": ("images_below",),
    "ganzoo.data.images": ("decode", "is_image", "to_array"),
    "ganzoo.data.preparing": ("prepare",),
    "ganzoo.data.storage": ("open_path",),
    "ganzoo.data.workers": ("parallel_map",),
    "ganzoo.data.writing": ("png", "write_lmdb"),
    "ganzoo.errors": ("CheckpointError", "DataError", "GanzooError", "OptionError"),
    "ganzoo.hookspecs": ("hookimpl",),
    "ganzoo.layers": (
        "BatchNorm",
        "Conv",
        "ConvTranspose",
        "Dropout",
        "LeakyReLU",
        "Linear",
        "Tanh",
        "UpsampledConv",
        "average_pool",
        "constant",
        "conv2d",
        "conv_transpose2d",
        "leaky_relu",
        "linear",
        "pick",
        "pooled_conv2d",
        "standardise",
        "symmetric_filter",
        "tanh",
        "upsample_nearest",
        "upsampled_conv2d",
        "widened",
    ),
    "ganzoo.loss": (
        "Batch",
        "Loss",
        "Phase",
        "binary_cross_entropy",
        "gradient_penalty",
        "least_squares",
        "r1_penalty",
    ),
    "ganzoo.metrics": ("Metric",),
    "ganzoo.model": ("Adam", "Converted", "Model", "Moments", "Setup"),
    "ganzoo.nets": ("Discriminator", "Generator", "Network", "StyleGenerator", "initialise_normal"),
    "ganzoo.options": ("Options", "option"),
    "ganzoo.paths": ("data_dir",),
    "ganzoo.text": ("printable",),
    "ganzoo.training.options": ("TrainOptions",),
    "ganzoo.training.progress": ("Progress",),
    "ganzoo.training.stages": ("Stage",),
    "ganzoo.translation": ("Translator",),
    "ganzoo.unpickling": ("safe_load",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", "jt", *sorted(_HOME_OF)]

if TYPE_CHECKING:
    from ganzoo.backend import seed as seed
    from ganzoo.cli.data import list_bad as list_bad
    from ganzoo.data import DataInfo as DataInfo
    from ganzoo.data import Dataset as Dataset
    from ganzoo.data import DataSource as DataSource
    from ganzoo.data import Draw as Draw
    from ganzoo.data.files import images_below as images_below
    from ganzoo.data.images import decode as decode
    from ganzoo.data.images import is_image as is_image
    from ganzoo.data.images import to_array as to_array
    from ganzoo.data.preparing import prepare as prepare
    from ganzoo.data.storage import open_path as open_path
    from ganzoo.data.workers import parallel_map as parallel_map
    from ganzoo.data.writing import png as png
    from ganzoo.data.writing import write_lmdb as write_lmdb
    from ganzoo.errors import CheckpointError as CheckpointError
    from ganzoo.errors import DataError as DataError
    from ganzoo.errors import GanzooError as GanzooError
    from ganzoo.errors import OptionError as OptionError
    from ganzoo.hookspecs import hookimpl as hookimpl
    from ganzoo.layers import BatchNorm as BatchNorm
    from ganzoo.layers import Conv as Conv
    from ganzoo.layers import ConvTranspose as ConvTranspose
    from ganzoo.layers import Dropout as Dropout
    from ganzoo.layers import LeakyReLU as LeakyReLU
    from ganzoo.layers import Linear as Linear
    from ganzoo.layers import Tanh as Tanh
    from ganzoo.layers import UpsampledConv as UpsampledConv
    from ganzoo.layers import average_pool as average_pool
    from ganzoo.layers import constant as constant
    from ganzoo.layers import conv2d as conv2d
    from ganzoo.layers import conv_transpose2d as conv_transpose2d
    from ganzoo.layers import leaky_relu as leaky_relu
    from ganzoo.layers import linear as linear
    from ganzoo.layers import pick as pick
    from ganzoo.layers import pooled_conv2d as pooled_conv2d
    from ganzoo.layers import standardise as standardise
    from ganzoo.layers import symmetric_filter as symmetric_filter
    from ganzoo.layers import tanh as tanh
    from ganzoo.layers import upsample_nearest as upsample_nearest
    from ganzoo.layers import upsampled_conv2d as upsampled_conv2d
    from ganzoo.layers import widened as widened
    from ganzoo.loss import Batch as Batch
    from ganzoo.loss import Loss as Loss
    from ganzoo.loss import Phase as Phase
    from ganzoo.loss import binary_cross_entropy as binary_cross_entropy
    from ganzoo.loss import gradient_penalty as gradient_penalty
    from ganzoo.loss import least_squares as least_squares
    from ganzoo.loss import r1_penalty as r1_penalty
    from ganzoo.metrics import Metric as Metric
    from ganzoo.model import Adam as Adam
    from ganzoo.model import Converted as Converted
    from ganzoo.model import Model as Model
    from ganzoo.model import Moments as Moments
    from ganzoo.model import Setup as Setup
    from ganzoo.nets import Discriminator as Discriminator
    from ganzoo.nets import Generator as Generator
    from ganzoo.nets import Network as Network
    from ganzoo.nets import StyleGenerator as StyleGenerator
    from ganzoo.nets import initialise_normal as initialise_normal
    from ganzoo.options import Options as Options
    from ganzoo.options import option as option
    from ganzoo.paths import data_dir as data_dir
    from ganzoo.ranks import batch_mean as batch_mean
    from ganzoo.ranks import sharing as sharing
    from ganzoo.text import printable as printable
    from ganzoo.training.options import TrainOptions as TrainOptions
    from ganzoo.training.progress import Progress as Progress
    from ganzoo.training.stages import Stage as Stage
    from ganzoo.translation import Translator as Translator
    from ganzoo.unpickling import safe_load as safe_load

    jt: Any


def __getattr__(name: str) -> Any:
    if name == "jt":
        from ganzoo.backend import jittor

        return jittor()
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'ganzoo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
