"""CelebA-HQ (Karras et al. 2018): 30,000 faces of CelebA in better quality, in the split of StarGAN v2."""

from __future__ import annotations

from ganzoo_datasets.local import LocalSource


class CelebAHQ(LocalSource):
    """Not bundled: CelebA's terms apply (non-commercial research). `archive` is the copy of StarGAN v2's authors."""

    name = "celeba-hq"
    summary = "30,000 faces, female and male; `ganzoo data download celeba-hq` fetches them"
    official = "https://github.com/clovaai/stargan-v2 (CelebA-HQ by gender, 30,000 images)"
    layout = tuple(f"{part}/{domain}/*.jpg" for part in ("train", "val") for domain in ("female", "male"))
    domains = True
    archive = "https://www.dropbox.com/s/f7pvjij2xlpff59/celeba_hq.zip?dl=1"
    archive_folders = ("train/female", "train/male")
