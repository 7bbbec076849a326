"""ganzoo's contract test, with networks small enough to run in seconds."""

from __future__ import annotations

from example_wgan_gp import WGANGP

from ganzoo.testing import check_model


def test_wgan_gp_does_what_ganzoo_expects_of_a_model() -> None:
    check_model(WGANGP(), {"size": 16, "latent": 8, "width": 4, "n_critic": 2})
