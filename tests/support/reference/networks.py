"""The basic GAN's and LSGAN's networks in PyTorch, with ganzoo's names of their modules."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

PYTORCH_GAN_EPS = 0.8  # PyTorch-GAN passes 0.8 as BatchNorm's second argument, eps, but means momentum


class MaskedDropout(nn.Module):
    """Dropout with a given mask instead of a random one."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.mask = mask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.mask if self.training else x


class NamedNetwork(nn.Module):
    """A network whose weights can be read and set by ganzoo's names."""

    names: Mapping[str, nn.Module]  # ganzoo's module path -> the module here
    labels: torch.Tensor | None = None  # one-hot, (N, classes)
    projection: nn.Linear | None

    def with_labels(self, z: torch.Tensor) -> torch.Tensor:
        """Return the latents followed by the labels, if there are any."""
        return z if self.labels is None else torch.cat([z, self.labels], 1)

    def add_projection(self, classes: int, width: int) -> None:
        """Add the label embedding of a projection discriminator, if there are classes."""
        self.projection = nn.Linear(classes, width, bias=False) if classes else None
        if self.projection is not None:
            self.names = {**self.names, "projection.embedding": self.projection}

    def projected(self, features: torch.Tensor) -> torch.Tensor | float:
        """Return the inner products of the features with the embedding of each label; 0 without classes."""
        if self.projection is None:
            return 0.0
        embedding = self.projection.weight[:, self.labels.argmax(1)].T
        return torch.einsum("nc,nc->n", embedding, features)[:, None]

    def entries(self) -> dict[str, torch.Tensor]:
        """Return all weights and buffers by ganzoo's names."""
        found = {}
        for path, module in self.names.items():
            for key, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if key != "num_batches_tracked":
                    found[f"{path}.{key}"] = tensor
        named, all_weights = {id(t) for t in found.values()}, {id(p) for p in self.parameters()}
        assert all_weights <= named, "a weight of the reference has no name in ganzoo"
        return found

    def weights(self) -> dict[str, nn.Parameter]:
        return {name: tensor for name, tensor in self.entries().items() if isinstance(tensor, nn.Parameter)}

    def load(self, values: Mapping[str, torch.Tensor]) -> None:
        entries = self.entries()
        assert entries.keys() == values.keys(), entries.keys() ^ values.keys()
        with torch.no_grad():
            for name, tensor in entries.items():
                assert tensor.shape == values[name].shape, name
                tensor.copy_(values[name])


class MLPGenerator(NamedNetwork):
    def __init__(self, size: int, channels: int, latent: int, classes: int = 0) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        self.lin1 = nn.Linear(latent + classes, 128)
        self.lin2, self.bn2 = nn.Linear(128, 256), nn.BatchNorm1d(256, PYTORCH_GAN_EPS)
        self.lin3, self.bn3 = nn.Linear(256, 512), nn.BatchNorm1d(512, PYTORCH_GAN_EPS)
        self.lin4, self.bn4 = nn.Linear(512, 1024), nn.BatchNorm1d(1024, PYTORCH_GAN_EPS)
        self.out = nn.Linear(1024, math.prod(self.shape))
        paths = (0, 2, 3, 5, 6, 8, 9, 11)
        modules = (self.lin1, self.lin2, self.bn2, self.lin3, self.bn3, self.lin4, self.bn4, self.out)
        self.names = {f"layers.{path}": module for path, module in zip(paths, modules)}

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = nn.functional.leaky_relu(self.lin1(self.with_labels(z)), 0.2)
        for linear, norm in ((self.lin2, self.bn2), (self.lin3, self.bn3), (self.lin4, self.bn4)):
            x = nn.functional.leaky_relu(norm(linear(x)), 0.2)
        return torch.tanh(self.out(x)).view(-1, *self.shape)


class MLPDiscriminator(NamedNetwork):
    """Here the sigmoid is part of the network; in ganzoo it is part of the loss."""

    def __init__(self, size: int, channels: int, classes: int = 0) -> None:
        super().__init__()
        self.lin1, self.lin2, self.lin3 = nn.Linear(channels * size * size, 512), nn.Linear(512, 256), nn.Linear(256, 1)
        self.names = {"layers.0": self.lin1, "layers.2": self.lin2, "layers.4": self.lin3}
        self.add_projection(classes, 256)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = nn.functional.leaky_relu(self.lin1(images.flatten(1)), 0.2)
        x = nn.functional.leaky_relu(self.lin2(x), 0.2)
        return torch.sigmoid(self.lin3(x) + self.projected(x))


