"""Arrays of a wrong shape raise an error that names the layer. Jittor alone would dump its graph or crash."""

from __future__ import annotations

import numpy as np
import pytest

import ganzoo
from ganzoo.errors import ShapeError

pytestmark = pytest.mark.usefixtures("jittor")


def network():
    class Inner(ganzoo.Network):
        def __init__(self) -> None:
            super().__init__()
            self.last = ganzoo.Linear(6, 2)

        def execute(self, x):
            return self.last(x)

    class Outer(ganzoo.Network):
        def __init__(self) -> None:
            super().__init__()
            jt = ganzoo.jt
            self.body = jt.nn.Sequential(ganzoo.Conv(3, 4, 3, padding=1), ganzoo.BatchNorm(4), ganzoo.LeakyReLU())
            self.head = ganzoo.Linear(5, 2)
            self.inner = Inner()

        def execute(self, x, where="body"):
            return self.body(x) if where == "body" else getattr(self, where)(x)

    return Outer()


@pytest.mark.parametrize(
    ("shape", "where", "message"),
    [
        ((2, 5, 8, 8), "body", "Outer.body.0: a convolution expects shape (N, 3, H, W), got (2, 5, 8, 8)."),
        ((2, 3, 8), "body", "Outer.body.0: a convolution expects shape (N, 3, H, W), got (2, 3, 8)."),
        ((2, 6), "head", "Outer.head: a linear layer expects shape (N, 5), got (2, 6)."),
        ((2, 3, 5), "head", "Outer.head: a linear layer expects shape (N, 5), got (2, 3, 5)."),
        ((2, 5), "inner", "Inner.last: a linear layer expects shape (N, 6), got (2, 5)."),
        ((0, 3, 8, 8), "body", "Outer was given an empty array, of shape (0, 3, 8, 8)."),
    ],
)
def test_a_network_names_the_layer_that_an_array_does_not_fit(shape, where, message):
    with pytest.raises(ShapeError) as caught:
        network()(ganzoo.jt.zeros(shape), where=where)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: ganzoo.Conv(4, 8, 3, groups=2), (2, 2, 8, 8), "(N, 4, H, W)"),
        (lambda: ganzoo.ConvTranspose(4, 8, 4, 2, 1), (2, 8, 8, 8), "(N, 4, H, W)"),
        (lambda: ganzoo.UpsampledConv(4, 8), (2, 8, 8, 8), "(N, 4, H, W)"),
        (lambda: ganzoo.BatchNorm(4), (2, 8, 8, 8), "(N, 4, ...)"),
        (lambda: ganzoo.BatchNorm(4), (8,), "(N, 4, ...)"),
        (lambda: ganzoo.InstanceNorm(4), (2, 8, 8, 8), "(N, 4, H, W)"),
        (lambda: ganzoo.InstanceNorm(4), (2, 4), "(N, 4, H, W)"),
        (lambda: ganzoo.GroupNorm(2, 4), (2, 8, 8, 8), "(N, 4, ...)"),
        (lambda: ganzoo.GroupNorm(2, 4), (8,), "(N, 4, ...)"),
        (lambda: ganzoo.spectral_norm(ganzoo.Conv(4, 8, 3)), (2, 8, 8, 8), "(N, 4, H, W)"),
    ],
)
def test_each_layer_names_the_shape_it_expects(layer, shape, expected):
    with pytest.raises(ShapeError) as caught:
        layer()(ganzoo.jt.zeros(shape))
    assert f"expects shape {expected}, got {shape}" in str(caught.value)


