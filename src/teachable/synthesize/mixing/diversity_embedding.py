"""Embeddings of texts by a model in a folder: the mean of its last states over the text's tokens, or the first's.

A folder of sentence-transformers says in `1_Pooling/config.json` which of the two it was trained with (the mean where
it says nothing: Reimers and Gurevych 2019, arXiv:1908.10084, section 3). Other poolings and layers behind them are not
known here. Nothing is downloaded: the folder has to be there, and needs torch and transformers.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from teachable.errors import TeachableError
from teachable.store.files import read_json

BATCH, MAX_TOKENS = 32, 256


class Embedder:
    """Texts -> embeddings, [text, dimension].

    Args:
        folder: of a transformers model with its tokenizer; a folder of sentence-transformers is one.

    Raises:
        TeachableError: there is no such folder, it holds no such model, or the libraries are not installed.
    """

    def __init__(self, folder: Path) -> None:
        where = str(folder)
        if not (Path(folder) / "config.json").is_file():
            raise TeachableError(
                "this folder holds no embedding model", where=where, mend="Name a folder that has a config.json"
            )
        try:
            self._torch = importlib.import_module("torch")
            transformers = importlib.import_module("transformers")
        except ImportError as error:
            raise TeachableError(
                "an embedding model needs torch and transformers", where=where, mend="pip install 'teachable[train]'"
            ) from error
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(where, local_files_only=True)
            self._model: Any = transformers.AutoModel.from_pretrained(where, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            first = str(error).splitlines()[0]
            raise TeachableError(f"this embedding model can't be loaded ({first})", where=where) from error
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._by_first = _by_first(Path(folder))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The embeddings of texts, in their order."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # alike in length, so that little is padding
        found: dict[int, NDArray[np.float64]] = {}
        with self._torch.inference_mode():
            for begin in range(0, len(order), BATCH):
                batch = order[begin : begin + BATCH]
                inputs = self._tokenizer(
                    [texts[i] or " " for i in batch],
                    padding=True,
                    truncation=True,
                    max_length=MAX_TOKENS,
                    padding_side="right",
                    return_tensors="pt",
                )
                ids, mask = inputs["input_ids"], inputs["attention_mask"]
                states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
                weights = mask[..., None].float()
                pooled = states[:, 0] if self._by_first else (states * weights).sum(1) / weights.sum(1).clamp(min=1)
                found |= dict(zip(batch, pooled.numpy().astype(np.float64), strict=True))
        return np.stack([found[i] for i in range(len(texts))])


def _by_first(folder: Path) -> bool:
    """Whether the first token's state stands for the text."""
    path = folder / "1_Pooling" / "config.json"
    return bool(path.is_file() and read_json(path).get("pooling_mode_cls_token"))
