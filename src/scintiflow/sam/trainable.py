"""What of SAM learns: the mask decoder, low-rank changes or adapters of the encoder, or everything."""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from segment_anything.modeling import Sam
from torch import Tensor

from scintiflow.params import AdaptSamParams
from scintiflow.sam.bottleneck import AdaptedPerceptron, add_adapters
from scintiflow.sam.lora import LowRankProjection, add_lora


class Trainable(BaseModel):
    """The choice, as params.yaml makes it and sam.json keeps it.

    Attributes:
        kind: `decoder`, `lora`, `adapter` or `all`.
        decoder_too: with `lora` and `adapter` the mask decoder learns as well.
        lora_rank, adapter_width: used by their kind alone.
        seed: of the random half of what is added to the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["decoder", "lora", "adapter", "all"]
    decoder_too: bool
    lora_rank: int
    adapter_width: int
    seed: int

    @classmethod
    def from_params(cls, params: AdaptSamParams) -> "Trainable":
        return cls(
            kind=params.trainable,
            decoder_too=params.decoder_too,
            lora_rank=params.lora_rank,
            adapter_width=params.adapter_width,
            seed=params.seed,
        )

    @property
    def encoder_learns(self) -> bool:
        return self.kind != "decoder"

    def extend(self, sam: Sam) -> Sam:
        """Add, in place, the parts that this choice needs; the network's answers stay exactly as they were."""
        if self.kind == "lora":
            return add_lora(sam, self.lora_rank, self.seed)
        if self.kind == "adapter":
            return add_adapters(sam, self.adapter_width, self.seed)
        return sam

    def learns(self, name: str) -> bool:
        """Whether a parameter or buffer of the extended network, by its name, is trained and saved."""
        if self.kind == "all":
            return True
        in_decoder = name.startswith("mask_decoder.")
        if self.kind == "decoder":
            return in_decoder
        added: dict[str, Callable[[str], bool]] = {
            "lora": LowRankProjection.learns,
            "adapter": AdaptedPerceptron.learns,
        }
        return added[self.kind](name) or (in_decoder and self.decoder_too)

    def freeze_the_rest(self, sam: Sam) -> list[torch.nn.Parameter]:
        """Let only the chosen parameters learn; returns them.

        Parameters that no answer depends on (mask input, the quality head, the masks that
        multimask_output=False never returns) get no gradient and stay as they are.
        """
        for name, parameter in sam.named_parameters():
            parameter.requires_grad_(self.learns(name))
        return [parameter for parameter in sam.parameters() if parameter.requires_grad]

    def state(self, sam: Sam) -> dict[str, Tensor]:
        """Copies on the CPU of what training may have changed, by name in the extended network."""
        return {name: value.detach().cpu().clone() for name, value in sam.state_dict().items() if self.learns(name)}
