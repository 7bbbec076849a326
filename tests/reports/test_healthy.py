"""Healthy trainings of the bundled models have no warnings. The losses are typical of real runs."""

from __future__ import annotations

from typing import Any

import pytest

from ganzoo.reports import warnings
from tests.support.run_folders import row

# Model -> the losses of a phase, from the first tick to the last.
LOSSES: dict[str, dict[str, tuple[float, float]]] = {
    "gan": {
        "discriminator/fake": (0.05, 0.18),
        "discriminator/real": (0.08, 0.21),
        "generator/adversarial": (3.1, 1.73),
    },
    "lsgan": {
        "discriminator/fake": (0.1, 0.049),
        "discriminator/real": (0.19, 0.053),
        "generator/adversarial": (0.38, 0.71),
    },
    "stylegan, lazy R1": {
        "discriminator/fake": (0.69, 0.51),
        "discriminator/real": (0.69, 0.51),
        "generator/adversarial": (0.7, 1.01),
        "r1/penalty": (0.0, 0.58),
    },
    "stylegan, wgan-gp": {
        "discriminator/drift": (0.0001, 0.02),
        "discriminator/fake": (0.004, -8.0),
        "discriminator/penalty": (9.0, 0.3),
        "discriminator/real": (-0.003, 6.0),
        "generator/adversarial": (-0.004, 8.0),
    },
    "stargan2": {
        "D-latent/fake": (0.58, 0.05),
        "D-latent/real": (0.77, 0.06),
        "D-latent/reg": (0.002, 0.02),
        "D-reference/fake": (0.47, 0.06),
        "D-reference/real": (0.74, 0.04),
        "D-reference/reg": (0.003, 0.02),
        "G-latent/adv": (1.05, 3.5),
        "G-latent/cyc": (1.05, 0.2),
        "G-latent/ds": (-0.57, 0.0),  # its weight falls to 0
        "G-latent/sty": (1.5, 0.05),
        "G-reference/adv": (1.27, 3.6),
        "G-reference/cyc": (1.03, 0.2),
        "G-reference/ds": (-0.73, 0.0),
        "G-reference/sty": (0.53, 0.02),
    },
    "example wgan-gp": {
        "critic/penalty": (9.5, 0.4),
        "critic/wasserstein": (-0.01, -4.0),
        "generator/adversarial": (0.01, 2.0),
    },
}
LOGGED = {"augmentation/p": (0.0, 0.6), "augmentation/r_t": (0.1, 0.6), "G-latent/lambda_ds": (1.0, 0.0)}


def _rows(losses: dict[str, tuple[float, float]], count: int = 40) -> list[dict[str, Any]]:
    def at(values: dict[str, tuple[float, float]], share: float) -> dict[str, float]:
        return {name: first + (last - first) * share for name, (first, last) in values.items()}

    return [
        row(4.0 * (tick + 1), losses=at(losses, tick / (count - 1)), watched=at(LOGGED, tick / (count - 1)))
        for tick in range(count)
    ]


@pytest.mark.parametrize("model", LOSSES)
def test_a_healthy_training_has_no_warnings(model):
    assert warnings.find_warnings(_rows(LOSSES[model])) == []


def test_metrics_that_have_converged_vary_without_a_warning():
    values = [(90.0, 0.08, 0.1), (20.0, 0.002, 0.4), (21.5, 0.004, 0.38), (22.0, 0.0045, 0.41)]
    rows = [
        row(kimg, metrics={"fid2k-x": fid, "kid2k-x": kid, "recall2k-x": recall})
        for kimg, (fid, kid, recall) in enumerate(values, 1)
    ]
    assert warnings.find_warnings(rows) == []


def test_recall_near_zero_in_early_evaluations_is_no_fall():
    rows = [row(kimg, metrics={"recall2k-x": recall}) for kimg, recall in enumerate((0.0, 0.05, 0.01, 0.02), 1)]
    assert warnings.find_warnings(rows) == []


@pytest.mark.parametrize("phase", ["D-latent", "D-reference"])
def test_stargan2_is_warned_about_the_phase_whose_discriminator_has_won(phase):
    rows = _rows({**LOSSES["stargan2"], f"{phase}/real": (0.001, 0.001), f"{phase}/fake": (0.002, 0.002)})
    (said,) = warnings.find_warnings(rows)
    assert f"{phase}/real (0.001)" in said
