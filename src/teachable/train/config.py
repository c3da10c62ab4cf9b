"""What a training run is, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# A model below this is small: its products are too short to be worth several threads, and a general trainer's overhead
# shows. It trains in the plain loop, and on a CPU several of them run side by side, one thread each.
SMALL_PARAMS = 10_000_000


class PretrainConfig(BaseModel):
    """The embedded base model: its shape, its reading, and how long it reads."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden_size: int = Field(96, ge=16, description="width of the residual stream")
    n_layers: int = Field(3, ge=1, description="decoder layers")
    n_heads: int = Field(4, ge=1, description="attention heads; hidden_size is a multiple of it")
    n_kv_heads: int = Field(1, ge=1, description="key/value heads; few of them keep the cache small on a CPU")
    intermediate_size: int = Field(288, ge=16, description="width of the feed-forward layers")
    vocab_size: int = Field(512, ge=300, description="tokens of the byte-level tokenizer, 256 bytes included")
    n_tokens: int = Field(4_500_000, ge=1000, description="tokens read")
    n_epochs: int = Field(1, ge=1, description="how often each text is read")
    tokens_per_step: int = Field(2048, ge=64, description="tokens in one optimiser step")
    learning_rate: float = Field(6e-3, gt=0, description="peak learning rate of AdamW; cosine to a tenth")
    muon_rate: float = Field(4e-3, ge=0, description="peak rate of Muon on the layers' matrices; 0 is AdamW for all")
    warmup_frac: float = Field(0.05, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    frac_bare: float = Field(0.25, ge=0, le=1, description="share of answers without any working")
    frac_corrupted: float = Field(0.6, ge=0, le=1, description="share with spoilt working; the rest is clean")
    corrupt_share: float = Field(0.5, ge=0, le=1, description="share of a spoilt working's lines that are wrong")
    seed: int = Field(0, ge=0, description="weights, questions and order")

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.frac_bare + self.frac_corrupted > 1:
            raise ValueError("frac_bare and frac_corrupted add up to more than 1")
        return self


class SftConfig(BaseModel):
    """Supervised fine-tuning of one base on each arm's examples, the same steps and tokens for every arm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(4e-4, gt=0, description="peak learning rate of AdamW")
    schedule: Literal["constant", "linear"] = Field("constant", description="after warm-up: stay, or fall to 0")
    warmup_frac: float = Field(0.05, ge=0, le=1, description="share of the steps in which the rate rises from 0")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay; 0 is off")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    tokens_per_step: int = Field(1024, ge=16, description="training tokens in one optimiser step")
    backend: Literal["auto", "loop", "trl"] = Field(
        "auto", description="auto: the plain loop under 10 M parameters, TRL's SFTTrainer above"
    )
