"""Conversion between uint8 images and the floats in [-1, 1] that networks see.

RGBA images have straight alpha, as in PNG files. Networks see premultiplied colours (times alpha) and alpha: colours
that transparent pixels hide don't count, and a transparent pixel is -1 in every channel.
"""

from __future__ import annotations

import numpy as np

IS_ALPHA = np.array([0, 0, 0, 1], np.float32).reshape(1, 4, 1, 1)  # selects alpha of RGBA images (N, 4, H, W)


def to_floats(pixels: np.ndarray) -> np.ndarray:
    """Convert uint8 (N, H, W, C) to float32 (N, C, H, W) in [-1, 1], and premultiply the colours of RGBA."""
    planes = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)
    if planes.shape[1] == 4:
        planes[:, :3] *= planes[:, 3:] / 255
    return planes / 127.5 - 1.0


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Convert floats (N, C, H, W) in [-1, 1] to uint8 (N, H, W, C), clipping and rounding. Of four channels, the result
    is RGBA with straight alpha, from colours that were premultiplied; fully transparent pixels are black."""
    if images.shape[1] == 4:
        return _unpremultiplied(images)
    scaled = np.rint((images + 1.0) * 127.5)
    bounded = np.nan_to_num(np.clip(scaled, 0, 255))  # a diverged network may output NaN
    return bounded.astype(np.uint8).transpose(0, 2, 3, 1)


def _unpremultiplied(images: np.ndarray) -> np.ndarray:
    scaled = np.nan_to_num(np.clip((images + 1.0) * 127.5, 0, 255))
    colours, alpha = scaled[:, :3], np.rint(scaled[:, 3:])
    # Divided by the rounded alpha, not the exact one, colours times alpha change by at most half a level.
    straight = np.divide(255 * colours, alpha, out=np.zeros_like(colours), where=alpha > 0)
    bounded = np.concatenate([np.rint(np.minimum(straight, 255)), alpha], 1)
    return bounded.astype(np.uint8).transpose(0, 2, 3, 1)
