"""Metrics are computed during training with `--evaluate-every`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.errors import OptionError, PluginError
from ganzoo.metrics.comparison import (
    Comparison,
    Networks,
    check,
    compare,
    generator_comparisons,
    translator_comparisons,
)
from ganzoo.metrics.records import recipe_id
from ganzoo.metrics.report import make_record, save
from ganzoo.metrics.sources import default_real_count
from ganzoo.metrics.tasks import describe_images, describe_subject

if TYPE_CHECKING:
    from ganzoo.interfaces.dataset import DataInfo, Dataset
    from ganzoo.interfaces.train_options import TrainOptions
    from ganzoo.registry.plugins import Registry
    from ganzoo.training.state import TrainState


class MetricTracker:
    """Measures the sampled networks against the training images, and saves the metrics in the run's folder.

    It is created before a run begins, so that an unknown metric (OptionError) or missing weights of a backbone
    (CheckpointError) are reported at once.
    """

    def __init__(
        self,
        options: TrainOptions,
        registry: Registry,
        model: str,
        dataset: Dataset,
        data: DataInfo,
        modes: tuple[str, ...],
    ) -> None:
        """`modes` are those of the comparisons (see `modes_of`)."""
        self.options, self.model, self.dataset, self.data, self.modes = options, model, dataset, data, modes
        with self._name_option():
            self.networks = Networks(registry.metrics_named(options.evaluate), modes != ("",))
        # Limited by default: measuring all images of a data set would stall training for minutes.
        self.real = (
            default_real_count(options.evaluate_samples) if options.evaluate_real is None else options.evaluate_real
        )
        self._reported: set[str] = set()

    @property
    def best_by(self) -> str:
        """Name, in the statistics, of the metric that selects the best checkpoint unless --keep-best names another."""
        name = self.networks.metrics[0].output_names()[0]
        return self._full_name(name, self.modes[0])

    @property
    def names(self) -> set[str]:
        """Names of all metrics that the tracker adds to the statistics."""
        return self._full_names(name for metric in self.networks.metrics for name in metric.output_names())

    @property
    def higher_is_better(self) -> set[str]:
        """The `names` of metrics whose higher values are better."""
        return self._full_names(name for metric in self.networks.metrics for name in metric.higher_is_better)

    def _full_names(self, measured: Iterable[str]) -> set[str]:
        return {self._full_name(name, mode) for name in measured for mode in self.modes}

    def _full_name(self, name: str, mode: str) -> str:
        return f"metrics/{self._label(name, mode)}"

    def _label(self, name: str, mode: str) -> str:
        """Return the full name of a metric (see `recipe_id`)."""
        backbones = {
            output: self.networks.backbone_of(metric)
            for metric in self.networks.metrics
            for output in metric.output_names()
        }
        real = self.real if self.real < self.dataset.info.count else None
        return recipe_id(name, self.options.evaluate_samples, real, mode, backbones[name])

    def check(self, state: TrainState) -> None:
        """Raise OptionError if a metric does not apply to this model."""
        with self._name_option():
            check(self._comparisons(state, self.data, lambda line: None), self.networks.metrics)

    @contextlib.contextmanager
    def _name_option(self) -> Iterator[None]:
        """Prefix errors raised in the body with the option's name."""
        try:
            yield
        except (OptionError, PluginError) as error:
            raise type(error)(f"--evaluate: {error}") from error

    def measure(self, state: TrainState, run: Path, say: Callable[[str], None]) -> dict[str, float]:
        """Return the metrics by full name, for the statistics; for translations, the means over pairs of domains."""

        def say_once(line: str) -> None:
            if line not in self._reported:
                self._reported.add(line)
                say(line)

        data = replace(self.data, size=(state.position or state.upcoming()).stage.size)
        results = compare(self._comparisons(state, data, say_once), self.networks, self.options.seed, say_once)
        about = {
            "subject": describe_subject(self.model, state.progress.images, data),
            "against": self.dataset.info.name,
            "model": self.model,
            "checkpoint": None,
            "images": state.progress.images,
            **describe_images(data),
        }
        record = make_record(about, self.networks, results, self.options.seed)
        save(run, record)
        return {
            self._label(name, mode): value
            for mode, numbers in record["mean"].items()
            for name, value in numbers.items()
        }

    def _comparisons(self, state: TrainState, data: DataInfo, say: Callable[[str], None]) -> list[Comparison]:
        options, samples = self.options, self.options.evaluate_samples
        translator = state.ema.translator() if self.networks.translating else None
        if translator is not None:
            return translator_comparisons(
                translator, self.dataset, data, samples, seed=options.seed, max_real=self.real, log=say
            )
        generator: Any = state.ema.network(state.setup.generator)
        return generator_comparisons(generator, self.dataset, data, samples, options.seed, self.real, say)
