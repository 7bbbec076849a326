from __future__ import annotations

import pytest

import ganzoo
from ganzoo.errors import OptionError


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ganzoo.Adam(-1.0), "Adam: learning_rate is -1.0, not a number of at least 0 or a schedule."),
        (lambda: ganzoo.SGD("fast"), "SGD: learning_rate is 'fast', not a number of at least 0 or a schedule."),
        (lambda: ganzoo.Adam(0.1, beta2=1.0), "beta2 is 1.0, not a number of at least 0 and below 1."),
        (lambda: ganzoo.AdamW(0.1, weight_decay=-1), "AdamW: weight_decay is -1, not a number of at least 0."),
        (lambda: ganzoo.RMSprop(0.1, alpha=1), "alpha is 1, not a number of at least 0 and below 1."),
        (lambda: ganzoo.SGD(0.1, momentum=1), "momentum is 1, not a number of at least 0 and below 1."),
        (lambda: ganzoo.SGD(0.1, nesterov=True), "momentum is 0.0, not above 0, which nesterov needs."),
        (lambda: ganzoo.RMSprop(0.1, clip_norm=0), "clip_norm is 0, not a number above 0."),
        (lambda: ganzoo.RMSprop(0.1, clip_weights=True), "clip_weights is True, not a number above 0."),
        (lambda: ganzoo.Adam(0.1).with_lazy_regularisation(0), "the interval of lazy regularisation is 0, not"),
    ],
)
def test_values_out_of_range_are_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()


def test_lazy_regularisation_corrects_learning_rate_and_betas():
    """Karras et al. 2020, appendix B, with R1 in every 16th step: c = 16/17."""
    adam = ganzoo.Adam(0.002, beta1=0.5, beta2=0.99, multipliers={"mapping.": 0.01}, clip_norm=1.0)
    lazy = adam.with_lazy_regularisation(16)
    assert (lazy.beta1, lazy.beta2) == pytest.approx((0.5 ** (16 / 17), 0.99 ** (16 / 17)), rel=1e-12)
    assert lazy.multipliers == {"": 16 / 17, "mapping.": 0.01}
    assert (lazy.learning_rate, lazy.clip_norm) == (0.002, 1.0)
    assert lazy.with_lazy_regularisation(4).multipliers[""] == pytest.approx(16 / 17 * 4 / 5)
    assert type(ganzoo.AdamW(0.1).with_lazy_regularisation(4)) is ganzoo.AdamW