class ZooGenerator(NamedNetwork):
    """Generator of LSGAN's variant `zoo`."""

    def __init__(self, size: int, channels: int, latent: int, classes: int = 0) -> None:
        super().__init__()
        self.side = size // 4
        self.fc = nn.Linear(latent + classes, 128 * self.side * self.side)
        self.conv_a, self.bn_a = nn.Conv2d(128, 128, 3, 1, 1), nn.BatchNorm2d(128, PYTORCH_GAN_EPS)
        self.conv_b, self.bn_b = nn.Conv2d(128, 64, 3, 1, 1), nn.BatchNorm2d(64, PYTORCH_GAN_EPS)
        self.conv_c = nn.Conv2d(64, channels, 3, 1, 1)
        self.upsample = nn.Upsample(scale_factor=2, mode="nearest")
        self.names = {
            "project": self.fc,
            "conv1": self.conv_a,
            "norm1": self.bn_a,
            "conv2": self.conv_b,
            "norm2": self.bn_b,
            "to_image": self.conv_c,
        }

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = self.fc(self.with_labels(z)).view(-1, 128, self.side, self.side)
        x = nn.functional.leaky_relu(self.bn_a(self.conv_a(self.upsample(x))), 0.2)
        x = nn.functional.leaky_relu(self.bn_b(self.conv_b(self.upsample(x))), 0.2)
        return torch.tanh(self.conv_c(x))


class ZooDiscriminator(NamedNetwork):
    """Discriminator of LSGAN's variant `zoo`."""

    def __init__(self, size: int, channels: int, masks: Mapping[str, torch.Tensor], classes: int = 0) -> None:
        super().__init__()
        stages, widths = [], (channels, 16, 32, 64, 128)
        names: dict[str, nn.Module] = {}
        position = 0
        for index in range(4):
            conv = nn.Conv2d(widths[index], widths[index + 1], 3, 2, 1)
            stage = [conv, nn.LeakyReLU(0.2), MaskedDropout(masks[str(index)])]
            names[f"layers.{position}"] = conv
            if index > 0:
                stage.append(nn.BatchNorm2d(widths[index + 1], PYTORCH_GAN_EPS))
                names[f"layers.{position + 3}"] = stage[-1]
            position += len(stage)
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(128 * (size // 16) ** 2, 1)
        self.names = {**names, "score": self.fc}
        self.add_projection(classes, self.fc.in_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stages(images).flatten(1)
        return self.fc(features) + self.projected(features)


class TutorialGenerator(NamedNetwork):
    """Generator of LSGAN's variant `tutorial`."""

    def __init__(self, size: int, channels: int, latent: int, classes: int = 0) -> None:
        super().__init__()
        self.side = size // 16
        self.fc, self.fc_bn = nn.Linear(latent + classes, 256 * self.side**2), nn.BatchNorm2d(256)
        ups = [(256, 256, 2), (256, 256, 1), (256, 256, 2), (256, 256, 1), (256, 128, 2), (128, 64, 2)]
        self.deconvs = nn.ModuleList(nn.ConvTranspose2d(a, b, 3, s, 1, s - 1) for a, b, s in ups)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _ in ups)
        self.last = nn.ConvTranspose2d(64, channels, 3, 1, 1)
        self.names = {"project": self.fc, "project_norm": self.fc_bn, "layers.18": self.last}
        for index, (deconv, norm) in enumerate(zip(self.deconvs, self.norms)):
            self.names.update({f"layers.{3 * index}": deconv, f"layers.{3 * index + 1}": norm})

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.fc_bn(self.fc(self.with_labels(z)).view(-1, 256, self.side, self.side)))
        for deconv, norm in zip(self.deconvs, self.norms):
            x = torch.relu(norm(deconv(x)))
        return torch.tanh(self.last(x))


class TutorialDiscriminator(NamedNetwork):
    """Discriminator of LSGAN's variant `tutorial`."""

    def __init__(self, size: int, channels: int, classes: int = 0) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(channels, 64, 5, 2, 2), nn.Conv2d(64, 128, 5, 2, 2)
        self.conv3, self.conv4 = nn.Conv2d(128, 256, 5, 2, 2), nn.Conv2d(256, 512, 5, 2, 2)
        self.bn2, self.bn3, self.bn4 = nn.BatchNorm2d(128), nn.BatchNorm2d(256), nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * (size // 16) ** 2, 1)
        paths = ("layers.0", "layers.2", "layers.3", "layers.5", "layers.6", "layers.8", "layers.9", "score")
        modules = (self.conv1, self.conv2, self.bn2, self.conv3, self.bn3, self.conv4, self.bn4, self.fc)
        self.names = dict(zip(paths, modules))
        self.add_projection(classes, self.fc.in_features)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = nn.functional.leaky_relu(self.conv1(images), 0.2)
        for conv, norm in ((self.conv2, self.bn2), (self.conv3, self.bn3), (self.conv4, self.bn4)):
            x = nn.functional.leaky_relu(norm(conv(x)), 0.2)
        return self.fc(x.flatten(1)) + self.projected(x.flatten(1))


class PlainGenerator(NamedNetwork):
    """A generator without batch norm, so that a batch can be split into micro-batches."""

    def __init__(self, size: int, channels: int, latent: int) -> None:
        super().__init__()
        self.shape = (channels, size, size)
        self.lin1, self.lin2 = nn.Linear(latent, 16), nn.Linear(16, math.prod(self.shape))
        self.names = {"lower": self.lin1, "upper": self.lin2}

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.lin2(nn.functional.leaky_relu(self.lin1(z), 0.2))).view(-1, *self.shape)
