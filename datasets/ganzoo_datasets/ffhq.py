"""Flickr-Faces-HQ (Karras et al. 2019): 70,000 faces, here the 128 px thumbnails."""

from __future__ import annotations

from ganzoo_datasets.local import LocalSource


class FFHQ(LocalSource):
    """Not bundled: the licences of the individual photos and of the set (CC BY-NC-SA 4.0) don't allow it."""

    name = "ffhq"
    summary = "70,000 faces, RGB; download it from NVIDIA (`--data ffhq` explains how)"
    official = "https://github.com/NVlabs/ffhq-dataset (thumbnails128x128, 70,000 images of 128 px)"
    layout = ("thumbnails128x128/00000/00000.png", "thumbnails128x128/00000/00001.png", "...")
