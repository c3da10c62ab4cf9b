"""Rows of a plan as the model is given them: padded, or packed so that no example sees another.

TRL flattens packed rows of a batch into a single one, which flash attention needs and every other attention pays for
with the square of the batch's length. So rows are flattened for flash attention alone; for the others they stay rows
[B, T] whose positions begin anew at each example, from which transformers builds a mask of blocks. Not every
architecture heeds positions in this way (a recurrent layer does not), so a model is asked before anything is packed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from teachable.errors import TeachableError
from teachable.train.loop import IGNORE, TokenSequence, collate
from teachable.train.tune_plan import TunePlan

Batch = dict[str, Any]  # input_ids and labels [B, T], and a mask or positions
_LEAK = 1e-3  # a change of the largest logit, relative, that is more than rounding


def batch_maker(model: Any, plan: TunePlan, pad_id: int, *, packing: bool) -> Callable[[Sequence[int]], Batch]:
    """A function from the rows of a part to what the model is given; a part without rows bears no loss."""
    nothing = [TokenSequence((pad_id, pad_id), (False, False))]

    def alone(rows: Sequence[int]) -> Batch:
        return collate([plan.sequences[plan.rows[row][0]] for row in rows] or nothing, pad_id)

    def together(rows: Sequence[int]) -> Batch:
        return packed(model, [[plan.sequences[i] for i in plan.rows[row]] for row in rows] or [nothing], pad_id)

    return together if packing else alone


def packed(model: Any, rows: Sequence[Sequence[TokenSequence]], pad_id: int) -> Batch:
    """Rows of several examples each, put together by TRL's collator."""
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    flat = "flash" in str(model.config._attn_implementation)
    put_together = DataCollatorForLanguageModeling(pad_token_id=pad_id, padding_free=flat, return_position_ids=True)
    batch: Batch = put_together([_row(row) for row in rows])
    batch.pop("attention_mask", None)  # beside it, positions would not tell examples apart
    return batch


def _row(examples: Sequence[TokenSequence]) -> dict[str, list[int]]:
    """A row as TRL has it; an example's first token is predicted from nothing, so it bears no loss."""
    return {
        "input_ids": [token for one in examples for token in one.ids],
        "labels": [
            token if bears and at else IGNORE
            for one in examples
            for at, (token, bears) in enumerate(zip(one.ids, one.mask, strict=True))
        ],
        "seq_lengths": [len(one.ids) for one in examples],
    }


def require_apart(model: Any, pad_id: int) -> None:
    """Refuse to pack for a model in which an example would see the one before it in its row.

    It is asked for the logits of the same tokens after two different examples, which must be the same.

    Raises:
        TeachableError: they are not.
    """
    device = next(model.parameters()).device
    few = min(8, model.get_input_embeddings().num_embeddings)
    ids = [tuple((start + step * i) % few for i in range(6)) for start, step in ((0, 1), (1, 3), (2, 5))]
    first, other, last = (TokenSequence(one, (True,) * len(one)) for one in ids)
    was_training = model.training
    model.eval()
    logits = []
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        for before in (first, other):
            batch = packed(model, [[before, last]], pad_id)
            batch.pop("labels")
            given = {key: value.to(device) if torch.is_tensor(value) else value for key, value in batch.items()}
            logits.append(model(**given, use_cache=False).logits[0, len(first.ids) :].float())
    model.train(was_training)
    if (logits[0] - logits[1]).abs().max() > _LEAK * logits[0].abs().max():
        raise TeachableError(
            f"examples packed into one row would see each other in this model ({type(model).__name__})",
            mend="Set packing to false",
        )
