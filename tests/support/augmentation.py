"""Augmentations computed in float64 with PyTorch, step by step from the papers' formulas."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ganzoo.training.augmentation.wavelet import SYM6

MARGIN = 40  # px of reflected border, more than the tests' transformations reach


def diffaugment(images: torch.Tensor, parameters: dict[str, np.ndarray]) -> torch.Tensor:
    """Augment each image by itself: colour, then translation, then cutout (Zhao et al. 2020, section 4). The colours of
    RGBA are divided by alpha first, and its mean is weighted by alpha."""
    augmented = []
    for index, image in enumerate(images):
        brightness, saturation, contrast, shift, corner = (
            parameters[name][index] for name in ("brightness", "saturation", "contrast", "shift", "cutout")
        )
        image, alpha = straight(image)
        image = image + brightness
        grey = image.mean(0, keepdim=True)
        image = grey + saturation * (image - grey)
        mean = (grey * alpha).sum() / alpha.sum()
        image = mean + contrast * (image - mean)
        outside = 0.0
        if images.shape[1] == 4:
            image, outside = premultiplied(image, alpha), -1.0
        height, width = image.shape[1:]
        padded = F.pad(image, (width, width, height, height), value=outside)
        down, right = (int(each) for each in shift)
        image = padded[:, height - down : 2 * height - down, width - right : 2 * width - right]
        mask = torch.ones(1, height, width, dtype=torch.float64)
        top, left = (int(each) for each in corner)
        hole_h, hole_w = (int(side / 2 + 0.5) for side in (height, width))
        mask[:, max(top, 0) : max(top + hole_h, 0), max(left, 0) : max(left + hole_w, 0)] = 0
        augmented.append(outside + (image - outside) * mask)
    return torch.stack(augmented)


def straight(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the straight colours of an image (..., C, H, W), in [-1, 1], and its alpha (..., 1, H, W) in [0, 1]."""
    if image.shape[-3] != 4:
        return image, torch.ones_like(image[..., :1, :, :])
    colours, alpha = (image[..., :3, :, :] + 1) / 2, (image[..., 3:, :, :] + 1) / 2
    return 2 * colours / alpha - 1, alpha


def premultiplied(colours: torch.Tensor, alpha: torch.Tensor) -> torch.Tensor:
    """Undo `straight`, for RGBA."""
    return torch.cat([(colours + 1) * alpha - 1, 2 * alpha - 1], -3)


def ada(images: torch.Tensor, geometry: np.ndarray, colour: np.ndarray) -> torch.Tensor:
    """Move points by `geometry` (N, 3, 3) and map colours by `colour` (N, 3, 4) (Karras et al. 2020, appendix B).

    Images are padded by reflection, doubled by zero insertion and a filter, resampled bilinearly at the points that
    the inverse matrix gives, and halved by a filter and decimation.
    """
    count, channels, height, width = images.shape
    padded = torch.from_numpy(np.pad(np.arange(height * width).reshape(height, width), MARGIN, mode="reflect"))
    big = images.reshape(count, channels, -1)[:, :, padded.reshape(-1)].reshape(count, channels, *padded.shape)
    # Transposed convolutions insert zeros; pixel k begins at sample 2 k, and at 2 k - 5 once five samples are dropped.
    taps = torch.from_numpy(SYM6)
    flat = big.reshape(-1, 1, *padded.shape)
    doubled = F.conv_transpose2d(flat, 2 * torch.outer(taps, taps)[None, None], stride=2)
    # The first output sample that halving reads is at pixel coordinate (-5 + 0.5) / 2.
    rows, columns = ((torch.arange(-5, 2 * side + 5, dtype=torch.float64) + 0.5) / 2 for side in (height, width))
    y, x = torch.meshgrid(rows - height / 2, columns - width / 2, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1)
    inverse = torch.from_numpy(np.linalg.inv(geometry))
    sources = torch.einsum("nij,hwj->nhwi", inverse, points)[..., :2]
    # In pixels of the padded image, then in samples of the doubled one, which begins five samples earlier.
    sample_x = 2 * (sources[..., 0] + width / 2 + MARGIN) - 0.5 + 5
    sample_y = 2 * (sources[..., 1] + height / 2 + MARGIN) - 0.5 + 5
    grid = torch.stack(
        [2 * sample_x / (doubled.shape[3] - 1) - 1, 2 * sample_y / (doubled.shape[2] - 1) - 1], -1
    ).repeat_interleave(channels, 0)
    warped = F.grid_sample(doubled, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    halved = F.conv2d(warped, torch.outer(taps, taps)[None, None] / 2, stride=2)
    halved = halved.reshape(count, channels, height, width)
    colours, alpha = straight(halved)
    rgb = colours.expand(-1, 3, -1, -1)
    matrix = torch.from_numpy(colour)
    mapped = torch.einsum("nij,njhw->nihw", matrix[:, :, :3], rgb) + matrix[:, :, 3, None, None]
    if channels == 4:
        return premultiplied(mapped, alpha)
    return mapped if channels == 3 else mapped.mean(1, keepdim=True)
