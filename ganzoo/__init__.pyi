"""The public names, each written once: `ganzoo/__init__.py` imports them from here when they are first used."""

import typing

from .backend import seed as seed
from .checkpoints.unpickling import safe_load as safe_load
from .cli.data import list_bad as list_bad
from .data.files import images_below as images_below
from .data.images import decode as decode
from .data.images import is_image as is_image
from .data.images import to_array as to_array
from .data.preparing import prepare as prepare
from .data.storage import open_path as open_path
from .data.workers import parallel_map as parallel_map
from .data.writing import png as png
from .data.writing import write_lmdb as write_lmdb
from .distributed import num_replicas as num_replicas
from .distributed.collectives import batch_mean as batch_mean
from .errors import CheckpointError as CheckpointError
from .errors import DataError as DataError
from .errors import GanzooError as GanzooError
from .errors import OptionError as OptionError
from .errors import printable as printable
from .files import data_dir as data_dir
from .interfaces.dataset import DataInfo as DataInfo
from .interfaces.dataset import Dataset as Dataset
from .interfaces.dataset import DataSource as DataSource
from .interfaces.dataset import Draw as Draw
from .interfaces.hookspecs import hookimpl as hookimpl
from .interfaces.layers import BatchNorm as BatchNorm
from .interfaces.layers import Conv as Conv
from .interfaces.layers import ConvTranspose as ConvTranspose
from .interfaces.layers import Dropout as Dropout
from .interfaces.layers import LeakyReLU as LeakyReLU
from .interfaces.layers import Linear as Linear
from .interfaces.layers import Tanh as Tanh
from .interfaces.layers import UpsampledConv as UpsampledConv
from .interfaces.layers import average_pool as average_pool
from .interfaces.layers import constant as constant
from .interfaces.layers import conv2d as conv2d
from .interfaces.layers import conv_transpose2d as conv_transpose2d
from .interfaces.layers import leaky_relu as leaky_relu
from .interfaces.layers import linear as linear
from .interfaces.layers import pick as pick
from .interfaces.layers import pooled_conv2d as pooled_conv2d
from .interfaces.layers import standardise as standardise
from .interfaces.layers import symmetric_filter as symmetric_filter
from .interfaces.layers import tanh as tanh
from .interfaces.layers import upsample_nearest as upsample_nearest
from .interfaces.layers import upsampled_conv2d as upsampled_conv2d
from .interfaces.layers import widened as widened
from .interfaces.loss import Batch as Batch
from .interfaces.loss import Loss as Loss
from .interfaces.loss import Phase as Phase
from .interfaces.loss import binary_cross_entropy as binary_cross_entropy
from .interfaces.loss import gradient_penalty as gradient_penalty
from .interfaces.loss import least_squares as least_squares
from .interfaces.loss import r1_penalty as r1_penalty
from .interfaces.metric import Metric as Metric
from .interfaces.model import Adam as Adam
from .interfaces.model import Converted as Converted
from .interfaces.model import Model as Model
from .interfaces.model import Moments as Moments
from .interfaces.model import Setup as Setup
from .interfaces.networks import Discriminator as Discriminator
from .interfaces.networks import Generator as Generator
from .interfaces.networks import Network as Network
from .interfaces.networks import StyleGenerator as StyleGenerator
from .interfaces.networks import initialise_normal as initialise_normal
from .interfaces.options import Options as Options
from .interfaces.options import option as option
from .interfaces.progress import Progress as Progress
from .interfaces.stages import Stage as Stage
from .interfaces.train_options import TrainOptions as TrainOptions
from .interfaces.translator import Translator as Translator

jt: typing.Any
__version__: str
