"""Summary of a planned run, without running a kernel: options, data, parameters, memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from ganzoo import backend
from ganzoo.data.catalog import DescribedDataset
from ganzoo.errors import format_count
from ganzoo.interfaces.loss import Batch
from ganzoo.interfaces.options import options_by_name
from ganzoo.interfaces.progress import Progress
from ganzoo.registry.setup_validation import check_attributes
from ganzoo.training.augmentation.augmenter import check_augmentable, has_discriminator
from ganzoo.training.plan import Plan
from ganzoo.training.step import check_micro_batches, micro_batch_limit, micro_batch_sizes

FLOAT_BYTES = 4  # bytes
# With 10,000 images of FFHQ, ADA improves StyleGAN2's FID several times; with 70,000, mirrored too, it does not (Karras
# et al. 2020, figure 7).
FEW_IMAGES = 30_000
NUMBERS_PER_OUTPUT = 5.5  # value, gradient, and buffers of normalisation and convolutions; measured on lsgan


def describe_plan(plan: Plan) -> Iterator[str]:
    """Yield the lines that `ganzoo train MODEL --dry-run` prints."""
    yield f"model    {plan.model.name}: {plan.model.summary}"
    train = dataclasses.replace(plan.train, flip=plan.flip, fit=plan.data.fit)
    values = {**train.to_dict(), **plan.options.to_dict()}
    for title, options in (("training", train), ("model's own", plan.options)):
        yield f"options ({title}; '-' means not set or no effect)"
        for option in options_by_name(type(options)).values():
            value = None if option.reason_without_effect(values) else values[option.name]
            yield f"    {option.flag:<22} {'-' if value in (None, '') else value}"
    info = plan.dataset.info
    domains = f", domains {', '.join(info.domains)}" if info.domains else ""
    attributes = f", attributes {', '.join(info.attributes)}" if info.attributes else ""
    kind = f"{info.size} px, {format_count(info.channels, 'channel')}{domains}{attributes}"
    yield f"data     {info.name}: {format_count(info.count, 'image')} of {kind}"
    if isinstance(plan.dataset, DescribedDataset):
        yield "         not prepared yet: training will prepare it first; the number of images may differ"
    yield f"         trained at {plan.data.size} px, {'half of them mirrored' if plan.flip else 'not mirrored'}"
    if plan.model.loader_config(plan.options).by_domain:
        yield f"         as many of each of {len(info.domains)} domains; --batch and --kimg count those of one domain"
    if plan.metric_tracker is not None:
        yield f"metrics  {plan.metric_tracker.best_by.partition('/')[2]} every {plan.train.evaluate_every:g} kimg"
    yield from _stages(plan)
    yield from _networks(plan)


def _stages(plan: Plan) -> Iterator[str]:
    stages = plan.schedule.stages
    if len(stages) == 1:
        return
    for number, stage in enumerate(stages, 1):
        length = "to the end" if stage.images is None else f"for {stage.images / 1000:g} kimg"
        fade = f", fade-in over {stage.fade / 1000:g}" if stage.fade else ""
        rate = f", learning rate {stage.learning_rate:g}" if stage.learning_rate is not None else ""
        yield f"stage {number}  {stage.size:>4} px, batches of {stage.batch}, {length}{fade}{rate}"


def _networks(plan: Plan) -> Iterator[str]:
    device = backend.start(plan.train.device, plan.train.precision)
    setup = plan.model.build(plan.options, plan.data, plan.train)
    check_micro_batches(setup.networks, plan.schedule.stages, plan.train.micro_batch)
    check_augmentable(plan.train, setup.networks)
    check_attributes(setup, plan.data)
    numbers = 0  # weights, gradients, and the optimizers' states
    for name, network in setup.networks.items():
        optimizer = setup.optimizers.get(name)
        numbers += network.parameter_count() * (1 if optimizer is None else 2 + len(optimizer.slots))
        yield f"network  {name}: {network.parameter_count():,} parameters"
    if plan.train.augment == "none" and plan.dataset.info.count < FEW_IMAGES and has_discriminator(setup.networks):
        yield f"hint     with fewer than {FEW_IMAGES:,} images, --augment ada makes the discriminator overfit less"
    copied = setup.networks if plan.model.draws_sheets() else {*setup.sampling_networks(), *setup.ema}
    averaged = sum(setup.networks[name].parameter_count() for name in copied)
    fixed = FLOAT_BYTES * (numbers + averaged)
    activations = FLOAT_BYTES * _activations(plan, setup)
    images = format_count(_images_per_forward(plan), "image")
    yield f"memory   about {_megabytes(fixed)} for weights, gradients, optimizers and the copies to sample,"
    yield f"         and {_megabytes(activations)} for the activations of {images}, on the {device}"


def _images_per_forward(plan: Plan) -> int:
    """Return the number of images per forward pass in the last stage, which has the largest images."""
    stage = plan.schedule.stages[-1]
    return micro_batch_sizes(stage.batch, micro_batch_limit(stage, plan.train.micro_batch))[0]


def _activations(plan: Plan, setup: Any) -> float:
    """Estimate, from the layers' outputs, how many numbers the largest phase keeps in memory. The graph is built, but
    never run."""
    jt = backend.jittor()
    from ganzoo.interfaces.networks import Network  # not at the top: it would start Jittor before the device is chosen

    count = _images_per_forward(plan)
    images = jt.zeros((count, plan.data.channels, plan.data.size, plan.data.size)).stop_grad()
    labels = np.zeros(count, np.int64)
    config = plan.model.loader_config(plan.options)
    batch = Batch(images, labels, np.random.default_rng(0))
    if config.references:
        batch = dataclasses.replace(batch, references=(images, images), targets=labels)
    if config.by_domain:
        batch = dataclasses.replace(batch, domains=(images,) * len(plan.data.domains))
    if plan.data.attributes:
        rows = jt.zeros((count, len(plan.data.attributes))).stop_grad()
        batch = dataclasses.replace(batch, attributes=rows, domain_attributes=(rows,) * len(batch.domains))
    outputs = [0]
    for network in setup.networks.values():
        network.train()
        for module in network.modules():
            if not isinstance(module, (jt.nn.Sequential, Network)):  # their outputs are those of their last module
                module.register_forward_hook(lambda module, inputs, output: outputs.append(output.numel()))
    counts = []
    for phase in setup.loss.phases:
        setup.loss(phase, batch, Progress())
        counts.append(sum(outputs))
        outputs.clear()
    return NUMBERS_PER_OUTPUT * max(counts)


def _megabytes(count: float) -> str:
    return f"{count / 2**20:,.0f} MB"
