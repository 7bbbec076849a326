"""ganzoo's contract test, with networks small enough to run in seconds."""

from __future__ import annotations

from example_conditional_dcgan import ConditionalDCGAN

from ganzoo.testing import check_model


def test_conditional_dcgan_does_what_ganzoo_expects_of_a_model() -> None:
    check_model(ConditionalDCGAN(), {"size": 16, "latent": 8, "width": 4})
