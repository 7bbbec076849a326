"""The plan of a run, made before any kernel runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ganzoo import distributed
from ganzoo.checkpoints.description import Lineage, RunDescription
from ganzoo.data.attributes import read_attributes, sample_attributes
from ganzoo.data.catalog import describe_data, open_data, path_of
from ganzoo.data.fitted import with_fit
from ganzoo.data.order import make_order
from ganzoo.errors import OptionError
from ganzoo.interfaces.dataset import DataInfo, Dataset
from ganzoo.interfaces.model import Model
from ganzoo.interfaces.options import Options
from ganzoo.interfaces.stages import Schedule, Stage, unreached_stages
from ganzoo.interfaces.train_options import TrainOptions
from ganzoo.metrics.comparison import modes_of
from ganzoo.registry.plugins import Registry
from ganzoo.training import due
from ganzoo.training.metric_tracker import MetricTracker

if TYPE_CHECKING:
    from ganzoo.training.state import TrainState
    from ganzoo.training.transfer import Transfer


@dataclass(frozen=True)
class Plan:
    """Everything known before a kernel runs: model, options, the opened data, and the stages."""

    model: Model
    train: TrainOptions
    options: Options
    dataset: Dataset
    data: DataInfo  # with the image size and channels of the networks
    schedule: Schedule
    warnings: tuple[str, ...] = ()
    metric_tracker: MetricTracker | None = None
    data_path: Path | None = None  # location of the data, if given by path
    lineage: Lineage | None = None  # the weights that the run starts with, or started with
    transfer: Transfer | None = None  # loads these weights; None if the run is resumed

    @property
    def flip(self) -> bool:
        """Whether half of the images are mirrored: the user's choice, or else whether the data set allows it."""
        return self.dataset.info.flip if self.train.flip is None else self.train.flip

    def description(self) -> RunDescription:
        """Return the run's description, as stored in options.json and every checkpoint."""
        path = str(self.data_path) if self.data_path else None
        return RunDescription.create(self.model, self.options, self.train, self.data, path, self.lineage)

    def initial_state(self) -> TrainState:
        """Return the state before the first step, with random weights. Needs a started Jittor."""
        from ganzoo.training.state import TrainState

        rows = sample_attributes(self.dataset)
        return TrainState(self.model, self.options, self.data, self.train, self.schedule, rows)

    def with_next_seed(self) -> Plan:
        """Return a copy of the plan with another seed."""
        return dataclasses.replace(self, train=dataclasses.replace(self.train, seed=(self.train.seed + 1) % 2**31))


def make_plan(
    model: Model,
    train_options: TrainOptions,
    options: Options,
    registry: Registry,
    *,
    new: bool = True,
    data_path: str = "",
    dry_run: bool = False,
    pretrained: bool = True,
) -> Plan:
    """Open the data of a `new` or resumed run, and resolve the options that depend on them. DataError or OptionError if
    the run can't work. `data_path` overrides the name or path in `train_options.data`. With `dry_run`, no data set is
    prepared; if the run's data set is not ready, the plan uses its description. `pretrained`: a new run calls
    `Model.load_pretrained`."""
    path = path_of(data_path or train_options.data, registry)
    open_ = describe_data if dry_run else open_data
    dataset = open_(data_path or train_options.data, registry, labels=train_options.labels, alpha=train_options.alpha)
    if train_options.fit is not None:
        dataset = with_fit(dataset, train_options.fit)
    options = model.resolve_options(options, dataset.info)
    if dataset.labelled_by and train_options.labels and not getattr(options, "conditional", True):
        raise OptionError("--labels has no effect without --conditional.")
    size = model.image_size(options, dataset.info)
    data = dataclasses.replace(dataset.info, size=size)
    warnings = tuple(model.check(options, train_options, data, new and pretrained))
    if model.is_conditional(options) and len(data.domains) < 2:
        found = f"only the domain {data.domains[0]!r}" if data.domains else "no domains"
        raise OptionError(
            f"--data {train_options.data}: it has {found}, but {model.name} needs at least two with these options. "
            f"Give a folder with a subfolder of images for each{_or_unconditional(options)}."
        )
    make_order(dataset, model.loader_config(options), 0, False)  # raises if the data set doesn't allow it
    read_attributes(dataset)  # raises if they are invalid
    dataset.validation()  # raises if the validation images don't fit
    metric_tracker = None
    schedule = Schedule(model.stages(options, train_options, data))
    stages = schedule.stages
    if (uneven := distributed.first_indivisible(stage.batch for stage in stages)) is not None:
        raise OptionError(f"--batch: {uneven} images can't be split evenly among {distributed.world_size()} processes.")
    if new and (missed := unreached_stages(stages, due.total_images(train_options))):
        warnings += (early_end_warning(train_options, stages, missed),)
    if train_options.evaluate_every:
        # Only a conditional model can translate; its setup says whether it does.
        conditional = model.is_conditional(options)
        modes = modes_of(model.build(options, data, train_options).translator if conditional else None)
        metric_tracker = MetricTracker(train_options, registry, model.name, dataset, data, modes)
    return Plan(model, train_options, options, dataset, data, schedule, warnings, metric_tracker, path)


def _or_unconditional(options: Options) -> str:
    return ", or add --no-conditional" if getattr(options, "conditional", False) else ""


def early_end_warning(options: TrainOptions, stages: Sequence[Stage], missed: int) -> str:
    """Return the warning that training ends before the last `missed` stages."""
    reached, rest = stages[-1 - missed], ", ".join(str(stage.size) for stage in stages[len(stages) - missed :])
    where = f"--kimg {options.kimg:g} ends at {reached.size} px; {rest} px won't be trained"
    return f"{where}. Increase --kimg or shorten the stages."
