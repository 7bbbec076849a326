"""The landmark network of StarGAN v2 in PyTorch: an hourglass with coordinates (Newell et al. 2016, Bulat &
Tzimiropoulos 2017, Wang et al. 2019), computed from the weights by their names."""

from __future__ import annotations

import torch
from torch.nn import functional as F

Tensors = dict[str, torch.Tensor]


class Weights:
    """Applies layers, whose weights are found by `prefix` and name."""

    def __init__(self, values: Tensors, prefix: str = "") -> None:
        self.values, self.prefix = values, prefix

    def child(self, name: str) -> Weights:
        return Weights(self.values, f"{self.prefix}{name}.")

    def get(self, name: str) -> torch.Tensor | None:
        return self.values.get(self.prefix + name)

    def conv(self, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        weight = self.get(f"{name}.weight")
        assert weight is not None
        return F.conv2d(x, weight, self.get(f"{name}.bias"), stride, weight.shape[2] // 2)

    def norm_relu(self, name: str, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (self.get(f"{name}.{key}") for key in STATISTICS)
        return F.relu(F.batch_norm(x, mean, variance, weight, bias))

    def coord_conv(self, name: str, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        count, _, height, width = x.shape
        rows = torch.linspace(-1, 1, height)[:, None].expand(height, width)
        columns = torch.linspace(-1, 1, width)[None].expand(height, width)
        radius = (rows**2 + columns**2).sqrt()
        coordinates = torch.stack([rows, columns, radius / radius.max()]).expand(count, 3, height, width)
        return self.conv(f"{name}.conv", torch.cat([x, coordinates], 1), stride)

    def block(self, name: str, x: torch.Tensor) -> torch.Tensor:
        layers, out, outputs = self.child(name), x, []
        for index in (1, 2, 3):
            out = layers.conv(f"conv{index}", layers.norm_relu(f"bn{index}", out))
            outputs.append(out)
        if layers.get("downsample.2.weight") is not None:
            x = layers.conv("downsample.2", layers.norm_relu("downsample.0", x))
        return torch.cat(outputs, 1) + x

    def hourglass(self, level: int, x: torch.Tensor) -> torch.Tensor:
        low = self.block(f"b2_{level}", F.avg_pool2d(x, 2))
        low = self.hourglass(level - 1, low) if level > 1 else self.block("b2_plus_1", low)
        low = self.block(f"b3_{level}", low)
        return self.block(f"b1_{level}", x) + F.interpolate(low, scale_factor=2, mode="nearest")


STATISTICS = ("running_mean", "running_var", "weight", "bias")


def heatmaps(arrays: Tensors, target: str) -> Tensors:
    """Return 'heatmaps/NAME' of 'images/NAME', computed with the weights 'net/...'. Save these weights at `target` like
    the published file: with the prefix of DataParallel, batch counters and a few unused entries."""
    values = {name[4:]: value for name, value in arrays.items() if name.startswith("net/")}
    state = {f"module.{name}": value.float() for name, value in values.items()}
    counters = {name.replace("running_var", "num_batches_tracked"): torch.tensor(9) for name in state if "_var" in name}
    unused = {f"module.unused.{index}": torch.zeros(2) for index in range(6)}
    torch.save({"state_dict": {**state, **counters, **unused}}, target)
    net, found = Weights(values), Tensors()
    for name, image in arrays.items():
        if name.startswith("images/"):
            x = F.interpolate(image, size=256, mode="bilinear") * 0.5 + 0.5
            x = net.norm_relu("bn1", net.coord_conv("conv1", x, 2))
            x = net.block("conv4", net.block("conv3", F.avg_pool2d(net.block("conv2", x), 2)))
            x = net.child("m0").hourglass(4, net.child("m0").coord_conv("coordconv", x))
            x = net.norm_relu("bn_end0", net.conv("conv_last0", net.block("top_m_0", x)))
            found[f"heatmaps/{name[7:]}"] = net.conv("l0", x)
    return found
