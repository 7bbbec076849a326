"""ganzoo's contract test, with networks small enough to run in seconds."""

from __future__ import annotations

from example_cyclegan import CycleGAN

from ganzoo.testing import check_model


def test_cyclegan_does_what_ganzoo_expects_of_a_model() -> None:
    check_model(CycleGAN(), {"size": 32, "width": 2, "blocks": 1, "pool": 3}, size=32, channels=(3,))
