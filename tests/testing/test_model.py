"""The contract test passes a correct model, and names the fault of each incorrect one."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ganzoo import Adam, Batch, DataInfo, Loss, Model, Options, Phase, Progress, Setup, TrainOptions, option
from ganzoo.errors import PluginError
from ganzoo.registry import plugins
from ganzoo.testing import check_model
from tests.support.shades import ShadesGAN

PHASES = (Phase("critic", ("discriminator",)), Phase("generator", ("generator",), interval=3))


@dataclass(frozen=True)
class TinyOptions(Options):
    latent: int = option(2, "length of the latent vector", min=1)


@functools.cache
def networks() -> SimpleNamespace:
    """Return the network classes, which are in a function because the contract test imports this module without
    Jittor."""
    import ganzoo
    from ganzoo import jt

    class Generator(ganzoo.Generator):
        """One layer, with one fault if requested."""

        def __init__(self, data: DataInfo, fault: str) -> None:
            super().__init__()
            self.latent, self.fault = 2, fault
            self.shape = (data.channels, data.size, data.size)
            layer = jt.nn.Linear(2, math.prod(self.shape))
            self.layers = jt.nn.Sequential(layer) if fault != "hidden" else jt.nn.Sequential()
            self.offset = jt.zeros(1)
            self._hidden = [layer]

        def execute(self, z: Any) -> Any:
            if self.fault == "constant":
                z = z * 0.0
            x = self._hidden[0](z) + self.offset
            if self.fault == "random" and not self.is_train:
                x = x + jt.array(np.random.default_rng().standard_normal(x.shape, dtype="float32"))
            if self.fault == "batch" and not self.is_train:
                x = x + x.mean()
            x = x * 10.0 if self.fault == "range" else jt.tanh(x)
            side = self.shape[1:] if self.fault != "shape" else (math.prod(self.shape[1:]), 1)
            return x.reshape((z.shape[0], self.shape[0], *side))

    class Discriminator(ganzoo.Discriminator):
        def __init__(self, data: DataInfo, fault: str) -> None:
            super().__init__()
            self.score = jt.nn.Linear(data.channels * data.size**2, 1)
            if fault == "list":
                self.more = [jt.nn.Linear(2, 1)]
            if fault == "unused":
                self.unused = jt.nn.Linear(2, 1)
            if fault == "forward":
                self.block = Forward()
            self.fault, self.calls, self._calls = fault, 0, jt.zeros((1, 1)).stop_grad()

        def execute(self, images: Any) -> Any:
            if self.fault == "counts":
                self.calls += 1
            if self.fault == "unsaved":
                self._calls.update(self._calls + 1)
            return self.score(images.reshape((images.shape[0], -1))) * (1 + self.calls + self._calls)

    class Forward(jt.nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    class ForwardDiscriminator(ganzoo.Discriminator):
        def forward(self, images: Any) -> Any:
            return images

    class LabelledGenerator(Generator):
        def execute(self, z: Any, labels: Any) -> Any:
            return super().execute(z)

    class BareGenerator(ganzoo.Generator):
        latent = 2

    return SimpleNamespace(
        Generator=Generator,
        Discriminator=Discriminator,
        ForwardDiscriminator=ForwardDiscriminator,
        LabelledGenerator=LabelledGenerator,
        BareGenerator=BareGenerator,
    )


class TinyLoss(Loss):
    phases = PHASES

    def __init__(self, generator: Any, discriminator: Any, fault: str) -> None:
        self.generator, self.discriminator, self.fault = generator, discriminator, fault
        self.steps = 0

    def __call__(self, phase: Phase, batch: Batch, progress: Progress) -> dict[str, Any]:
        fakes = self.generator(batch.latents(2))
        if phase.name == "generator":
            score = self.discriminator(fakes)
            if self.fault == "frozen":
                score = score * 0.0
            return (
                {} if self.fault == "no_terms" else {"adversarial": -(score if self.fault == "terms" else score.mean())}
            )
        if self.fault == "foreign":
            self.generator.offset.update(self.generator.offset + 0.1)
        reals = batch.images * 1.0 if self.fault == "unmarked" else batch.images
        difference = self.discriminator(fakes.detach()).mean() - self.discriminator(reals).mean()
        if self.fault == "shift":
            self.steps += 1
            return {"adversarial": difference, "shift": difference * 0.0 + self.steps}
        if self.fault == "number":
            return {"adversarial": difference, "penalty": 0.0}
        return {"adversarial": difference * 1e38 * 1e38 if self.fault == "infinite" else difference}


class Tiny(Model):
    """Networks of one layer at 4 px, with one fault."""

    name = "tiny"
    summary = "the smallest model"
    options = TinyOptions

    def __init__(self, fault: str = "", **changes: Any) -> None:
        self.fault, self.changes = fault, changes

    def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
        if self.fault == "nothing":
            return None  # type: ignore[return-value]
        generator = networks().Generator(data, self.fault)
        discriminator = networks().Discriminator(data, self.fault)
        adam = Adam(0.01)
        setup: dict[str, Any] = {
            "networks": {"generator": generator, "discriminator": discriminator},
            "optimizers": {"generator": adam, "discriminator": adam},
            "loss": TinyLoss(generator, discriminator, self.fault),
            "ema": {"generator": 0.9},
        }
        if "phases" in self.changes:
            setup["loss"].phases = self.changes["phases"]
        return Setup(**{**setup, **{name: value for name, value in self.changes.items() if name != "phases"}})


def failure_of(model: Model, options: dict[str, Any] | None = None) -> str:
    with pytest.raises(AssertionError) as caught:
        check_model(model, options, size=4, channels=(1,))
    return str(caught.value)


def test_a_correct_model_passes() -> None:
    check_model(Tiny(), {"latent": 2}, size=4)


def test_a_model_without_ema_passes() -> None:
    check_model(Tiny(ema={}), size=4, channels=(3,), domains=())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (
            "list",
            "network 'discriminator' has layers or weights in the plain list 'more'; put layers into",
        ),
        ("nothing", "`build` returned None, not a ganzoo.Setup."),
        ("unused", "no phase gives a gradient to discriminator.unused.bias, discriminator.unused.weight"),
        ("foreign", "phase 'critic' changes generator.offset, but does not name 'generator'"),
        ("frozen", "phase 'generator' names 'generator', but changes none of its weights"),
        ("infinite", "term 'adversarial' of phase 'critic' is "),
        ("terms", "term 'adversarial' of phase 'generator' has shape (4, 1); take the mean"),
        ("no_terms", "phase 'generator' must give a dict of at least one term, not {}"),
        ("number", "term 'penalty' of phase 'critic' is 0.0, not a Var"),
        ("range", "the generator's pixels are in ["),
        ("shape", "for 3 latents the generator gives (3, 1, 16, 1), not (3, 1, 4, 4)"),
        ("random", "in inference the same latents give different images each time"),
        ("batch", "in inference an image depends on the other images in its batch"),
        ("constant", "two latents give the same image"),
        ("hidden", "some weights are not in the checkpoint"),
        ("counts", "training goes on differently after saving and loading ("),
        ("shift", "training goes on differently after saving and loading (term 'shift' of phase 'critic' differs)"),
        ("unsaved", "training goes on differently after saving and loading ("),
        ("unmarked", "no discriminator was given real images that ganzoo knows"),
    ],
)
def test_a_faulty_model_is_caught(fault: str, expected: str) -> None:
    assert expected in failure_of(Tiny(fault))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"networks": {"generator": 1}}, "network 'generator' is not a subclass of ganzoo.Network"),
        ({"generator": "discriminator"}, "the network to sample, 'discriminator', is not a ganzoo.Generator, and"),
        (
            {"generator": "painter"},
            "there is no network 'painter' to sample; name one as `generator` of the Setup, which has 'generator', "
            "'discriminator'.",
        ),
        ({"optimizers": {"painter": Adam(0.1)}}, "there is an optimizer for 'painter', but no such network"),
        (
            {"optimizers": {"generator": 0.1}},
            "the optimizer of 'generator' is 0.1, not a ganzoo.Optimizer, e.g. ganzoo.Adam",
        ),
        ({"ema": {"painter": 0.9}}, "there is an EMA of 'painter', but no such network"),
        ({"ema": {"generator": 1.5}}, "the EMA decay of 'generator' is 1.5"),
        ({"ema": {"generator": 1.0}}, "the EMA decay of 'generator' is 1.0"),
        ({"phases": ()}, "the loss has no phases"),
        ({"phases": (PHASES[0], PHASES[0])}, "two phases have the same name: critic, critic"),
        ({"phases": (Phase("critic", ("critic",)),)}, "phase 'critic' updates 'critic', which has no optimizer"),
        (
            {"phases": (Phase("critic", "discriminator"),)},
            "phase 'critic': its networks are 'discriminator', not a tuple",
        ),
        (
            {"phases": (Phase("critic", ("discriminator",), interval=0),)},
            "the interval of phase 'critic' is 0, not a positive integer",
        ),
        ({"phases": PHASES[:1]}, "no phase updates the network 'generator'"),
    ],
)
def test_an_inconsistent_setup_is_caught(changes: dict[str, Any], expected: str) -> None:
    assert expected in failure_of(Tiny(**changes))


def with_networks(generator: Any, discriminator: Any) -> str:
    """Return why training refuses these networks; '' if it does not."""
    adam = Adam(0.01)
    setup = Setup(
        {"generator": generator, "discriminator": discriminator},
        {"generator": adam, "discriminator": adam},
        TinyLoss(generator, discriminator, ""),
    )
    from ganzoo.registry.setup_validation import check_setup  # here, because this module is imported without Jittor

    try:
        check_setup(setup)
    except PluginError as error:
        return str(error)
    return ""


def test_networks_that_can_not_be_called_are_caught(jittor: Any) -> None:
    data, classes = DataInfo("any", 4, 4, 1), networks()
    generator, discriminator = classes.Generator(data, ""), classes.Discriminator(data, "")
    rename = "defines `forward`; Jittor calls `execute`, so rename it."
    block, forward = classes.Discriminator(data, "forward"), classes.ForwardDiscriminator()
    assert with_networks(generator, forward) == f"network 'discriminator': ForwardDiscriminator {rename}"
    assert with_networks(generator, block) == f"network 'discriminator': Forward {rename}"
    bare = classes.BareGenerator()
    assert with_networks(bare, discriminator) == "network 'generator': BareGenerator does not define `execute`."


def test_a_generator_whose_arguments_do_not_fit_its_classes_is_caught(jittor: Any) -> None:
    data, classes = DataInfo("any", 4, 4, 1), networks()
    plain, labelled = classes.Generator(data, ""), classes.LabelledGenerator(data, "")
    discriminator = classes.Discriminator(data, "")
    plain.classes = 3
    assert with_networks(plain, discriminator) == (
        "the generator defines execute(z), but it has 3 classes, so it is called with z and labels."
    )
    assert with_networks(labelled, discriminator) == (
        "the generator defines execute(z, labels), but it is called with z alone, unless it sets `classes` or "
        "`attributes` to their number."
    )
    plain.classes, plain.attributes = 0, 2
    assert with_networks(plain, discriminator) == (
        "the generator defines execute(z), but it has 2 attributes, so it is called with z and attributes."
    )
    labelled.classes = 3
    assert not with_networks(labelled, discriminator)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Tiny("nothing"), "`build` returned None, not a ganzoo.Setup."),
        (Tiny("forward"), "network 'discriminator': Forward defines `forward`; Jittor calls `execute`"),
        (Tiny("list"), "network 'discriminator' has layers or weights in the plain list"),
        (Tiny(generator="painter"), "there is no network 'painter' to sample"),
        (
            Tiny(optimizers={"generator": 0.1}),
            "the optimizer of 'generator' is 0.1, not a ganzoo.Optimizer, e.g. ganzoo.Adam",
        ),
        (Tiny(phases=(Phase("critic", ("critic",)),)), "phase 'critic' updates 'critic', which has no optimizer"),
        (Tiny("terms"), "term 'adversarial' of phase 'generator' has shape (4, 1); take the mean"),
        (Tiny("number"), "term 'penalty' of phase 'critic' is 0.0, not a Var"),
    ],
)
def test_training_reports_the_same_faults(ganzoo, pictures, monkeypatch, model, expected) -> None:
    """Each fault is reported in one line, for authors who have not run the contract test."""
    load = plugins.load

    def loaded(*arguments: Any, **named: Any) -> Any:
        registry = load(*arguments, **named)
        registry.models["tiny"] = model
        return registry

    monkeypatch.setattr(plugins, "load", loaded)
    result = ganzoo("train", "tiny", "--data", "pictures", "--batch", "4", "--kimg", "0.008")
    assert result.exit_code == 1, result.output
    assert f"Error: {expected}" in result.stderr


def test_an_invalid_declaration_is_caught() -> None:
    model = Tiny()
    model.summary = ""  # type: ignore[misc]
    assert "'tiny': its summary is ''" in failure_of(model)


def test_options_that_do_not_survive_json_are_caught() -> None:
    @dataclass(frozen=True)
    class Forgetful(TinyOptions):
        def to_dict(self) -> dict[str, Any]:
            return {}

    model = Tiny()
    model.options = Forgetful  # type: ignore[misc]
    assert "Forgetful is not the same after a round trip through JSON" in failure_of(model, {"latent": 3})


def test_options_that_the_model_lacks_are_caught() -> None:
    assert "unknown option 'latnt'. Did you mean 'latent'?" in failure_of(Tiny(), {"latnt": 2})


def test_a_model_with_attributes_passes() -> None:
    check_model(ShadesGAN(), size=8, channels=(1,), attributes=("smiling", "age"))


def test_a_model_that_ignores_its_attributes_is_caught(monkeypatch) -> None:
    class Ignorant(ShadesGAN):
        def build(self, options: Any, data: DataInfo, train: TrainOptions) -> Setup:
            setup = super().build(options, data, train)
            setup.networks["generator"].__class__ = type("Ignorant", (type(setup.networks["generator"]),), {})
            execute = type(setup.networks["generator"]).execute
            type(setup.networks["generator"]).execute = lambda self, z, attributes: execute(self, z, attributes * 0.0)
            return setup

    with pytest.raises(AssertionError, match="two values of the attributes give the same images"):
        check_model(Ignorant(), size=8, channels=(1,), attributes=("smiling",))


@pytest.fixture
def two_attributes(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let Tiny's generator take two attributes, and return its class."""
    generator = networks().Generator
    execute = generator.execute
    monkeypatch.setattr(generator, "attributes", 2)
    monkeypatch.setattr(generator, "execute", lambda self, z, attributes: execute(self, z))
    return generator


def test_a_generator_with_more_attributes_than_the_data_is_refused(two_attributes: Any) -> None:
    assert "synthetic: its images have no attributes, but the generator takes 2" in failure_of(Tiny())
    with pytest.raises(AssertionError, match=r"its images have 1 attribute \(age\), but the generator takes 2"):
        check_model(Tiny(), size=4, channels=(1,), attributes=("age",))


def test_a_generator_with_classes_and_attributes_is_refused(two_attributes: Any, monkeypatch) -> None:
    monkeypatch.setattr(two_attributes, "classes", 3)
    assert "the generator has 3 classes and 2 attributes, but can't have both" in failure_of(Tiny())
