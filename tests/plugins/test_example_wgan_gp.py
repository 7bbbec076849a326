"""The example as users use it: copied, installed into another environment, tested and trained there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "plugins" / "example-wgan-gp"
TINY = ["--size", 16, "--latent", 8, "--width", 4, "--batch", 4, "--kimg", 0.008, "--data", "mnist", "--device", "cpu"]


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """Return a copy of the plugin, because building writes into its folder."""
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".pytest_cache")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "example", ignore=ignored))


def test_the_example_can_be_installed_and_tested_and_trained(virtualenv: Any, example: Path, tmp_path: Path) -> None:
    virtualenv.install(example)
    where = virtualenv.run("-c", "import example_wgan_gp; print(example_wgan_gp.__file__)")
    assert where.startswith(str(virtualenv.folder))

    plugins = {row["name"]: row for row in json.loads(virtualenv.run("-m", "ganzoo", "plugins", "--json"))}
    assert plugins["wgan-gp"]["origin"] == "example-wgan-gp 0.1.0"
    assert plugins["wgan-gp"]["provides"] == {"models": ["wgan-gp"]}
    assert plugins["wgan-gp"]["problems"] == []
    assert plugins["ganzoo_lsgan"]["provides"]["models"] == ["lsgan"]

    assert "1 passed" in virtualenv.run("-m", "pytest", "-p", "no:cacheprovider", example / "tests")

    out = virtualenv.run("-m", "ganzoo", "train", "wgan-gp", *TINY, "--experiments", tmp_path / "experiments")
    assert "finished: " in out
    (run,) = (tmp_path / "experiments").iterdir()
    (tick,) = map(json.loads, (run / "stats.jsonl").read_text().splitlines())
    assert tick["step"] == 2
    assert tick["losses"].keys() == {"critic/wasserstein", "critic/penalty", "generator/adversarial"}
    assert len(list(run.glob("checkpoint-*.safetensors"))) == 1


def test_every_option_is_in_the_readme(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(example)
    from example_wgan_gp import WGANGPOptions

    from ganzoo.interfaces.options import options_by_name

    readme = (example / "README.md").read_text()
    rows = {
        cells[1].strip(" `"): cells[2].strip()
        for cells in (line.split("|") for line in readme.splitlines() if line.startswith("| `"))
    }
    options = options_by_name(WGANGPOptions)
    assert rows.keys() == {option.flag for option in options.values()}
    for option in options.values():
        assert float(rows[option.flag]) == option.default


def test_the_generator_is_updated_in_every_nth_step(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(example)
    from example_wgan_gp import WGANGP, WGANGPOptions

    from ganzoo import DataInfo, TrainOptions

    setup = WGANGP().build(
        WGANGPOptions(size=16, width=4, latent=8, n_critic=3), DataInfo("made-up", 8, 16, 1), TrainOptions()
    )
    assert [(phase.name, phase.networks, phase.interval) for phase in setup.loss.phases] == [
        ("critic", ("critic",), 1),
        ("generator", ("generator",), 3),
    ]


def test_the_critics_loss_terms_match_the_paper(example: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The gradient of a linear critic is its weight, for any image: penalty = lambda (|w| - 1)^2.
    monkeypatch.syspath_prepend(example)
    import numpy as np
    from example_wgan_gp.loss import WGANGPLoss

    import ganzoo
    from ganzoo import Batch, Progress, jt

    class Linear(ganzoo.Discriminator):
        def __init__(self) -> None:
            super().__init__()
            self.weight = jt.array(np.full((1, 1, 4, 4), 0.75, np.float32))  # the L2 norm is 3

        def execute(self, images: Any) -> Any:
            return (images * self.weight).sum([1, 2, 3]).reshape((-1, 1))

    class Grey(ganzoo.Generator):
        latent = 8

        def execute(self, z: Any) -> Any:
            return jt.zeros((z.shape[0], 1, 4, 4)) + 0.25 + 0.0 * z.mean()

    loss = WGANGPLoss(Grey(), Linear(), n_critic=5, penalty=10.0)
    batch = Batch(jt.ones((4, 1, 4, 4)).stop_grad(), np.zeros(4, np.int64), np.random.default_rng(0))
    critic, generator = loss.phases
    terms = {name: float(term.item()) for name, term in loss(critic, batch, Progress()).items()}
    assert terms["wasserstein"] == pytest.approx(16 * 0.75 * (0.25 - 1.0), rel=1e-5)
    assert terms["penalty"] == pytest.approx(10.0 * (3.0 - 1.0) ** 2, rel=1e-5)
    assert float(loss(generator, batch, Progress())["adversarial"].item()) == pytest.approx(-16 * 0.75 * 0.25, rel=1e-5)
