"""The contract test on the bundled models, with the smallest possible networks."""

from __future__ import annotations

from typing import Any

import pytest

from ganzoo.registry import plugins
from ganzoo.testing import check_model

STYLEGAN = {"init_size": 4, "channels_base": 512, "channels_max": 8, "latent": 8, "mapping_layers": 2}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gan", {"size": 16, "latent": 8, "ema": 0.9}),
        ("lsgan", {"size": 16, "latent": 8, "ema": 0.9}),
        ("lsgan", {"size": 16, "latent": 8, "variant": "tutorial"}),
        ("stargan2", {"channels_base": 512, "channels_max": 8, "hidden": 8, "style": 8, "ema": 0.9}),
        ("stylegan", {**STYLEGAN, "mixing": True}),
        ("stylegan", {**STYLEGAN, "architecture": "paper", "loss": "r1", "r1_interval": 2, "w_average": 0.9}),
    ],
)
def test_a_bundled_model_does_what_ganzoo_expects(name: str, options: dict[str, Any]) -> None:
    check_model(plugins.load().model(name), options)


def test_every_bundled_model_is_tested_here() -> None:
    registry = plugins.load()
    bundled = {
        name for each in registry.plugins if each.distribution == "ganzoo" for name in each.provides.get("models", [])
    }
    for test in (test_a_bundled_model_does_what_ganzoo_expects, test_a_bundled_model_accepts_images_with_alpha):
        (marker,) = test.pytestmark  # type: ignore[attr-defined]
        assert {name for name, _ in marker.args[1]} == bundled


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gan", {"size": 16, "latent": 8}),
        ("lsgan", {"size": 16, "latent": 8}),
        ("stargan2", {"channels_base": 512, "channels_max": 8, "hidden": 8, "style": 8}),
        ("stylegan", STYLEGAN),
    ],
)
def test_a_bundled_model_accepts_images_with_alpha(name: str, options: dict[str, Any]) -> None:
    check_model(plugins.load().model(name), options, channels=(4,))
