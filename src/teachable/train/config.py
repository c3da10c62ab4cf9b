"""What a training run is, as typed settings. Everything here changes the result and enters the stage's key."""

from __future__ import annotations

from pathlib import Path
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
    allow_overlap: bool = Field(False, description="train on rows that overlap the held-out questions all the same")


class LoraConfig(BaseModel):
    """Low-rank adapters on every linear layer but the output head, merged into the weights when training ends."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    r: int = Field(0, ge=0, description="rank of the adapters; 0 is off: all weights are trained")
    alpha: int = Field(32, ge=1, description="an adapter's product is scaled by alpha / r")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of an adapter's inputs that are zeroed; 0 is off")


class DpoConfig(BaseModel):
    """Direct preference optimisation of one base on pairs of a chosen and a rejected continuation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    beta: float = Field(0.1, gt=0, description="how strongly the model is held to the base; larger is stronger")
    learning_rate: float = Field(1e-4, gt=0, description="peak learning rate of AdamW")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "linear", description="after warm-up: stay, fall to 0, or fall to a tenth along a cosine"
    )
    warmup_frac: float = Field(0.1, ge=0, le=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.0, ge=0, description="decoupled weight decay; 0 is off")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this norm")
    n_epochs: int = Field(1, ge=1, description="how often each pair is used")
    n_steps: int = Field(0, ge=0, description="optimiser steps, in the place of n_epochs; 0 leaves it to n_epochs")
    pairs_per_step: int = Field(32, ge=1, description="pairs in one optimiser step")
    pairs_at_once: int = Field(
        0, ge=0, description="pairs computed at once, the rest is accumulated; 0 is all of a step"
    )
    max_length: int = Field(
        0,
        ge=0,
        description="longest prompt and continuation, in tokens; longer pairs are left out; 0 is the model's own",
    )
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust", "sigmoid_norm", "apo_zero", "apo_down"] = Field(
        "sigmoid", description="of TRL's DPOTrainer"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="probability that a pair is the wrong way round; only loss_type robust uses it"
    )
    sft_weight: float = Field(0.0, ge=0, description="weight of the chosen continuation's own loss beside; 0 is off")
    precompute_reference: bool | Literal["auto"] = Field(
        "auto", description="the base's log-probabilities before training; auto: where that saves memory or time"
    )
    gradient_checkpointing: bool = Field(False, description="compute activations twice to keep fewer of them")
    lora: LoraConfig = Field(LoraConfig(), description="adapters in the place of training all weights")
    seeds: int = Field(1, ge=1, description="models trained, each on another order of the pairs")
    allow_overlap: bool = Field(False, description="train on pairs that overlap the held-out questions all the same")

    @model_validator(mode="after")
    def _fields_fit(self) -> Self:
        if self.label_smoothing and self.loss_type != "robust":
            raise ValueError(f"label_smoothing needs loss_type robust, not {self.loss_type}")
        return self


class PreferencesConfig(BaseModel):
    """Preference pairs of the user's own, for the stages that train on such pairs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path | None = Field(None, description="a Parquet or JSONL file with prompt, chosen and rejected")
