"""CelebFaces Attributes (Liu et al. 2015): 202,599 aligned faces of celebrities."""

from __future__ import annotations

from ganzoo_datasets.local import LocalSource


class CelebA(LocalSource):
    """Not bundled: the terms allow only non-commercial research and forbid redistribution."""

    name = "celeba"
    summary = "202,599 faces, RGB; download it from the CUHK (`--data celeba` explains how)"
    official = (
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html (img_align_celeba.zip, 202,599 images of 178 x 218 px)"
    )
    layout = ("img_align_celeba/000001.jpg", "img_align_celeba/000002.jpg", "...")
