"""What a training needs: memory on each device, and arithmetic; worked out from sizes, before anything runs.

Memory, in bytes a weight (Rajbhandari et al. 2020, "ZeRO", section 3.1): weights 4, their gradients 4, and AdamW's two
moments 8, all in float32, as `train.tune` has them (weights are never rounded to bf16 between steps). On a CUDA device
with bf16, autocast keeps a copy of 2 until the backward pass is done. Adapters (LoRA) leave gradients and moments to
the adapters alone. Processes that each hold the whole model (data parallel) need a further copy of the gradients, the
buckets in which these are exchanged. Sharded over n processes (FSDP, ZeRO-3) all of this is divided by n, while the
embedding, the head and two layers are whole, in bf16, at any time.

Activations are what the backward pass needs of the forward pass. They are counted tensor by tensor (after Korthikanti
et al. 2022, "Reducing Activation Recomputation in Large Transformer Models", section 4.1, whose count is for another
layer) for a layer of llama's kind as transformers computes it with torch's scaled dot-product attention, which keeps no
matrix of attention weights; see `_layer_bytes`. With gradient checkpointing a layer keeps its input alone, and one
layer at a time is computed again. Logits are never held whole: TRL computes them in tiles of 4,096 tokens by 32,768
words (`_head_bytes`).

Arithmetic: 2 operations a weight and token forward, 4 backward (Kaplan et al. 2020, section 2.1), and the attention's
own, which grows with the square of the length (`train_flops`).

Not counted: what the allocator can't use because of fragmentation (10 % is not rare), the CUDA context (about 0.5 GB),
the libraries themselves, and a judge's key-value cache between steps. The tests hold the count in float32 against the
measured memory of trainings on a CPU; of the count in bf16 and of sharding nothing has been measured yet.
"""

from __future__ import annotations

from dataclasses import dataclass

from teachable.train.shapes import ModelShape

HEAD_TILE_TOKENS = 4096  # of TRL's tiles of logits
HEAD_TILE_VOCAB = 32768
FLOAT32, BF16 = 4, 2


