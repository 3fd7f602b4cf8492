"""Backbones by name: the one place that knows them all."""

from scintiflow.params import NetworkParams
from scintiflow.restoration.backbone import Backbone
from scintiflow.restoration.nafnet import NafNet
from scintiflow.restoration.restormer import Restormer
from scintiflow.restoration.unet import UNet

FAMILIES: dict[str, type[Backbone]] = {"nafnet": NafNet, "unet": UNet, "restormer": Restormer}


def build_backbone(
    input_channels: int, network: NetworkParams, patch_pixels: int, output_channels: int = 1
) -> Backbone:
    """The backbone that `network.backbone` names, of its width and blocks; see `Backbone`."""
    family = FAMILIES[network.backbone]
    return family(input_channels, network.width, network.blocks, patch_pixels, output_channels)
