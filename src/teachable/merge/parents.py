"""The models that are merged: whether they are of one kind, and which tensors they share.

Models whose numbers mean different things can be averaged without an error and give nonsense, so every disagreement
of architecture, shapes, vocabulary, tokenizer or chat template is refused, with the first thing that differs.
What is stored twice or can be worked out is no disagreement: an output layer that is the embedding
(`tie_word_embeddings`), and the angles of rotary positions that old versions of transformers saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from teachable.errors import TeachableError
from teachable.merge.tensors import INDEX, SINGLE, Stored, open_weights, read_raw, spans
from teachable.store.digest import file_digest
from teachable.store.files import read_json

# What a config says beside the architecture; training changes some of it, and the merged model takes the reference's.
_NO_ARCHITECTURE = frozenset(
    [
        *("_name_or_path", "transformers_version", "_commit_hash", "dtype", "torch_dtype", "use_cache"),
        *("bos_token_id", "eos_token_id", "pad_token_id", "_attn_implementation_autoset"),
    ]
)
_IN_TRAINING = ("dropout", "_pdrop", "initializer_range")  # endings of fields that mean something in training alone
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "merges.txt")
_SETTINGS = ("version", "truncation", "padding")  # of tokenizer.json: training sets them, no token depends on them
_WORKED_OUT = ("rotary_emb.inv_freq",)  # endings of names
_HEADS = ("lm_head.weight", "embed_out.weight")
_MEND = "Merge models that were tuned from one base"


@dataclass(frozen=True)
class Parent:
    """A model folder: its config, and where its tensors lie."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Stored]

    def read_raw_spans(self, name: str) -> Any:
        """The pieces of a tensor as they lie in the file."""
        return (read_raw(self.tensors[name], start, stop) for start, stop in spans(self.tensors[name].size))


def open_parent(folder: Path) -> Parent:
    """A model folder, of which only headers are read.

    Raises:
        TeachableError: it is no folder, a LoRA adapter, quantised, or it lacks its config or its weights.
    """
    if not folder.is_dir():
        what = "this is a file" if folder.exists() else "there is no such folder"
        raise TeachableError(
            what, where=str(folder), mend="Name model folders; a model of the hub must be downloaded first"
        )
    whole = (folder / "config.json").is_file() and any((folder / name).is_file() for name in (SINGLE, INDEX))
    if (folder / "adapter_config.json").is_file() and not whole:
        raise TeachableError(
            "this folder holds a LoRA adapter, not a whole model",
            where=str(folder),
            mend="Merge it into its base first, PeftModel.from_pretrained(base, adapter).merge_and_unload() in peft, "
            "save that model and its tokenizer, and name their folder",
        )
    if not (folder / "config.json").is_file():
        raise TeachableError("this folder holds no config.json, so no model", where=str(folder), mend="Name another")
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise TeachableError("this is no model's config", where=str(folder / "config.json"), mend="Copy it again")
    if config.get("quantization_config"):
        raise TeachableError(
            "the weights are quantised, and quantised numbers can't be merged",
            where=str(folder),
            mend="Name the model in bfloat16, float16 or float32",
        )
    return Parent(folder, config, open_weights(folder))


def agree(parents: Sequence[Parent]) -> Path:
    """See that all parents are of one kind; the folder that the merged model's tokenizer files come from.

    That is the first parent's, which is the base where there is one; or the next with a chat template, if that has
    none: a base that was taught to chat has no template, and the models that were tuned from it have.

    Raises:
        TeachableError: they differ, in one sentence that says who and in what.
    """
    first = parents[0]
    for other in parents[1:]:
        _same_config(first, other)
        _same_tokenizer(first.folder, other.folder)
    templates = {parent.folder: _templates(parent.folder) for parent in parents}
    having = [folder for folder, found in templates.items() if found]
    for folder in having[1:]:
        if templates[folder] != templates[having[0]]:
            raise TeachableError(
                f"its chat template differs from that of {having[0]}",
                where=str(folder),
                mend="Give all models one chat template",
            )
    return having[0] if having else first.folder


def _same_config(first: Parent, other: Parent) -> None:
    """Compare what makes an architecture, `model_type` and `vocab_size` first since they explain the rest.

    Only fields that both have a value for: versions of transformers write different ones of those that have defaults,
    so a base of the hub and what was tuned from it seldom have the same. Shapes are compared all the same.
    """
    named = ["model_type", "architectures", "vocab_size", *sorted(first.config.keys() & other.config.keys())]
    pairs = [(name, first.config.get(name), other.config.get(name)) for name in named]
    pairs.append(("rope_theta", _rope_theta(first.config), _rope_theta(other.config)))
    for name, one, two in pairs:
        if name in _NO_ARCHITECTURE or name.endswith(_IN_TRAINING) or one is None or two is None or one == two:
            continue
        raise TeachableError(
            f"the models differ in {name} of config.json: {two} here, {one} in {first.folder}",
            where=str(other.folder),
            mend=_MEND,
        )


