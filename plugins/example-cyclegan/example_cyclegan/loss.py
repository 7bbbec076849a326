"""CycleGAN's objective (Zhu et al. 2017, section 3), with least squares in place of cross-entropy (section 4)."""

from ganzoo import DirectTranslator, Loss, Phase, least_squares


class CycleGANLoss(Loss):
    """Updates both generators, then both discriminators on images from a pool of earlier translations."""

    phases = (Phase("generators", ("to_b", "to_a")), Phase("discriminators", ("discriminator_b", "discriminator_a")))

    def __init__(self, networks, cycle):
        self.networks, self.cycle = networks, cycle

    def __call__(self, phase, batch, progress):
        a, b = batch.domains
        terms = {}
        for source, real, there, back in ((a, b, "b", "a"), (b, a, "a", "b")):
            discriminator = self.networks[f"discriminator_{there}"]
            if phase.name == "generators":
                fakes = self.networks[f"to_{there}"](source)
                batch.cache[there] = fakes.detach()
                terms[f"adversarial_{there}"] = least_squares(discriminator(fakes), real=True)
                terms[f"cycle_{there}"] = self.cycle * (self.networks[f"to_{back}"](fakes) - source).abs().mean()
            else:
                fakes = self.networks[f"pool_{there}"].query(batch.cache[there], batch)
                terms[f"real_{there}"] = 0.5 * least_squares(discriminator(real), real=True)
                terms[f"fake_{there}"] = 0.5 * least_squares(discriminator(fakes), real=False)
        return terms


class CycleTranslator(DirectTranslator):
    """Translates from the first domain to the second, and back."""

    directions = ((0, 1), (1, 0))

    def __init__(self, to_b, to_a):
        self.networks = {(0, 1): to_b, (1, 0): to_a}

    def translate(self, images, direction):
        return self.networks[direction](images)
