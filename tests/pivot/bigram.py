"""A real model folder whose next token depends on the last one alone, so that every success probability is known.

    <|assistant|> -> p or q -> newline -> g (0.55) or b (0.45)
    g -> 4 (0.95) or 5 (0.05)          b -> 5 (0.9) or 4 (0.1)          4, 5 -> <|end|>

An answer is its last line: "g4" has probability 0.5225, "b4" 0.045, "zz" 0. Against the reference "g4", p and q are
worth nothing, g raises the success probability from 0.5225 to 0.95 and b lowers it to 0; the 5 after g takes all of it.
A model of the kind Llama, its attention and feed-forward layers silenced: a token's embedding is a unit vector of its
own, and the output head holds the log-probabilities of what follows.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from tests.engines.conftest import tiny_tokenizer

from teachable.train.config import PretrainConfig
from teachable.train.embedded import build_model, save_model

START, END = "<|assistant|>", "<|end|>"
FOLLOWS: dict[str, dict[str, float]] = {
    START: {"p": 0.5, "q": 0.5},
    "p": {"\n": 1.0},
    "q": {"\n": 1.0},
    "\n": {"g": 0.55, "b": 0.45},
    "g": {"4": 0.95, "5": 0.05},
    "b": {"5": 0.9, "4": 0.1},
    "4": {END: 1.0},
    "5": {END: 1.0},
}
P_RIGHT = 0.55 * 0.95  # of the answer "g4"
NEVER = -40.0
WIDTH = 16


def save_bigram(folder: Path) -> Path:
    """Write the model's folder."""
    import torch

    tokenizer = tiny_tokenizer()
    config = PretrainConfig(hidden_size=WIDTH, n_layers=1, n_heads=2, n_kv_heads=1, intermediate_size=16)
    model = build_model(config, tokenizer)
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(torch.zeros_like(model.lm_head.weight))
    with torch.no_grad():
        layer = model.model.layers[0]
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
        embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
        embedding.zero_()
        embedding[:, WIDTH - 1] = 1.0  # of all tokens that nothing is said of
        scale = math.sqrt(WIDTH)  # what the last norm makes of a unit vector's length
        head.fill_(NEVER / scale)
        head[:, WIDTH - 1] = 0.0
        for place, (token, following) in enumerate(FOLLOWS.items()):
            state = id_of(tokenizer, token)
            embedding[state].zero_()
            embedding[state, place] = 1.0
            for after, probability in following.items():
                head[id_of(tokenizer, after), place] = math.log(probability) / scale
    save_model(model, tokenizer, folder)
    return folder


def id_of(tokenizer: object, token: str) -> int:
    """The id of a special token, or of one character."""
    ids: list[int] = tokenizer.encode(token, add_special_tokens=False)  # type: ignore[attr-defined]
    assert len(ids) == 1, token
    return ids[0]


def write_prompts(path: Path, n: int = 3, **others: str) -> Path:
    """n questions whose answer the model almost knows, and one for each further answer."""
    answers = {f"q{i}": "g4" for i in range(n)} | others
    rows = [{"id": name, "prompt": f"question {name}", "answer": answer} for name, answer in answers.items()]
    path.write_text("".join(json.dumps(row | {"verifier": "exact"}) + "\n" for row in rows))
    return path
