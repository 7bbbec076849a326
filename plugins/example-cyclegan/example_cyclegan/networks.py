"""CycleGAN's networks (Zhu et al. 2017, appendix 7.2)."""

from ganzoo import Conv, ConvTranspose, Discriminator, InstanceNorm, LeakyReLU, Network, Tanh, jt

nn = jt.nn


class ResNetGenerator(Network):
    """Conv 7x7, 2 convs of stride 2, residual blocks, 2 transposed convs, conv 7x7, tanh; instance norms and ReLU."""

    def __init__(self, channels, width, blocks):
        super().__init__()
        layers = [nn.ReflectionPad2d(3), Conv(channels, width, 7), InstanceNorm(width), nn.ReLU()]
        for wide in (width, 2 * width):
            layers += [Conv(wide, 2 * wide, 3, stride=2, padding=1), InstanceNorm(2 * wide), nn.ReLU()]
        layers += [ResidualBlock(4 * width) for _ in range(blocks)]
        for wide in (2 * width, width):
            layers += [ConvTranspose(2 * wide, wide, 3, 2, 1, output_padding=1), InstanceNorm(wide), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.ReflectionPad2d(3), Conv(width, channels, 7), Tanh())

    def execute(self, images):
        return self.layers(images)


class ResidualBlock(nn.Module):
    """x + 2 x [reflection padding, conv 3x3, instance norm], with ReLU between."""

    def __init__(self, width):
        super().__init__()
        first = nn.ReflectionPad2d(1), Conv(width, width, 3), InstanceNorm(width), nn.ReLU()
        self.layers = nn.Sequential(*first, nn.ReflectionPad2d(1), Conv(width, width, 3), InstanceNorm(width))

    def execute(self, x):
        return x + self.layers(x)


class PatchDiscriminator(Discriminator):
    """Scores of overlapping patches of 70 px: convs 4x4 of stride 2, 2, 2 and 1, then one to a single feature map."""

    def __init__(self, channels, width):
        super().__init__()
        self.decision_boundary = 0.5  # of least squares
        layers = [Conv(channels, width, 4, 2, 1), LeakyReLU(0.2)]
        for inputs, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
            layers += [Conv(inputs, 2 * inputs, 4, stride, 1), InstanceNorm(2 * inputs), LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, Conv(8 * width, 1, 4, 1, 1))

    def execute(self, images):
        return self.layers(images)
