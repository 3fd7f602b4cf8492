"""Building SAM from the classes of `segment_anything`, unmodified, with honest provenance.

vit_b, vit_l and vit_h come from the package's own registry and need an official checkpoint, whose
SHA-256 is checked before a byte of it is unpickled. 'small' is a narrow Vision Transformer of the
same classes for machines without an accelerator; it has no pretrained weights and says so.
"""

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer
from torch import nn
from torch.nn import functional

from scintiflow.errors import ScintiflowError
from scintiflow.files import sha256_file
from scintiflow.params import SamArchitecture

SMALL_PATCH = 4  # an adolescent's token is 27 mm high on a canvas of 256 pixels, a mask's pixel 7 mm
SMALL_WIDTH = 32
SMALL_DEPTH = 3
SMALL_HEADS = 2
SMALL_WINDOW = 16  # tokens; attention over all 4096 would cost more than the rest of the encoder
SMALL_CHANNELS = 32  # of the image embedding and of the mask decoder

CHECKPOINT_REMEDY = (
    "Take the file of this size from the 'Model Checkpoints' table of the segment-anything repository "
    "(github.com/facebookresearch/segment-anything), on an air-gapped site carry it in on a data medium, "
    "put it at this path (on a cluster: in the weights volume) and compare `sha256sum` with "
    "adapt_sam.architecture.checkpoint_sha256 in params.yaml"
)


@dataclass(frozen=True)
class SamProvenance:
    """Where a network's weights come from.

    Attributes:
        size: small, vit_b, vit_l or vit_h.
        image_size: side of the square canvas in pixels.
        checkpoint_sha256: hex SHA-256 of the pretrained weights, '' if there are none.
        seed: of the initialisation where there are no pretrained weights.
        text: one plain sentence for reports.
    """

    size: str
    image_size: int
    checkpoint_sha256: str
    seed: int
    text: str

    def as_dict(self) -> dict:
        return asdict(self)


def build_sam(architecture: SamArchitecture, seed: int = 1) -> tuple[Sam, SamProvenance]:
    """A SAM on the CPU in evaluation mode and where its weights come from.

    `seed` matters only for 'small', which is initialised at random (the global generator of torch
    is left as it was). Raises ScintiflowError if the checkpoint is missing, has another SHA-256 or
    belongs to another network, or if the image size does not suit the patches.
    """
    if architecture.size == "small":
        return _small(architecture.image_size, seed), SamProvenance(
            size="small",
            image_size=architecture.image_size,
            checkpoint_sha256="",
            seed=seed,
            text="no pretrained weights; small ViT of the segment_anything classes, "
            "trained from scratch on this data set",
        )
    sam = _pretrained(architecture)
    return sam, SamProvenance(
        size=architecture.size,
        image_size=architecture.image_size,
        checkpoint_sha256=architecture.checkpoint_sha256,
        seed=seed,
        text=f"segment_anything {architecture.size}, checkpoint with SHA-256 {architecture.checkpoint_sha256}",
    )


def mask_side(sam: Sam) -> int:
    """Side in pixels of the square mask logits that the decoder returns (four times the embedding's)."""
    return 4 * sam.prompt_encoder.image_embedding_size[0]


def _small(image_size: int, seed: int) -> Sam:
    """Three blocks of windowed attention; what lies farther off reaches a mask by prompts and the decoder."""
    if image_size % (4 * SMALL_PATCH):
        raise ScintiflowError(
            f"image_size {image_size} is not a multiple of {4 * SMALL_PATCH}",
            where="adapt_sam.architecture.image_size",
            remedy="Use for example 192, 256 or 320 with the size 'small'",
        )
    tokens = image_size // SMALL_PATCH
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sam = Sam(
            image_encoder=ImageEncoderViT(
                img_size=image_size,
                patch_size=SMALL_PATCH,
                embed_dim=SMALL_WIDTH,
                depth=SMALL_DEPTH,
                num_heads=SMALL_HEADS,
                norm_layer=partial(nn.LayerNorm, eps=1e-6),
                use_rel_pos=False,  # the absolute embedding places every token; saves a third of the time
                window_size=min(SMALL_WINDOW, tokens),
                global_attn_indexes=(),
                out_chans=SMALL_CHANNELS,
            ),
            prompt_encoder=PromptEncoder(
                embed_dim=SMALL_CHANNELS,
                image_embedding_size=(tokens, tokens),
                input_image_size=(image_size, image_size),
                mask_in_chans=16,
            ),
            mask_decoder=MaskDecoder(
                num_multimask_outputs=0,  # we ask for one answer; SAM's three alternatives would only cost time
                transformer=TwoWayTransformer(depth=2, embedding_dim=SMALL_CHANNELS, mlp_dim=256, num_heads=2),
                transformer_dim=SMALL_CHANNELS,
                iou_head_hidden_dim=32,
            ),
        )
        assert sam.image_encoder.pos_embed is not None
        nn.init.trunc_normal_(sam.image_encoder.pos_embed, std=0.02)  # zero in the package: meant to be loaded
    return sam.eval()


def _pretrained(architecture: SamArchitecture) -> Sam:
    path = Path(architecture.checkpoint)
    _check_checkpoint(path, architecture.checkpoint_sha256)
    sam = sam_model_registry[architecture.size](checkpoint=None)
    try:
        sam.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a pickle, a zip or a key that does not fit: all mean "not this network"
        raise ScintiflowError(
            f"is not a checkpoint of {architecture.size} ({type(error).__name__})",
            where=path,
            remedy="Name the size that belongs to this file in adapt_sam.architecture.size",
        ) from None
    _resize_canvas(sam, architecture.image_size)
    return sam.eval()


def _check_checkpoint(path: Path, expected: str) -> None:
    if not path.is_file():
        raise ScintiflowError("the SAM checkpoint is not there", where=path, remedy=CHECKPOINT_REMEDY)
    actual = sha256_file(path)
    if actual != expected:
        raise ScintiflowError(
            f"the SAM checkpoint has SHA-256 {actual}, expected {expected}", where=path, remedy=CHECKPOINT_REMEDY
        )


def _resize_canvas(sam: Sam, image_size: int) -> None:
    """Let a pretrained SAM take another canvas: its absolute position embedding is interpolated.

    The relative position tables of the attention blocks are interpolated by the package itself.
    """
    encoder, prompts = sam.image_encoder, sam.prompt_encoder
    if image_size == encoder.img_size:
        return
    patch = encoder.patch_embed.proj.kernel_size[0]
    if image_size % patch:
        raise ScintiflowError(
            f"image_size {image_size} is not a multiple of {patch}",
            where="adapt_sam.architecture.image_size",
            remedy="Use 1024, the size that the pretrained networks know",
        )
    tokens = image_size // patch
    with torch.no_grad():
        channels_first = encoder.pos_embed.permute(0, 3, 1, 2)
        resized = functional.interpolate(channels_first, (tokens, tokens), mode="bicubic", align_corners=False)
        encoder.pos_embed = nn.Parameter(resized.permute(0, 2, 3, 1).contiguous())
    encoder.img_size = image_size
    prompts.input_image_size = (image_size, image_size)
    prompts.image_embedding_size = (tokens, tokens)
    prompts.mask_input_size = (4 * tokens, 4 * tokens)
