"""Backbones: any timm network that shows the face at strides 4, 8, 16 and 32.

The released models use ResNet-50 and Swin-B; other names go to timm as they are.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import timm
import torch
from torch import Tensor, nn

from ..errors import CheckpointError, ConfigError

STRIDES = (4, 8, 16, 32)
ALIASES = {"swin_base": "swin_base_patch4_window7_224"}


class Scales(NamedTuple):
    """x_1 ... x_4, the maps whose differences are the facial dynamics, and the final map x_L of eq. 6."""

    maps: tuple[Tensor, ...]  # 4 x (M, C_l, S / stride_l, S / stride_l)
    final: Tensor  # (M, C_4, S / 32, S / 32)


class TimmScales(nn.Module):
    """A timm feature extractor; the coarsest scale is also the final map."""

    def __init__(self, name: str, pretrained: bool, size_px: int) -> None:
        super().__init__()
        with torch.device("meta"):  # only to read the strides
            info: Any = timm.create_model(name, features_only=True).feature_info
        reduction = info.reduction()
        missing = [stride for stride in STRIDES if stride not in reduction]
        if missing:
            raise ConfigError(
                f"backbone '{name}' must have feature maps at strides {STRIDES}; it has {reduction}; "
                "take a pyramid network such as resnet50, mobilenetv4_conv_small or convnext_tiny"
            )
        with torch.device("meta"):  # nothing is computed: some networks take one size of input only
            timm.create_model(name, features_only=True).eval()(torch.empty(1, 3, size_px, size_px))
        last_of = {stride: index for index, stride in enumerate(reduction)}
        indices = tuple(last_of[stride] for stride in STRIDES)
        net: Any = timm.create_model(name, features_only=True, out_indices=indices, pretrained=pretrained)
        self.net: nn.Module = net
        self.channels: tuple[int, ...] = tuple(net.feature_info.channels())
        self.channels_last = str(getattr(net, "output_fmt", "NCHW")).endswith("NHWC")

    def forward(self, frames: Tensor) -> Scales:
        maps = self.net(frames)
        if self.channels_last:
            maps = [m.permute(0, 3, 1, 2) for m in maps]
        return Scales(tuple(maps), maps[-1])


class SwinScales(nn.Module):
    """Swin, read as the released code reads it: a scale is each stage's input, not its output."""

    def __init__(self, name: str, pretrained: bool, size_px: int) -> None:
        super().__init__()
        net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=size_px)
        self.net: Any = net
        self.channels: tuple[int, ...] = tuple(info["num_chs"] for info in net.feature_info)

    def forward(self, frames: Tensor) -> Scales:
        x = self.net.patch_embed(frames)  # (M, S / 4, S / 4, C_1)
        maps = []
        for stage in self.net.layers:
            x = stage.downsample(x)
            maps.append(x.permute(0, 3, 1, 2))
            x = stage.blocks(x)
        return Scales(tuple(maps), self.net.norm(x).permute(0, 3, 1, 2))


def build_backbone(name: str, size_px: int = 224, pretrained: bool = False) -> TimmScales | SwinScales:
    """The backbone called `name`, randomly initialised or with timm's ImageNet weights.

    Args:
        name: 'resnet50', 'swin_base' or a timm model name.
        size_px: side of the square input.
        pretrained: fetch ImageNet weights (through timm; needs the network once).

    Raises:
        ConfigError: timm does not know the name, or it lacks the four scales.
        CheckpointError: the pretrained weights cannot be fetched.
    """
    timm_name = ALIASES.get(name, name)
    if not timm.is_model(timm_name):
        similar = ", ".join(timm.list_models(f"*{timm_name.split('_')[0]}*")[:5])
        near = f"similar: {similar}" if similar else "see timm.list_models()"
        raise ConfigError(f"unknown backbone '{name}'; expected resnet50, swin_base or a timm name ({near})")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries; the error below says what matters
    try:
        if timm_name.startswith("swin_"):
            return SwinScales(timm_name, pretrained, size_px)
        return TimmScales(timm_name, pretrained, size_px)
    except MemoryError:
        raise
    except (OSError, RuntimeError, AssertionError, ValueError) as error:
        if pretrained:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(
                f"pretrained weights of '{timm_name}' cannot be fetched ({reason}); "
                "check the network or HF_HUB_CACHE, or go without pretrained weights"
            ) from error
        raise ConfigError(f"backbone '{name}' cannot read {size_px} x {size_px} pixels: {error}") from error
