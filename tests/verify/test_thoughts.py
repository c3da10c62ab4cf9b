"""What is said, as against what is thought."""

from __future__ import annotations

import pytest

from teachable.verify.thoughts import spoken


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("all of it", "all of it"),
        ("<think>no</think>yes", "yes"),
        ("a<think>no</think>b<think>no</think>c", "abc"),
        ("yes<think>never closed", "yes"),
        ("no</think>yes", "yes"),
        ("no</think>no</think>yes", "yes"),
        ("<think>no<think>no</think>no</think>yes", "yes"),
        ("<think>no<think>no</think>no", ""),
        ("<think>\n<think>\nno</think>yes", "yes"),  # a template's tag, and the model's own
        ("<think budget='5'>no</think >yes", "yes"),
        ("<THINK>no</Think>yes", "yes"),
        ("<thinking>no</thinking>yes", "yes"),
        ("<reasoning>no <think>no</think> no</reasoning>yes", "yes"),
        ("<think>no <reasoning>no</think>yes", "yes"),
        ("<think>no</reasoning>no</think>yes", "yes"),
        ("[THINK]no[/THINK]yes", "yes"),
        ("◁think▷no◁/think▷yes", "yes"),
        ("<|begin_of_thought|>no<|end_of_thought|>yes", "yes"),
        ("<|channel|>analysis<|message|>no<|end|><|start|>assistant<|channel|>final<|message|>yes<|return|>", "yes"),
        ("<|channel|>analysis<|message|>no", ""),
        ("yes<|im_end|>", "yes"),
        ("yes</s>", "yes"),
        ("a <thinker> b", "a <thinker> b"),
        ("if a <think and b> c", "if a "),  # an opening tag with attributes, as far as can be told
    ],
)
def test_thoughts_are_dropped(text: str, said: str) -> None:
    assert spoken(text) == said