@dataclass(frozen=True)
class Layout:
    """How a training is spread.

    Attributes:
        rows: computed at once on a device.
        length: tokens of a row.
        n_processes: one a device.
        sharded: whether weights, gradients and moments are divided among them.
        checkpointing: gradient checkpointing.
        lora_r: rank of adapters; 0 is off.
        bf16: autocast to bf16, as on a CUDA device that has it; else all is float32.
        packed: rows of several examples, none of which reads another.
        accumulated: whether a step is computed in several parts.
    """

    rows: int
    length: int
    n_processes: int = 1
    sharded: bool = False
    checkpointing: bool = False
    lora_r: int = 0
    bf16: bool = True
    packed: bool = False
    accumulated: bool = False

    @property
    def tokens(self) -> int:
        """Tokens that a device computes at once."""
        return self.rows * self.length

    @property
    def masked(self) -> bool:
        """Whether attention is told what not to read: other examples in a row, or what fills up shorter rows."""
        return self.packed or self.rows > 1


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes on each device.

    `activations` are kept from the forward pass to the backward pass, `head` and `layer` are what the output head and a
    layer that is computed again need while they work. `accumulated` says that gradients of an earlier part of the step
    are there all the time.
    """

    weights: int
    gradients: int
    moments: int
    activations: int
    head: int
    layer: int
    accumulated: bool

    @property
    def total(self) -> int:
        """The peak of a step.

        Gradients come while activations go, so what counts is the beginning of the backward pass or its end.
        """
        begins = self.activations + max(self.head, self.layer)
        ends = self.layer
        if self.accumulated:
            return self.weights + self.moments + self.gradients + max(begins, ends)
        return self.weights + self.moments + max(begins, self.gradients + ends)


def memory_needed(shape: ModelShape, layout: Layout) -> MemoryNeed:
    """What each device needs."""
    n_trained = shape.lora_params(layout.lora_r) if layout.lora_r else shape.n_params
    n_all = shape.n_params + (n_trained if layout.lora_r else 0)
    share = layout.n_processes if layout.sharded else 1
    weights, gradients = FLOAT32 * n_all / share, FLOAT32 * n_trained / share
    if layout.sharded:
        whole = shape.embedding_params + 2 * shape.layer_params
        weights += BF16 * whole
        gradients += 0 if layout.lora_r else BF16 * whole
    else:
        weights += BF16 * n_all if layout.bf16 else 0
        gradients += FLOAT32 * n_trained if layout.n_processes > 1 else 0
    layer = _layer_bytes(shape, layout)
    if layout.checkpointing:
        kept = shape.n_layers * _stream_bytes(layout) * shape.hidden * layout.tokens
    else:
        kept = shape.n_layers * layer
    return MemoryNeed(
        weights=round(weights),
        gradients=round(gradients),
        moments=round(2 * FLOAT32 * n_trained / share),
        activations=kept,
        head=_head_bytes(shape, layout),
        layer=layer if layout.checkpointing else 0,
        accumulated=layout.accumulated,
    )


def _stream_bytes(layout: Layout) -> int:
    """Bytes of a number in the residual stream: FSDP computes in bf16 throughout, autocast leaves the stream alone."""
    return BF16 if layout.bf16 and layout.sharded else FLOAT32


def _layer_bytes(shape: ModelShape, layout: Layout) -> int:
    """What the backward pass needs of one layer, for all tokens.

    A token keeps, in numbers of the stream (s bytes), of float32, and of the computation (c bytes, 2 in bf16):

    - of each of two norms its input (s), and, for the norm's own weights, that divided by its root mean square (4);
    - the norms' outputs as the matrices read them: under autocast each of the five matrices has a copy of its own;
    - queries, keys, values and the attention's output; where there is a mask, keys and values repeated for all heads,
      and the mask as numbers, one a token of the row;
    - the gate before and after its activation, the other half, and their product.
    """
    c = BF16 if layout.bf16 else FLOAT32
    h, a, kv, f = shape.hidden, shape.attention_width, shape.kv_width, shape.intermediate
    norms = 2 * h * (_stream_bytes(layout) + (0 if layout.lora_r else FLOAT32))
    copies = 5 if layout.bf16 and not layout.sharded else 2
    read = copies * c * h
    attention = c * (2 * a + 2 * (a if layout.masked else kv) + layout.length * layout.masked)
    feed_forward = 4 * c * f
    adapters = 7 * c * layout.lora_r
    return (norms + read + attention + feed_forward + adapters) * layout.tokens


def _head_bytes(shape: ModelShape, layout: Layout) -> int:
    """The tile of logits with what is computed from it, the gradient of the last hidden states, and of the head."""
    c = BF16 if layout.bf16 else FLOAT32
    tile = min(layout.tokens, HEAD_TILE_TOKENS) * min(shape.vocab, HEAD_TILE_VOCAB)
    computed = 0 if layout.bf16 else 8 * FLOAT32  # a CUDA kernel works in the tile itself, torch on the CPU does not
    states = (3 * FLOAT32 + c) * shape.hidden * layout.tokens
    tied_gradient = FLOAT32 * shape.vocab * shape.hidden if shape.tied and not layout.lora_r else 0
    return (c + computed) * tile + states + tied_gradient


def train_flops(
    shape: ModelShape, n_tokens: float, length: float, *, lora: bool = False, checkpointing: bool = False
) -> float:
    """Floating-point operations of a training on `n_tokens` in examples of `length` tokens.

    2 operations a weight and token forward, 2 for the gradients of what the layers read, 2 for the weights' own; the
    latter are not computed where only adapters are trained (these are too few to count). Attention reads the tokens
    before, half of the length on average, in two products of the heads' whole width: 2 x length x width a layer and
    token forward, twice as much backward. With gradient checkpointing the forward pass is done twice.
    """
    weights = 2.0 * shape.multiplied
    attention = 2.0 * shape.n_layers * length * shape.attention_width
    passes = (2 if lora else 3) + checkpointing
    return n_tokens * (weights * passes + attention * (3 + checkpointing))
