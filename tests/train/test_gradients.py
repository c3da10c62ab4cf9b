"""Gradients of real tiny models: autograd's own, true to what a step does, and clear about what is missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.conftest import tiny_model as tiny_model

from teachable.chat import training_tokens
from teachable.engines.layers import group_of
from teachable.errors import TeachableError
from teachable.records import Example, Message, Progress
from teachable.train.conflict import GradientPair
from teachable.train.gradients import Gradients, probe_gradients
from teachable.train.loop import TokenSequence, batch_loss, collate
from teachable.train.sft import load_trainable


def example(asked: str, answer: str, domain: str = "") -> Example:
    messages = Message(role="user", content=asked), Message(role="assistant", content=answer)
    return Example(asked, messages, domain, 1, "teachable", "planted", 10)


SUMS = [example(f"{i} + {i + 3}", f"It is {2 * i + 3}.") for i in range(24)]
WORDS = ("apple", "house", "river", "stone", "cloud", "table", "chair", "lemon")
SPELL = [example(f"Spell {word}", " ".join(word)) for word in WORDS]


def flat(model: Any, tokenizer: Any, examples: list[Example]) -> tuple[float, torch.Tensor]:
    """The mean loss a response token, and its gradient in one piece, by autograd in one batch."""
    sequences = [TokenSequence(*map(tuple, training_tokens(tokenizer, one.messages))) for one in examples]
    model.zero_grad()
    loss = batch_loss(model, collate(sequences, tokenizer.pad_token_id))
    loss.backward()
    return loss.item(), torch.cat([parameter.grad.flatten() for parameter in model.parameters()]).double()


def only(found: Gradients) -> GradientPair:
    (pair,) = found.pairs
    return pair


@pytest.fixture(scope="module")
def whole(tiny_model: Path) -> Gradients:
    """All examples of both domains: nothing is left to the draw."""
    return probe_gradients(tiny_model, {"sums": SUMS, "spell": SPELL}, n_examples=32)


def test_it_is_autograds_own_gradient(tiny_model: Path, whole: Gradients) -> None:
    model, tokenizer = load_trainable(tiny_model, "cpu")
    truth = {"sums": flat(model, tokenizer, SUMS), "spell": flat(model, tokenizer, SPELL)}
    assert [(one.domain, one.n_examples) for one in whole.domains] == [("sums", 24), ("spell", 8)]
    for one in whole.domains:
        loss, gradient = truth[one.domain]
        assert (one.loss, one.norm) == pytest.approx((loss, float(gradient.norm())), rel=1e-4)
    pair, (one, two) = only(whole), (gradient for _, gradient in truth.values())
    assert pair.cosine == pytest.approx(float(torch.cosine_similarity(one, two, dim=0)), abs=1e-4)
    signs = torch.sign(one) * torch.sign(two)
    assert pair.opposed == pytest.approx(float((signs < 0).sum() / (signs != 0).sum()), abs=2e-3)
    assert whole.exact and whole.error == 0 and whole.n_parameters == len(one)
    names = {name: parameter.numel() for name, parameter in model.named_parameters()}
    groups = group_of(list(names))
    start, by_group = 0, {group: [0.0, 0.0, 0.0] for group in pair.cosine_by_group}
    for name, size in names.items():
        mine, other = (gradient[start : start + size] for gradient in (one, two))
        for i, product in enumerate((mine @ other, mine @ mine, other @ other)):
            by_group[groups[name]][i] += float(product)
        start += size
    expected = {group: dot / (a * b) ** 0.5 for group, (dot, a, b) in by_group.items()}
    assert pair.cosine_by_group == pytest.approx(expected, abs=1e-4)


def test_the_loss_is_on_the_responses_alone(tiny_model: Path, whole: Gradients) -> None:
    _, tokenizer = load_trainable(tiny_model, "cpu")
    n_tokens = [sum(sum(training_tokens(tokenizer, one.messages)[1]) for one in found) for found in (SUMS, SPELL)]
    assert [one.n_tokens for one in whole.domains] == n_tokens


def test_a_small_step_does_what_is_predicted(tiny_model: Path, whole: Gradients) -> None:
    """A step along one domain's gradient changes the other's loss by cosine x norm x norm x its length."""
    model, tokenizer = load_trainable(tiny_model, "cpu")
    (sums, spell), pair = whole.domains, only(whole)
    assert pair.cosine is not None
    before, _ = flat(model, tokenizer, SPELL)
    flat(model, tokenizer, SUMS)
    length = 1e-3
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= length / sums.norm**2 * parameter.grad
    after, _ = flat(model, tokenizer, SPELL)
    predicted = -pair.cosine * spell.norm / sums.norm * length
    assert abs(predicted) > 5e-5 and after - before == pytest.approx(predicted, rel=0.1)


def test_like_domains_are_told_from_opposed_ones(tiny_model: Path) -> None:
    """The same questions with another answer pull the other way; other questions of one kind pull alike."""
    yes, no = ([example(f"Is {i} even?", answer) for i in range(32)] for answer in ("yes", "no!"))
    found = probe_gradients(tiny_model, {"yes": yes[::2], "more": yes[1::2], "no": no[::2], "sums": SUMS})
    by_pair = {frozenset((pair.one, pair.two)): pair for pair in found.pairs}
    like, unlike = by_pair[frozenset(("yes", "more"))], by_pair[frozenset(("yes", "no"))]
    assert like.aligned is not None and like.aligned > 0.9 and like.low is not None and like.low > 0.8
    assert unlike.aligned is not None and unlike.aligned < like.aligned - 0.1
    assert like.one_to_two == pytest.approx(1, abs=0.35) and unlike.one_to_two is not None
    assert unlike.one_to_two < like.one_to_two  # type: ignore[operator]
    assert found.pairs[0].aligned == min(pair.aligned for pair in found.pairs if pair.aligned is not None)
    assert all(one.repeat is not None and one.repeat > 0.5 for one in found.domains)


def test_a_sketch_is_close_and_says_how_close(tiny_model: Path, whole: Gradients) -> None:
    found = probe_gradients(tiny_model, {"sums": SUMS, "spell": SPELL}, width=4096)
    assert not found.exact and found.error == 1 / 64
    cosine, truth = only(found).cosine, only(whole).cosine
    assert cosine is not None and cosine == pytest.approx(truth, abs=4 * found.error)


def test_what_is_drawn_hangs_on_the_seed_and_not_on_the_order(tiny_model: Path) -> None:
    told: list[Progress] = []
    one = probe_gradients(tiny_model, {"a": SUMS, "b": SPELL}, n_examples=6, n_parts=3, on_progress=told.append)
    two = probe_gradients(tiny_model, {"a": SUMS[::-1], "b": SPELL}, n_examples=6, n_parts=3)
    other = probe_gradients(tiny_model, {"a": SUMS, "b": SPELL}, n_examples=6, n_parts=3, seed=1)
    assert one == two and one.domains[0].loss != other.domains[0].loss
    assert [one.n_examples for one in one.domains] == [6, 6]
    assert [(each.done, each.total, each.note) for each in told][-1] == (12, 12, "b") and len(told) == 6


def test_long_examples_are_left_out(tiny_model: Path) -> None:
    long = [example("long", "x" * 2000)]
    found = probe_gradients(tiny_model, {"a": SUMS + long, "b": SPELL})
    assert found.domains[0].n_examples == 24 and found.domains[0].n_too_long == 1


def test_what_can_not_be_probed_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match=r"^gradients: interference is between domains\. Name two or more\.$"):
        probe_gradients(tiny_model, {"a": SUMS})
    with pytest.raises(TeachableError, match=r"^gradients: 1 is too few: two parts of an example each are the least"):
        probe_gradients(tiny_model, {"a": SUMS, "b": SPELL}, n_examples=1)
    with pytest.raises(TeachableError, match=r"the domain 'b' has 1 of 2 examples that fit into 1024 tokens, and two"):
        probe_gradients(tiny_model, {"a": SUMS, "b": [SPELL[0], example("long", "x" * 2000)]})
    bare = shutil.copytree(tiny_model, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((bare / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(TeachableError, match=r"has no chat template\. Add a chat_template"):
        probe_gradients(bare, {"a": SUMS, "b": SPELL})
    with pytest.raises(TeachableError, match=r"nowhere: the tokenizer can't be loaded"):
        probe_gradients(tmp_path / "nowhere", {"a": SUMS, "b": SPELL})


def test_a_broken_base_is_one_sentence(tiny_model: Path, tmp_path: Path) -> None:
    model, tokenizer = load_trainable(tiny_model, "cpu")
    with torch.no_grad():
        next(iter(model.parameters()))[5] = float("nan")
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    with pytest.raises(TeachableError, match=r"^gradients: the base's loss on the domain '\w+' is nan\. Look at its"):
        probe_gradients(tmp_path / "broken", {"a": SUMS, "b": SPELL})
