"""The bundled data sets, one file each. See datasets/README.md."""

from __future__ import annotations

from collections.abc import Iterable

from ganzoo import DataSource, hookimpl


@hookimpl
def ganzoo_datasets() -> Iterable[DataSource]:
    from ganzoo_datasets.afhq import AFHQ
    from ganzoo_datasets.avatars import Avatars
    from ganzoo_datasets.celeba import CelebA
    from ganzoo_datasets.celeba_hq import CelebAHQ
    from ganzoo_datasets.emoji import Emoji
    from ganzoo_datasets.ffhq import FFHQ
    from ganzoo_datasets.fluent import Fluent
    from ganzoo_datasets.mnist import MNIST
    from ganzoo_datasets.styles import Styles
    from ganzoo_datasets.symbols import Symbols

    return [AFHQ(), Avatars(), CelebA(), CelebAHQ(), Emoji(), FFHQ(), Fluent(), MNIST(), Styles(), Symbols()]