def _rope_theta(config: Mapping[str, Any]) -> Any:
    """The base of the rotary positions, which transformers 5 moved into `rope_parameters`; None where none is said."""
    inner = config.get("rope_parameters")
    return inner.get("rope_theta", config.get("rope_theta")) if isinstance(inner, dict) else config.get("rope_theta")


def _same_tokenizer(first: Path, other: Path) -> None:
    for name in _TOKENIZERS:
        one, two = first / name, other / name
        if one.is_file() and two.is_file():
            same = file_digest(one) == file_digest(two)
            if not same and name == "tokenizer.json":
                same = _tokens(one) == _tokens(two)
            if not same:
                raise TeachableError(f"its {name} differs from that of {first}", where=str(other), mend=_MEND)
        elif one.is_file() != two.is_file() and not ((first / _TOKENIZERS[0]).is_file() and name != _TOKENIZERS[0]):
            lacking, having = (other, first) if one.is_file() else (first, other)
            raise TeachableError(
                f"it has no {name}, and {having} has one", where=str(lacking), mend="Copy the tokenizer's files too"
            )


def _tokens(path: Path) -> dict[str, Any]:
    """What a tokenizer.json says of how text becomes tokens."""
    return {name: value for name, value in read_json(path).items() if name not in _SETTINGS}


def _templates(folder: Path) -> str:
    """A folder's chat template, wherever it is kept; empty where there is none."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    config = folder / "tokenizer_config.json"
    found = read_json(config).get("chat_template") if config.is_file() else None
    return "" if not found else str(found)


def shared_tensors(parents: Sequence[Parent]) -> list[Stored]:
    """The tensors to merge, in the order of the first parent's files, with its types and shapes.

    Raises:
        TeachableError: a tensor is missing somewhere, has two shapes, or holds integers that differ.
    """
    first = parents[0]
    names = [*first.tensors, *(name for other in parents[1:] for name in other.tensors if name not in first.tensors)]
    found = []
    for name in dict.fromkeys(names):
        if _is_tied(parents, name):
            continue
        having = [parent for parent in parents if name in parent.tensors]
        if len(having) < len(parents):
            if name.endswith(_WORKED_OUT):
                continue
            lacking = next(parent for parent in parents if name not in parent.tensors)
            raise TeachableError(
                f"the tensor {name} is missing, and {having[0].folder} has it", where=str(lacking.folder), mend=_MEND
            )
        _same_kind(parents, name)
        found.append(first.tensors[name])
    return found


def _same_kind(parents: Sequence[Parent], name: str) -> None:
    first = parents[0]
    one = first.tensors[name]
    for other in parents[1:]:
        two = other.tensors[name]
        if one.shape != two.shape:
            raise TeachableError(
                f"the tensor {name} has the shape {list(two.shape)} here and {list(one.shape)} in {first.folder}",
                where=str(other.folder),
                mend=_MEND,
            )
        if not (one.is_float and two.is_float) and (one.dtype != two.dtype or not _equal(first, name, other, name)):
            raise TeachableError(
                f"the tensor {name} holds integers that differ from those of {first.folder}",
                where=str(other.folder),
                mend="Only floating-point tensors can be merged",
            )


def _is_tied(parents: Sequence[Parent], name: str) -> bool:
    """Whether a tensor is an output layer that is the embedding in every parent, stored or not.

    It is left out of the merged model, where stored apart it might come to differ, if the first parent, whose config
    the merged model has, says that it is tied or leaves it out itself.
    """
    first = parents[0]
    if not name.endswith(_HEADS) or not (first.config.get("tie_word_embeddings") or name not in first.tensors):
        return False
    return all(_is_embedding(parent, name) for parent in parents)


def _is_embedding(parent: Parent, name: str) -> bool:
    """Whether a parent's output layer is its embedding: it has no other, or it has stored the same numbers twice."""
    if parent.config.get("tie_word_embeddings") is False:
        return False
    if name not in parent.tensors:
        return True
    shape = parent.tensors[name].shape
    return any(
        tensor.shape == shape and _equal(parent, name, parent, other)
        for other, tensor in parent.tensors.items()
        if "embed" in other and other != name
    )


def _equal(one: Parent, name: str, two: Parent, other: str) -> bool:
    pairs = zip(one.read_raw_spans(name), two.read_raw_spans(other), strict=True)
    return one.tensors[name].dtype == two.tensors[other].dtype and all(np.array_equal(a, b) for a, b in pairs)
