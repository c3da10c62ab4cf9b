"""The shape of a decoder: how many numbers it holds and how much is computed with them, from its config.json alone.

No weights are read and no model library is loaded, so that a plan can speak of a model that is not here. Known are the
decoders of llama's kind (RMS norms, rotary positions, a gated feed-forward part of three matrices): llama, mistral,
phi3, qwen2, qwen3. Of any other kind nothing is said rather than something wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

KINDS = ("llama", "mistral", "phi3", "qwen2", "qwen3")


@dataclass(frozen=True)
class ModelShape:
    """A decoder's sizes.

    Attributes:
        hidden: width of the residual stream.
        intermediate: width inside the feed-forward part.
        n_layers, n_heads, n_kv_heads, head_dim: of the layers and their attention.
        vocab: tokens in the embedding.
        tied: whether the output head is the embedding.
        qkv_bias: whether the projections to queries, keys and values have biases.
        head_norms: whether queries and keys are normed, head by head.
        context: tokens that it was made to read, by its config.json; 0 is not known.
    """

    hidden: int
    intermediate: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    qkv_bias: bool = False
    head_norms: bool = False
    context: int = 0

    @property
    def attention_width(self) -> int:
        """Width of all heads together."""
        return self.n_heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all heads of keys, or of values."""
        return self.n_kv_heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Weights of one layer that tokens are multiplied with."""
        attention = self.hidden * (2 * self.attention_width + 2 * self.kv_width)
        return attention + 3 * self.hidden * self.intermediate

    @property
    def layer_params(self) -> int:
        """All weights of one layer: its matrices, biases and norms."""
        biases = (self.attention_width + 2 * self.kv_width) * self.qkv_bias
        return self.layer_matrices + biases + 2 * self.hidden + 2 * self.head_dim * self.head_norms

    @property
    def embedding_params(self) -> int:
        """Weights of the embedding and of the output head, which may be one matrix."""
        return self.vocab * self.hidden * (1 if self.tied else 2)

    @property
    def n_params(self) -> int:
        """All weights."""
        return self.n_layers * self.layer_params + self.embedding_params + self.hidden

    @property
    def multiplied(self) -> int:
        """The weights that each token is multiplied with: all matrices but the embedding, which is only looked up."""
        return self.n_layers * self.layer_matrices + self.vocab * self.hidden

    def lora_params(self, r: int) -> int:
        """Weights of adapters of rank `r` on every matrix of the layers: r for each of its rows and columns."""
        h, a, kv, f = self.hidden, self.attention_width, self.kv_width, self.intermediate
        return self.n_layers * r * ((h + a) + 2 * (h + kv) + (a + h) + 3 * (h + f))


def shape_from(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape that a config.json describes; None for a kind of model that is not known here."""
    kind = config.get("model_type")
    sizes = [config.get(name) for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")]
    n_heads = config.get("num_attention_heads")
    if kind not in KINDS or not all(isinstance(size, int) and size > 0 for size in [*sizes, n_heads]):
        return None
    hidden, intermediate, n_layers, vocab = (int(size) for size in sizes if size is not None)
    if (config.get("attention_bias") and kind != "qwen2") or config.get("mlp_bias"):
        return None  # biases that only some of these have; nobody has looked at where
    return ModelShape(
        hidden=hidden,
        intermediate=intermediate,
        n_layers=n_layers,
        n_heads=int(n_heads or 0),
        n_kv_heads=int(config.get("num_key_value_heads") or n_heads or 0),
        head_dim=int(config.get("head_dim") or hidden // int(n_heads or 1)),
        vocab=vocab,
        tied=bool(config.get("tie_word_embeddings", False)),
        qkv_bias=kind == "qwen2",
        head_norms=kind == "qwen3",
        context=int(config.get("max_position_embeddings") or 0),
    )


# Of models that may not be here: the shapes in the config.json of their pages on huggingface.co. Each one's `n_params`
# is the number of weights that its page states (of the safetensors files), which the tests hold them to. Contexts are
# left out: they are no matter of weights, and often raised before a training.
PUBLISHED: dict[str, ModelShape] = {
    "microsoft/phi-4": ModelShape(5120, 17920, 40, 40, 10, 128, 100352, tied=False),
    "Qwen/Qwen2.5-0.5B": ModelShape(896, 4864, 24, 14, 2, 64, 151936, tied=True, qkv_bias=True),
    "Qwen/Qwen2.5-1.5B": ModelShape(1536, 8960, 28, 12, 2, 128, 151936, tied=True, qkv_bias=True),
    "Qwen/Qwen2.5-7B": ModelShape(3584, 18944, 28, 28, 4, 128, 152064, tied=False, qkv_bias=True),
    "Qwen/Qwen2.5-14B": ModelShape(5120, 13824, 48, 40, 8, 128, 152064, tied=False, qkv_bias=True),
    "Qwen/Qwen2.5-32B": ModelShape(5120, 27648, 64, 40, 8, 128, 152064, tied=False, qkv_bias=True),
    "Qwen/Qwen3-0.6B": ModelShape(1024, 3072, 28, 16, 8, 128, 151936, tied=True, head_norms=True),
    "Qwen/Qwen3-8B": ModelShape(4096, 12288, 36, 32, 8, 128, 151936, tied=False, head_norms=True),
    "meta-llama/Llama-3.2-1B": ModelShape(2048, 8192, 16, 32, 8, 64, 128256, tied=True),
    "meta-llama/Llama-3.1-8B": ModelShape(4096, 14336, 32, 32, 8, 128, 128256, tied=False),
}


def published_shape(name: str) -> ModelShape | None:
    """The shape of a hub id of the table; a model tuned by its makers (`-Instruct`) has its base's shape."""
    return PUBLISHED.get(name.removesuffix("-Instruct"))
