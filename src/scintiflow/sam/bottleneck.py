"""Adapter layers in SAM's image encoder: a small network of its own behind each block's perceptron.

Houlsby et al. 2019 (arXiv 1902.00751): the output h of a frozen sub-layer becomes h + U gelu(D h), D
down to a bottleneck and U up again, before the residual is added. They put one behind the attention
too; ours stands behind the perceptron alone (as in Pfeiffer et al. 2021, arXiv 2005.00247), which halves
the cost. U starts at zero and not near it, so that the first answer equals the unadapted one exactly.
"""

import torch
from segment_anything.modeling import Sam
from segment_anything.modeling.common import MLPBlock
from torch import Tensor, nn
from torch.nn import functional


class AdaptedPerceptron(MLPBlock):
    """A block's perceptron with a bottleneck behind it; its own weights keep their names."""

    def __init__(self, perceptron: MLPBlock, width: int) -> None:
        nn.Module.__init__(self)  # the layers are taken over, not made anew
        self.lin1, self.lin2, self.act = perceptron.lin1, perceptron.lin2, perceptron.act
        channels, weight = self.lin2.out_features, self.lin2.weight
        self.adapter_down = nn.Linear(channels, width, device=weight.device, dtype=weight.dtype)
        self.adapter_up = nn.Linear(width, channels, device=weight.device, dtype=weight.dtype)
        nn.init.zeros_(self.adapter_up.weight)
        nn.init.zeros_(self.adapter_up.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """`[..., channel]` -> `[..., channel]`."""
        hidden = super().forward(tokens)
        return hidden + self.adapter_up(functional.gelu(self.adapter_down(hidden)))

    @classmethod
    def learns(cls, name: str) -> bool:
        """Whether a parameter, by its name in the network, belongs to an adapter."""
        return any(part.startswith("adapter_") for part in name.split("."))


def add_adapters(sam: Sam, width: int, seed: int) -> Sam:
    """Put a bottleneck behind every block's perceptron, in place; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for block in sam.image_encoder.blocks:
            block.mlp = AdaptedPerceptron(block.mlp, width)
    return sam
