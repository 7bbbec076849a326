"""The filters around a geometric warp: doubling and halving of resolution with the wavelet sym6.

Karras et al. 2020 (arXiv:2006.06676), appendix B, choose its low-pass filter because halving then exactly undoes
doubling, and because it is nearly symmetric.
"""

from __future__ import annotations

import functools

import numpy as np

# The orthonormal low-pass filter of the least asymmetric Daubechies wavelet with six vanishing moments (Daubechies,
# Ten Lectures on Wavelets, 1992, section 8.1.1).
SYM6 = np.array(
    [
        0.015404109327027373,
        0.0034907120842174702,
        -0.11799011114819057,
        -0.048311742585633,
        0.4910559419267466,
        0.787641141030194,
        0.3379294217276218,
        -0.07263752278646252,
        -0.021060292512300564,
        0.04472490177066578,
        0.0017677118642428036,
        -0.007800708325034148,
    ]
)
FIRST = 5  # taps before a pixel: pixel k is spread over the samples 2k - FIRST ... 2k + 6
MARGIN = 2 * FIRST  # samples of twice the resolution that halving reads beyond the 2 * side of the image


@functools.lru_cache(maxsize=16)
def doubling(side: int) -> np.ndarray:
    """Return the matrix (4 (side - 1), side) that doubles the resolution of a row of pixels.

    The row is reflected at its ends without repeating the last pixel, and so repeats with period 2 (side - 1). The
    result is one period at twice the resolution.
    """
    period = 2 * (side - 1)
    matrix = np.zeros((2 * period, side))
    for pixel in range(period):
        samples = (2 * pixel - FIRST + np.arange(len(SYM6))) % (2 * period)
        np.add.at(matrix[:, min(pixel, period - pixel)], samples, np.sqrt(2) * SYM6)
    return matrix


@functools.lru_cache(maxsize=16)
def halving(side: int) -> np.ndarray:
    """Return the matrix (side, 2 * side + MARGIN) that halves the resolution of the samples -FIRST ... 2 * side + 4."""
    matrix = np.zeros((side, 2 * side + MARGIN))
    for pixel in range(side):
        matrix[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = SYM6 / np.sqrt(2)
    return matrix
