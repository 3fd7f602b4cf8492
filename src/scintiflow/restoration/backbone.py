"""What every f^IR backbone is: a stem, a body at half resolution, a head, each callable by itself.

The stem folds 2 x 2 pixels into channels, which loses nothing and costs a quarter; the body is a U-shaped
network of the family that `NetworkParams.backbone` names (see `nafnet`, `unet`, `restormer`); the head unfolds.
Semantic Prior Integration steps in between stem and body, distillation and consistency read what the body gives.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the field's usual name
from torch import Tensor, nn

STEM_STRIDE = 2


class Backbone(nn.Module):
    """Channels at full resolution -> (residual at full resolution, features at half resolution).

    A family fills in `build` and `refine`. Every level but the first halves the resolution and doubles
    the width. The head starts at zero: so does the residual.
    """

    def __init__(
        self, input_channels: int, width: int, blocks: Sequence[int], patch_pixels: int, output_channels: int = 1
    ) -> None:
        """Build the network.

        Args:
            input_channels, output_channels: of the image, any number.
            width: channels of the first level, and of the features.
            blocks: blocks of each level, the last number belonging to the deepest.
            patch_pixels: side of the training patches, for families whose statistics depend on it.
        """
        super().__init__()
        self.multiple = STEM_STRIDE * 2 ** (len(blocks) - 1)
        self.fold = nn.PixelUnshuffle(STEM_STRIDE)
        self.stem = nn.Conv2d(input_channels * STEM_STRIDE**2, width, 3, padding=1)
        self.build([width * 2**level for level in range(len(blocks))], blocks, patch_pixels)
        self.head = nn.Conv2d(width, output_channels * STEM_STRIDE**2, 3, padding=1)
        self.unfold = nn.PixelShuffle(STEM_STRIDE)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def build(self, widths: Sequence[int], blocks: Sequence[int], patch_pixels: int) -> None:
        """Make the body's layers; `widths` and `blocks` have one number for each level."""
        raise TypeError(f"{type(self).__name__} names no family of backbones")

    def refine(self, features: Tensor) -> Tensor:
        """The body: features `[n, width, y, x]` at half resolution in and out."""
        raise TypeError(f"{type(self).__name__} names no family of backbones")

    def embed(self, channels: Tensor) -> Tensor:
        """The stem: `[n, channel, row, column]`, sides padded to a multiple, to features at half resolution."""
        rows, columns = channels.shape[-2:]
        padding = (0, -columns % self.multiple, 0, -rows % self.multiple)
        padded = F.pad(channels, padding, mode="replicate") if any(padding) else channels
        return self.stem(self.fold(padded).contiguous(memory_format=torch.channels_last))

    def residual(self, features: Tensor, rows: int, columns: int) -> Tensor:
        """The head, cut back to the image's size, float32 `[n, output channel, row, column]`."""
        return self.unfold(self.head(features))[..., :rows, :columns].float()

    def forward(self, channels: Tensor) -> tuple[Tensor, Tensor]:
        features = self.refine(self.embed(channels))
        return self.residual(features, *channels.shape[-2:]), features
