"""The backbones of metrics in PyTorch.

Inception-v3 (Szegedy et al. 2016) has two variants, TensorFlow's and torchvision's. It and the networks of LPIPS (Zhang
et al. 2018) get random weights, in files like the public ones. EfficientNet-Lite0 is another author's implementation,
with its published weights.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

Tensors = dict[str, torch.Tensor]
Pool = Callable[[torch.Tensor], torch.Tensor]


class RandomWeights:
    """Random weights by name, drawn on first access with float32 precision."""

    def __init__(self, seed: int) -> None:
        self.values: Tensors = {}
        self.generator = torch.Generator().manual_seed(seed)

    def get(self, name: str, *shape: int) -> torch.Tensor:
        if name not in self.values:
            self.values[name] = self._draw(name.rsplit(".", 1)[1], shape).float()
        assert self.values[name].shape == shape, name
        return self.values[name].double()

    def _draw(self, kind: str, shape: tuple[int, ...]) -> torch.Tensor:
        if kind == "running_var":
            return 0.5 + 1.5 * torch.rand(shape, generator=self.generator)
        normal = torch.randn(shape, generator=self.generator)
        if kind == "weight" and len(shape) > 1:
            return normal * (2 / math.prod(shape[1:])) ** 0.5
        return 1 + 0.2 * normal if kind == "weight" else 0.2 * normal

    def conv(
        self,
        name: str,
        x: torch.Tensor,
        outputs: int,
        kernel: tuple[int, int] = (1, 1),
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
    ) -> torch.Tensor:
        """Apply a convolution, batch normalisation with running statistics, and a ReLU."""
        y = F.conv2d(x, self.get(f"{name}.conv.weight", outputs, x.shape[1], *kernel), None, stride, padding)
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.relu(F.batch_norm(y, *(self.get(f"{name}.bn.{key}", outputs) for key in keys), eps=0.001))

    def auxiliary(self) -> None:
        """Draw weights of the auxiliary classifier, which torchvision's file contains but the features don't need."""
        for name, inputs, outputs, kernel in (("conv0", 768, 128, 1), ("conv1", 128, 768, 5)):
            self.get(f"AuxLogits.{name}.conv.weight", outputs, inputs, kernel, kernel)
            for key in ("running_mean", "running_var", "weight", "bias"):
                self.get(f"AuxLogits.{name}.bn.{key}", outputs)
        self.get("AuxLogits.fc.weight", 1000, 768)
        self.get("AuxLogits.fc.bias", 1000)

    def classifier(self, classes: int) -> None:
        self.values.pop("fc.weight", None)
        self.values.pop("fc.bias", None)
        self.get("fc.weight", classes, 2048)
        self.get("fc.bias", classes)


def _square(side: int) -> dict[str, tuple[int, int]]:
    """Return a square kernel with padding that keeps the size."""
    return {"kernel": (side, side), "padding": (side // 2, side // 2)}


def _row(side: int) -> dict[str, tuple[int, int]]:
    return {"kernel": (1, side), "padding": (0, side // 2)}


def _column(side: int) -> dict[str, tuple[int, int]]:
    return {"kernel": (side, 1), "padding": (side // 2, 0)}


def _inception(net: RandomWeights, x: torch.Tensor, mean: Pool, last: Pool) -> torch.Tensor:
    """Return the features (N, 2048) of normalised images of 299 px. `last` is the 3x3 pooling of the last block, `mean`
    that of all others."""

    conv = net.conv
    x = conv("Conv2d_1a_3x3", x, 32, kernel=(3, 3), stride=2)
    x = conv("Conv2d_2a_3x3", x, 32, kernel=(3, 3))
    x = conv("Conv2d_2b_3x3", x, 64, **_square(3))
    x = F.max_pool2d(x, 3, 2)
    x = conv("Conv2d_3b_1x1", x, 80)
    x = conv("Conv2d_4a_3x3", x, 192, kernel=(3, 3))
    x = F.max_pool2d(x, 3, 2)
    assert x.shape[1:] == (192, 35, 35)

    for name, after_pool in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        one = conv(f"{name}.branch1x1", x, 64)
        five = conv(f"{name}.branch5x5_2", conv(f"{name}.branch5x5_1", x, 48), 64, **_square(5))
        double = conv(f"{name}.branch3x3dbl_2", conv(f"{name}.branch3x3dbl_1", x, 64), 96, **_square(3))
        double = conv(f"{name}.branch3x3dbl_3", double, 96, **_square(3))
        x = torch.cat([one, five, double, conv(f"{name}.branch_pool", mean(x), after_pool)], 1)

    three = conv("Mixed_6a.branch3x3", x, 384, kernel=(3, 3), stride=2)
    double = conv("Mixed_6a.branch3x3dbl_2", conv("Mixed_6a.branch3x3dbl_1", x, 64), 96, **_square(3))
    double = conv("Mixed_6a.branch3x3dbl_3", double, 96, kernel=(3, 3), stride=2)
    x = torch.cat([three, double, F.max_pool2d(x, 3, 2)], 1)
    assert x.shape[1:] == (768, 17, 17)

    for name, width in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        one = conv(f"{name}.branch1x1", x, 192)
        seven = conv(f"{name}.branch7x7_1", x, width)
        seven = conv(f"{name}.branch7x7_2", seven, width, **_row(7))
        seven = conv(f"{name}.branch7x7_3", seven, 192, **_column(7))
        double = conv(f"{name}.branch7x7dbl_1", x, width)
        double = conv(f"{name}.branch7x7dbl_2", double, width, **_column(7))
        double = conv(f"{name}.branch7x7dbl_3", double, width, **_row(7))
        double = conv(f"{name}.branch7x7dbl_4", double, width, **_column(7))
        double = conv(f"{name}.branch7x7dbl_5", double, 192, **_row(7))
        x = torch.cat([one, seven, double, conv(f"{name}.branch_pool", mean(x), 192)], 1)

    three = conv("Mixed_7a.branch3x3_2", conv("Mixed_7a.branch3x3_1", x, 192), 320, kernel=(3, 3), stride=2)
    seven = conv("Mixed_7a.branch7x7x3_2", conv("Mixed_7a.branch7x7x3_1", x, 192), 192, **_row(7))
    seven = conv("Mixed_7a.branch7x7x3_3", seven, 192, **_column(7))
    seven = conv("Mixed_7a.branch7x7x3_4", seven, 192, kernel=(3, 3), stride=2)
    x = torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)
    assert x.shape[1:] == (1280, 8, 8)

    for name, pool in (("Mixed_7b", mean), ("Mixed_7c", last)):
        three = conv(f"{name}.branch3x3_1", x, 384)
        double = conv(f"{name}.branch3x3dbl_2", conv(f"{name}.branch3x3dbl_1", x, 448), 384, **_square(3))
        x = torch.cat(
            [
                conv(f"{name}.branch1x1", x, 320),
                conv(f"{name}.branch3x3_2a", three, 384, **_row(3)),
                conv(f"{name}.branch3x3_2b", three, 384, **_column(3)),
                conv(f"{name}.branch3x3dbl_3a", double, 384, **_row(3)),
                conv(f"{name}.branch3x3dbl_3b", double, 384, **_column(3)),
                conv(f"{name}.branch_pool", pool(x), 192),
            ],
            1,
        )
    return F.adaptive_avg_pool2d(x, 1).flatten(1)


def _average_pool_without_padding(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def _average_pool_with_padding(x: torch.Tensor) -> torch.Tensor:
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=True)


def _max_pool(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def inception(arrays: Tensors, target: str, seed: int) -> Tensors:
    """Return the features of pixels (N, H, W, 3): 'fid/NAME' of any size, and 'torchvision/NAME' of 299 px. Both
    variants have the same random weights, saved in `target` as fid.pth and torchvision.pth, each with whatever else the
    public file contains."""
    net, found = RandomWeights(seed), Tensors()
    mean, std = (torch.tensor(each)[:, None, None] for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for name, pixels in arrays.items():
        x = pixels.movedim(3, 1) / 255
        if name.startswith("fid/"):
            x = F.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False)
            found[name] = _inception(net, 2 * x - 1, _average_pool_without_padding, _max_pool)
        else:
            found[name] = _inception(net, (x - mean) / std, _average_pool_with_padding, _average_pool_with_padding)
    net.classifier(1008)
    counters = {name: torch.tensor(9) for name in (_counter(each) for each in net.values) if name}
    torch.save(OrderedDict(net.values, **counters), Path(target, "fid.pth"))
    net.classifier(1000)
    net.auxiliary()
    torch.save(OrderedDict(net.values), Path(target, "torchvision.pth"))
    return found


def _counter(name: str) -> str:
    return name.replace("running_var", "num_batches_tracked") if name.endswith("running_var") else ""


def _conv_relu(*shape: int) -> list[nn.Module]:
    return [nn.Conv2d(*shape), nn.ReLU()]


class _Alex(nn.Module):
    """AlexNet with a single column (Krizhevsky 2014)."""

    outputs = (1, 4, 7, 9, 11)

    def __init__(self) -> None:
        super().__init__()
        layers = [*_conv_relu(3, 64, 11, 4, 2), nn.MaxPool2d(3, 2), *_conv_relu(64, 192, 5, 1, 2), nn.MaxPool2d(3, 2)]
        layers += [*_conv_relu(192, 384, 3, 1, 1), *_conv_relu(384, 256, 3, 1, 1), *_conv_relu(256, 256, 3, 1, 1)]
        self.features = nn.Sequential(*layers, nn.MaxPool2d(3, 2))
        self.classifier = nn.ModuleDict({index: nn.Linear(3, 2) for index in "146"})


class _VGG(nn.Module):
    """VGG-16, configuration D."""

    outputs = (3, 8, 15, 22, 29)

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs = 3
        for outputs, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(depth):
                layers += _conv_relu(inputs, outputs, 3, 1, 1)
                inputs = outputs
            layers.append(nn.MaxPool2d(2, 2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.ModuleDict({index: nn.Linear(3, 2) for index in "036"})


class _Fire(nn.Module):
    def __init__(self, inputs: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], 1))


class _Squeeze(nn.Module):
    """SqueezeNet 1.1."""

    outputs = (1, 4, 7, 9, 10, 11, 12)

    def __init__(self) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        layers = [*_conv_relu(3, 64, 3, 2), pool(), _Fire(64, 16, 64), _Fire(128, 16, 64), pool()]
        layers += [_Fire(128, 32, 128), _Fire(256, 32, 128), pool(), _Fire(256, 48, 192), _Fire(384, 48, 192)]
        self.features = nn.Sequential(*layers, _Fire(384, 64, 256), _Fire(512, 64, 256))
        self.classifier = nn.ModuleDict({"1": nn.Conv2d(512, 1000, 1)})


TRUNKS = {"alexnet": _Alex, "vgg16": _VGG, "squeezenet": _Squeeze}
MIN_SIDE = 64


def lpips(arrays: Tensors, target: str, seed: int) -> Tensors:
    """Return 'NETWORK/NAME', the LPIPS between the images 'one/NAME' and 'other/NAME', enlarged to at least 64 px.

    Weights are saved in `target` as NETWORK.pth and NETWORK-heads.pth, and as NETWORK-legacy.pth in PyTorch's older
    format, which public files have. The classifiers of AlexNet and VGG are shortened to a few numbers.
    """
    torch.manual_seed(seed)
    found = Tensors()
    for trunk, make in TRUNKS.items():
        net = make()
        with torch.no_grad():
            for value in net.parameters():
                drawn = torch.randn(value.shape) * ((2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.2)
                value.copy_(drawn.float())
        _save(net.state_dict(), Path(target, f"{trunk}.pth"))
        _save(net.state_dict(), Path(target, f"{trunk}-legacy.pth"), _use_new_zipfile_serialization=False)
        with torch.no_grad():
            widths = [each.shape[1] for each in _maps(net, torch.zeros(1, 3, MIN_SIDE, MIN_SIDE))]
        heads = [torch.rand(1, width, 1, 1).float() for width in widths]
        state = {f"lin{index}.model.1.weight": head for index, head in enumerate(heads)}
        torch.save(OrderedDict(state), Path(target, f"{trunk}-heads.pth"))
        for name, one in arrays.items():
            if name.startswith("one/"):
                found[f"{trunk}/{name[4:]}"] = _lpips(net, heads, one, arrays[f"other/{name[4:]}"])
    return found


def _save(state: OrderedDict[str, torch.Tensor], path: Path, **rest: bool) -> None:
    """Save the weights as float32, with the version metadata that PyTorch adds to a state_dict."""
    for name in state:
        state[name] = state[name].float()
    torch.save(state, path, **rest)


def _maps(net: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    found = []
    for index, layer in enumerate(net.features):
        x = layer(x)
        if index in net.outputs:
            found.append(x)
    return found


def _enlarged(images: torch.Tensor, side: int) -> torch.Tensor:
    if images.shape[2] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def _lpips(net: nn.Module, heads: list[torch.Tensor], *pair: torch.Tensor) -> torch.Tensor:
    shift, scale = (torch.tensor(each)[:, None, None] for each in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    side = max(pair[0].shape[2], MIN_SIDE)
    with torch.no_grad():
        pair = tuple(_maps(net, (_enlarged(each.expand(-1, 3, -1, -1), side) - shift) / scale) for each in pair)
    return sum((_squared_differences(*maps) * head.double()).sum(1).mean((1, 2)) for *maps, head in zip(*pair, heads))


def _squared_differences(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    one, other = (maps / (maps.square().sum(1, keepdim=True).sqrt() + 1e-10) for maps in (one, other))
    return (one - other).square()


def efficientnet(arrays: Tensors, weights: str) -> Tensors:
    """Return 'features/NAME' and 'logits/NAME' of 'pixels/NAME', (N, 224, 224, 3); and 'distances/NAME', the perceptual
    distances between the images 'one/NAME' and 'other/NAME' in [-1, 1], from the last feature map of each
    resolution."""
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).double().eval()
    found = Tensors()
    with torch.no_grad():
        for name, given in arrays.items():
            kind, short = name.split("/")
            if kind == "pixels":
                x = (given.movedim(3, 1) - 127) / 128
                found[f"features/{short}"] = net.extract_features(x).mean((2, 3))
                found[f"logits/{short}"] = net(x)
            elif kind == "one":
                pair = (_last_of_each_size(net, each) for each in (given, arrays[f"other/{short}"]))
                found[f"distances/{short}"] = sum(
                    _squared_differences(*maps).sum(1).mean((1, 2)) for maps in zip(*pair)
                )
    return found


def _last_of_each_size(net: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    side = max(64, -(-images.shape[2] // 32) * 32)
    maps: dict[int, torch.Tensor] = {}

    def keep(_: nn.Module, __: tuple, output: torch.Tensor) -> None:
        maps[output.shape[2]] = output

    hooks = [block.register_forward_hook(keep) for block in net._blocks]
    net.extract_features((_enlarged(images.expand(-1, 3, -1, -1), side) * 127.5 + 127.5 - 127) / 128)
    for hook in hooks:
        hook.remove()
    return list(maps.values())
