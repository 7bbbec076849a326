"""CycleGAN: translation between two domains without pairs. See README.md beside this package."""

from dataclasses import dataclass

import ganzoo
from ganzoo import option


@dataclass(frozen=True)
class CycleGANOptions(ganzoo.Options):
    """Options of `ganzoo train cyclegan`; the defaults are those of Zhu et al. 2017, section 4 and appendix 7."""

    size: int = option(128, "side of the images in px, a multiple of 4", min=32, max=512, network=True)
    width: int = option(64, "feature maps of the first layers", min=1, network=True)
    blocks: int = option(6, "residual blocks of a generator", min=1, max=20, network=True)
    cycle: float = option(10.0, "weight of the cycle-consistency loss", min=0)
    pool: int = option(50, "generated images kept for the discriminators", min=1)
    learning_rate: float = option(2e-4, "learning rate of all networks, in the first half of training", above=0)


class CycleGAN(ganzoo.Model):
    """Two generators, one for each direction, and a discriminator for each domain."""

    name, options, conditional = "cyclegan", CycleGANOptions, True
    summary = "CycleGAN: translation between two domains without pairs"
    paper = (
        "Zhu et al., Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, 2017, "
        "arXiv:1703.10593"
    )
    defaults = {"data": "styles", "batch": 1, "kimg": 200.0, "tick": 2.0}

    def check(self, options, train, data, new):
        if len(data.domains) != 2 or options.size % 4:
            raise ganzoo.OptionError(f"cyclegan needs two domains, not {len(data.domains)}, and --size divisible by 4.")
        return ()

    def loader_config(self, options):
        return ganzoo.LoaderConfig(per_domain=True)

    def build(self, options, data, train):
        from example_cyclegan.loss import CycleGANLoss, CycleTranslator
        from example_cyclegan.networks import PatchDiscriminator, ResNetGenerator

        trained = {f"to_{name}": ResNetGenerator(data.channels, options.width, options.blocks) for name in "ba"}
        trained |= {f"discriminator_{name}": PatchDiscriminator(data.channels, options.width) for name in "ba"}
        shape = data.channels, data.size, data.size
        networks = {**trained, **{f"pool_{name}": ganzoo.ReplayBuffer(options.pool, shape) for name in "ba"}}
        adam = ganzoo.Adam(ganzoo.LinearDecay(options.learning_rate, start=0.5), beta1=0.5)
        return ganzoo.Setup(
            networks=networks,
            optimizers=dict.fromkeys(trained, adam),
            loss=CycleGANLoss(networks, options.cycle),
            translator=CycleTranslator(trained["to_b"], trained["to_a"]),
        )


@ganzoo.hookimpl
def ganzoo_models():
    return [CycleGAN()]