def test_layers_and_losses_reject_an_empty_array():
    jt = ganzoo.jt
    empty = jt.zeros((4, 3, 8, 8))[np.zeros(0, int)]
    for use in (
        lambda: ganzoo.Conv(3, 4, 3)(empty),
        lambda: ganzoo.ConvTranspose(3, 4, 4)(empty),
        lambda: ganzoo.BatchNorm(3)(empty),
        lambda: ganzoo.InstanceNorm(3)(empty),
        lambda: ganzoo.GroupNorm(3, 3)(empty),
        lambda: ganzoo.hinge(jt.zeros((0, 1)), True),
        lambda: ganzoo.wasserstein(jt.zeros((0, 1)), False),
        lambda: ganzoo.Linear(3, 4)(jt.zeros((0, 3))),
        lambda: ganzoo.least_squares(jt.zeros((0, 1)), True),
        lambda: ganzoo.least_squares(jt.zeros((0, 1)), False),
        lambda: ganzoo.binary_cross_entropy(jt.zeros((0, 1)), True),
        lambda: ganzoo.r1_penalty(jt.zeros((0, 1)), empty),
        lambda: ganzoo.gradient_penalty(lambda x: x, empty, empty, jt.zeros((0, 1, 1, 1))),
    ):
        with pytest.raises(ShapeError, match=r"\(0, "):
            use()


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda nn: nn.Conv(5, 1, 3), (2, 3, 8, 8), "Conv does not fit an array of shape (2, 3, 8, 8); its weight has"),
        (
            lambda nn: nn.Linear(7, 1),
            (2, 6),
            "Linear does not fit an array of shape (2, 6); its weight has shape (1, 7).",
        ),
    ],
)
def test_a_network_names_a_layer_of_jittor_too(make, shape, message):
    class Holder(ganzoo.Network):
        def __init__(self) -> None:
            super().__init__()
            self.layers = ganzoo.jt.nn.Sequential(make(ganzoo.jt.nn))

        def execute(self, x):
            return self.layers(x)

    with pytest.raises(ShapeError) as caught:
        Holder()(ganzoo.jt.zeros(shape))
    assert str(caught.value).startswith(f"Holder.layers.0: Jittor's {message}")


def test_an_assertion_of_the_network_itself_is_not_changed():
    class Strict(ganzoo.Network):
        def execute(self, x):
            assert x.shape[0] == 3, "three images"

    with pytest.raises(AssertionError, match="three images"):
        Strict()(ganzoo.jt.zeros((2, 1)))


def test_norms_of_single_numbers_and_unequal_groups_are_refused():
    for norm, shape in ((ganzoo.InstanceNorm(3), (2, 3, 1, 1)), (ganzoo.GroupNorm(3, 3), (2, 3))):
        with pytest.raises(ShapeError, match=r"is always 0; it was given shape \(2, 3"):
            norm(ganzoo.jt.zeros(shape))
    with pytest.raises(ShapeError, match="can't split 6 channels into 4 equal groups"):
        ganzoo.GroupNorm(4, 6)


def test_pooling_of_an_odd_side_is_refused():
    with pytest.raises(ShapeError, match=r"even height and width, got \(1, 2, 7, 8\)"):
        ganzoo.average_pool(ganzoo.jt.zeros((1, 2, 7, 8)))


def test_training_with_a_layer_of_the_wrong_size_ends_in_one_line(ganzoo, pictures, monkeypatch):
    import ganzoo_gan.networks as networks

    from tests.cli.test_train import one_error
    from tests.conftest import TINY_RUN_OPTIONS

    execute = networks.MLPDiscriminator.execute
    monkeypatch.setattr(networks.MLPDiscriminator, "execute", lambda self, images: execute(self, images[:, :1]))
    message = one_error(ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS), 1)
    assert message.startswith("Error: phase 'generator': MLPDiscriminator.")
    assert message.endswith("a linear layer expects shape (N, 192), got (4, 64).")


def test_training_on_an_empty_selection_ends_in_one_line(ganzoo, pictures, monkeypatch):
    import ganzoo_gan.networks as networks

    from tests.cli.test_train import one_error
    from tests.conftest import TINY_RUN_OPTIONS

    execute = networks.MLPGenerator.execute
    monkeypatch.setattr(networks.MLPGenerator, "execute", lambda self, z: execute(self, z)[np.zeros(0, int)])
    message = one_error(ganzoo("train", "gan", "--data", "pictures", *TINY_RUN_OPTIONS), 1)
    assert message == "Error: phase 'generator': MLPDiscriminator was given an empty array, of shape (0, 3, 8, 8)."
