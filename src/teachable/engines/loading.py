"""Loads a model and its tokenizer, and says in one sentence why it can't.

Weights are read from safetensors only, and code that comes with a model is run only where that is asked for.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from teachable.errors import TeachableError

TRUST = "trust_remote_code"


def load_tokenizer(model: str, *, trust_remote_code: bool) -> Any:
    """The tokenizer of a folder or hub id.

    Raises:
        TeachableError: there is none, or it can't be read.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
    except Exception as error:  # the library raises whatever its parts raise; all of it is about this model
        raise _sentence(error, model, "tokenizer") from error


def load_model(model: str, *, dtype: str, trust_remote_code: bool) -> Any:
    """The causal language model of a folder or hub id, on the CPU.

    Raises:
        TeachableError: there is none, it can't be read, or weights are missing from it.
    """
    from transformers import AutoModelForCausalLM

    try:
        loaded, found = AutoModelForCausalLM.from_pretrained(
            model, dtype=dtype, use_safetensors=True, trust_remote_code=trust_remote_code, output_loading_info=True
        )
    except Exception as error:  # as above
        raise _sentence(error, model, "model") from error
    if missing := sorted(found["missing_keys"]):
        raise TeachableError(
            f"{len(missing)} of the model's weights are missing from its files, such as {missing[0]}",
            where=model,
            mend="Copy the model again, or choose another",
        )
    return loaded


def _sentence(error: Exception, model: str, what: str) -> TeachableError:
    """The library's error as one sentence and a mend."""
    text = str(error)
    first = re.sub(r"\s+", " ", text.strip().split("\n")[0]).rstrip(".:") or type(error).__name__
    if TRUST in text:
        return TeachableError(
            f"the {what} brings Python code of its own, which is not run unless you say so",
            where=model,
            mend="Set engine.trust_remote_code=true if you trust it",
        )
    if isinstance(error, ImportError):
        return TeachableError(f"the {what} needs a package that is missing: {first}", where=model, mend="Install it")
    if isinstance(error, SafetensorError):
        return TeachableError(
            f"the weights can't be read: {first}",
            where=model,
            mend="Copy the model again; a file is cut short or broken",
        )
    folder = Path(model)
    if what == "model" and (folder / "config.json").is_file() and not any(folder.glob("*.safetensors")):
        others = any(folder.glob("*.bin")) or any(folder.glob("*.gguf"))
        return TeachableError(
            "the folder has no weights in safetensors files" + (", only in another format" if others else ""),
            where=model,
            mend="Convert them to safetensors" if others else "Copy the model.safetensors files too",
        )
    mend = "Check the folder, or the model's id on the hub and that the hub can be reached"
    return TeachableError(f"the {what} can't be loaded: {first}", where=model, mend=mend)
