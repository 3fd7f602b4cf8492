"""Low-rank adaptation of SAM's image encoder: what attention asks and shows may bend, in a few directions.

Hu et al. 2021 (arXiv 2106.09685): a frozen weight W becomes W + B A, A of shape (rank, in) drawn at
random, B of shape (out, rank) zero at first. As there, query and value projections are adapted, here in
every block of the encoder; alpha equals the rank, so nothing is rescaled.
"""

import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn
from torch.nn import functional


class LowRankProjection(nn.Linear):
    """SAM's joint projection to (query, key, value) with a low-rank change of query and value.

    Weight and bias are those of the projection it replaces, under the same names, so that a checkpoint
    of the unadapted network fits. With `up` at zero the answer equals the unadapted one exactly.
    """

    def __init__(self, projection: nn.Linear, rank: int) -> None:
        super().__init__(projection.in_features, projection.out_features, device="meta")
        self.weight, self.bias = projection.weight, projection.bias
        width = projection.in_features
        like = projection.weight.data
        self.query_down, self.value_down = (
            nn.Parameter(torch.randn(rank, width).to(like) / width**0.5) for _ in range(2)
        )
        self.query_up, self.value_up = (nn.Parameter(like.new_zeros(width, rank)) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        """`[..., in]` -> `[..., (query, key, value)]`."""
        query, key, value = functional.linear(tokens, self.weight, self.bias).chunk(3, dim=-1)
        query = query + functional.linear(functional.linear(tokens, self.query_down), self.query_up)
        value = value + functional.linear(functional.linear(tokens, self.value_down), self.value_up)
        return torch.cat([query, key, value], dim=-1)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain projection that answers the same up to rounding; as fast as the unadapted one."""
        key_stays = torch.zeros_like(self.weight[: self.in_features])
        change = [self.query_up @ self.query_down, key_stays, self.value_up @ self.value_down]
        plain = nn.Linear(self.in_features, self.out_features, device="meta")
        plain.weight, plain.bias = nn.Parameter(self.weight + torch.cat(change)), self.bias
        return plain

    @classmethod
    def learns(cls, name: str) -> bool:
        """Whether a parameter, by its name in the network, belongs to the low-rank change."""
        return name.rsplit(".", 1)[-1] in ("query_down", "query_up", "value_down", "value_up")


def add_lora(sam: Sam, rank: int, seed: int) -> Sam:
    """Give every block of the encoder a low-rank change, in place; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for block in sam.image_encoder.blocks:
            block.attn.qkv = LowRankProjection(block.attn.qkv, rank)
    return sam


def merge_lora(sam: Sam) -> Sam:
    """Fold the low-rank changes into the weights, in place; needed by nothing, saves a little time."""
    for block in sam.image_encoder.blocks:
        if isinstance(block.attn.qkv, LowRankProjection):
            block.attn.qkv = block.attn.qkv.merged()
    return sam
