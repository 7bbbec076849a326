"""Animal Faces-HQ (Choi et al. 2020): about 15,000 faces of cats, dogs and wild animals, 512 px."""

from __future__ import annotations

from ganzoo_datasets.local import LocalSource


class AFHQ(LocalSource):
    """AFHQ is not bundled: its licence, CC BY-NC 4.0, forbids commercial use. `archive` is the authors' copy."""

    name = "afhq"
    summary = "15,000 faces of cats, dogs and wild animals; `ganzoo data download afhq` fetches them"
    official = "https://github.com/clovaai/stargan-v2 (Animal Faces-HQ, about 15,000 images of 512 px)"
    layout = tuple(f"{part}/{domain}/*.jpg" for part in ("train", "val") for domain in ("cat", "dog", "wild"))
    domains = True
    archive = "https://www.dropbox.com/s/t9l9o3vsx2jai3z/afhq.zip?dl=1"
    archive_folders = ("train/cat", "train/dog", "train/wild")
