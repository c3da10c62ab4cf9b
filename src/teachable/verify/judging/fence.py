"""The fence between what the judge is told and what it is shown.

What is shown (question, reference, candidate) stands between two lines that bear a seal: digits of a hash of all that
is shown, which are checked to occur in none of it. A text can't name its own seal, because any change of the text
changes the seal, and one that happened to hold it gets another. So no candidate can write the closing line, nor a
verdict that passes for the judge's, which has to repeat the seal. Special tokens of chat templates would act before
the model reads anything; a space after their first character makes ordinary text of them.

The special tokens are those of the chat templates in wide use, told by their shape (`<|…|>`, `<｜…｜>`, `<turn|>`,
`[INST]`, `<start_of_turn>`, `</s>`, `[|user|]`, `]~b]` and their like). A tokenizer with tokens of another shape is
not covered, nor can a fence keep a model from obeying what it reads inside.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

SEAL_DIGITS = 12
# Words that are special tokens between angle brackets. As HTML tags they would be hurt by a space, and nothing else.
_WORDS = "s|bos|eos|pad|unk|mask|cls|sep|sop|eop|eoh|eoa|eot|eod|think|thinking|image|video|audio"
_WORDS += "|system|user|assistant|human|bot|(?:unused|reserved|special|pad)[0-9]{1,6}"
_SPECIAL = re.compile(
    r"[<＜﹤](?="
    r"[|｜∣│][^\s>＞﹥]"  # <|im_start|>, <｜User｜>
    r"|/?[A-Za-z_]{1,32}[|｜∣│][>＞﹥]"  # <turn|>
    r"|</?SYS>>"  # <<SYS>>
    rf"|/?(?i:{_WORDS})[>＞﹥]"  # </s>, <think>
    r"|/?[A-Za-z0-9]{1,32}[_:][A-Za-z0-9_]{1,64}[>＞﹥])"  # <start_of_turn>, <BOS_TOKEN>, <seed:eos>
    r"|[\[［](?=/?(?:[A-Z][A-Z_0-9]{2,64}|[gs]MASK)[\]］]|e~\[|[|｜][^\s\]])"  # [INST], [gMASK], [e~[, [|system|]
    r"|\](?=~!?b[\[\]])"  # ]~b], ]~!b[
)


def neutral(text: str) -> str:
    """The text with special tokens of chat templates broken by a space, and lone surrogates as question marks."""
    return _SPECIAL.sub(lambda found: f"{found[0]} ", text.encode("utf-8", "replace").decode())


def seal_of(texts: Sequence[str]) -> str:
    """Twelve hexadecimal digits that depend on every text, in this order, and occur in none, in either case."""
    folded = [text.lower() for text in texts]
    n_tried = 0
    while True:
        named = json.dumps([n_tried, *texts], ensure_ascii=True)
        seal = hashlib.sha256(named.encode()).hexdigest()[:SEAL_DIGITS]
        if not any(seal in text for text in folded):
            return seal
        n_tried += 1


def fenced(label: str, text: str, seal: str) -> str:
    """`text` between its two lines, neutral; `seal` must come from `seal_of` the neutral texts of the same prompt."""
    return f"----- {seal} begin {label} -----\n{text}\n----- {seal} end {label} -----"
