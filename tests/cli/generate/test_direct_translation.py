"""Models that translate without styles on the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ganzoo.checkpoints import checkpoint
from tests.support.shifting import FORWARD, ShiftModel

TRAIN = ["train", "shift", "--data", "pictures", "--batch", "4", "--kimg", "0.012", "--tick", "0.008"]
RUN = Path("experiments/00000-shift-pictures")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture
def run(jittor, ganzoo, domains, add_model) -> Path:
    """Return the folder of a run that trained for three steps."""
    add_model(ShiftModel())
    result = ganzoo(*TRAIN)
    assert result.exit_code == 0, result.output
    return RUN


def one_error(result, status: int = 2) -> str:
    assert result.exit_code == status, result.output
    (line,) = result.stderr.strip().splitlines()
    return line


def test_a_tick_writes_one_sheet_with_every_direction(run):
    names = sorted(path.name for path in run.glob("samples-*.png"))
    assert names == [f"samples-{images:09d}.png" for images in (4, 8, 12)]
    sheet = pixels(run / names[-1])
    assert sheet.shape[0] == 2 * 3 * 66 + 2, "source, translation and back, in two directions"
    source, translated, back = (sheet[66 * row + 2 : 66 * row + 66, -66:-2].astype(float).mean() for row in range(3))
    assert translated > source + 5
    assert abs(back - source) < 1


def test_every_source_is_translated_in_every_direction(ganzoo, run):
    result = ganzoo("generate", "--source", "pictures/one/0.png", "--source", "pictures/one/1.png", "--out", "out")
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == ["0-one2two.png", "0-two2one.png", "1-one2two.png", "1-two2one.png", "grid.png"]
    shift = float(checkpoint.read(checkpoint.newest(run)).tensors["net/shift/shift"].item())
    assert shift > 0.2
    source = pixels(Path("pictures/one/0.png")).astype(float)
    for name, sign in (("0-one2two", 1), ("0-two2one", -1)):
        expected = np.clip(source + sign * shift * 127.5, 0, 255)
        assert np.abs(pixels(Path(f"out/{name}.png")) - expected).max() <= 1


def test_a_domain_selects_the_directions_that_lead_to_it(ganzoo, run):
    assert ganzoo("generate", "--source", "pictures/one", "--domain", "two", "--out", "out").exit_code == 0
    assert len(list(Path("out").glob("*-one2two.png"))) == 9
    assert not list(Path("out").glob("*-two2one.png"))


@pytest.mark.parametrize(
    "arguments",
    [["--seeds", "0"], ["--psi", "0.5"], ["--reference", "pictures/two", "--domain", "two"], ["--interpolate"]],
)
def test_options_of_styles_are_refused(ganzoo, run, arguments):
    message = one_error(ganzoo("generate", "--source", "pictures/one/0.png", *arguments))
    assert (
        message
        == f"Error: {arguments[0].replace('--psi', '--psi / --truncation')}: shift translates images without styles."
    )


def test_a_domain_to_which_no_direction_leads_is_an_error(ganzoo, domains, add_model, jittor):
    add_model(ShiftModel((FORWARD,)))
    assert ganzoo(*TRAIN).exit_code == 0
    message = one_error(ganzoo("generate", "--source", "pictures/one/0.png", "--domain", "one"))
    assert message == "Error: --domain one: no direction leads there; the model has one2two."


def test_the_diversity_of_single_translations_is_not_measured(ganzoo, run):
    message = one_error(ganzoo("evaluate", "--metrics", "lpips"))
    assert "lpips: measures the diversity of an image's translations; this model doesn't make several" in message


def test_the_model_keeps_the_contract(jittor):
    from ganzoo.testing import check_model

    check_model(ShiftModel(), channels=(3,))


def test_a_direction_to_a_domain_that_the_data_lacks_is_refused(jittor, ganzoo, domains, add_model):
    add_model(ShiftModel(directions=(FORWARD, (0, 2))))
    error = one_error(ganzoo(*TRAIN), status=1)
    assert error == (
        "Error: the direction (0, 2) of the translator needs domain 2, but the data has 2 domains, numbered from 0."
    )


class Stray(ShiftModel):
    """A model whose translator has a network that nothing trains."""

    def build(self, *arguments):
        setup = super().build(*arguments)
        setup.translator.networks = {FORWARD: super().build(*arguments).networks["shift"]}
        return setup


def test_a_translator_with_a_network_that_is_not_trained_is_refused(jittor, ganzoo, domains, add_model):
    add_model(Stray())
    assert one_error(ganzoo(*TRAIN), status=1) == (
        "Error: the translator has a network, in 'networks', that is not among those of the Setup, so it would "
        "not be trained."
    )


class Unconditional(ShiftModel):
    conditional = False


def test_a_translator_of_a_model_that_is_not_conditional_is_refused(jittor, ganzoo, domains, add_model):
    add_model(Unconditional())
    assert one_error(ganzoo(*TRAIN), status=1) == (
        "Error: a model with a translator or with classes needs `conditional = True`, or an option `conditional`."
    )
