"""Replies as models write them: read where they can be, and otherwise one sentence that says what is wrong."""

from __future__ import annotations

import json
import math
import re
import time
from typing import Any, Literal

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from teachable.synthesize.reading.forms import kind_at
from teachable.synthesize.reading.replies import (
    CUT_OFF,
    EMPTY,
    NO_JSON,
    REFUSED,
    SEVERAL,
    WRONG_FIELDS,
    Fault,
    form_of,
    read,
)


class Pair(BaseModel):
    model_config = ConfigDict(frozen=True)

    question: str = Field(min_length=1, description="the question, complete in itself")
    answer: str = Field(min_length=1, description="its answer")
    kind: Literal["number", "phrase"] = "phrase"


class Reply(BaseModel):
    model_config = ConfigDict(frozen=True)

    pairs: tuple[Pair, ...] = Field(min_length=1, max_length=3, description="the questions")
    score: float | None = Field(None, ge=0, le=1, description="how sure you are")


class Loose(BaseModel):
    value: dict[str, Any]


class One(BaseModel):
    text: str


def got(text: str, output: type[BaseModel] | type[str] = One, finish_reason: str = "stop") -> Any:
    return read(text, output, finish_reason=finish_reason, max_tokens=100)


def fault(text: str, output: type[BaseModel] | type[str] = One, finish_reason: str = "stop") -> Fault:
    found = got(text, output, finish_reason)
    assert isinstance(found, Fault), found
    return found


PLAIN = '{"text": "a {brace}, a \\"quote\\" and a [bracket]"}'
VALUE = One(text='a {brace}, a "quote" and a [bracket]')


@pytest.mark.parametrize(
    "reply",
    [
        PLAIN,
        f"```json\n{PLAIN}\n```",
        f"~~~\n{PLAIN}\n~~~",
        f"Here is the JSON for the set {{1, 2}}:\n\n{PLAIN}\n\nI hope that {{this}} helps!",
        f'<think>first {{"text": "draft"}}, or {{"text": </think>{PLAIN}',
        f'the template opened the thought {{"text": "draft"}}</think>\n{PLAIN}',
        f"{PLAIN}\n{PLAIN}",
        f'{{"other": 1}} {PLAIN}',
        f"[{PLAIN}]",
        f"\ufeff{PLAIN}\x00",
    ],
)
def test_an_object_is_found_whatever_stands_around_it(reply: str) -> None:
    assert got(reply) == VALUE


def test_text_is_taken_as_it_is_without_its_thoughts() -> None:
    assert got("<think>hm</think>\n 42 {}\n", str) == "42 {}"
    assert got("lone \ud800", str) == "lone ?"
    assert fault("<think>hm", str).label == fault(" \n", str).label == fault("<think>hm").label == EMPTY


def test_tags_of_thoughts_inside_a_text_belong_to_it() -> None:
    text = "<think>2 + 2</think> 4, not </think>"
    dumped = json.dumps({"text": text})
    for reply in (dumped, f"<think>plan</think>{dumped}", f"<think>\n{{'no': 1}}</think>\n```json\n{dumped}```"):
        assert got(reply) == One(text=text), reply
    assert got(json.dumps({"text": "a lone <think> opens"})) == One(text="a lone <think> opens")


def test_what_was_cut_off_is_a_fault_even_where_it_can_be_read() -> None:
    found = fault(PLAIN, finish_reason="length")
    assert (found.label, found.sentence) == (CUT_OFF, "Your reply was cut off at 100 tokens. Write a shorter one.")


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ("no object at all", "holds no JSON object"),
        ("{'text': 'python'}", "double quotation marks"),
        ("{“text”: “typographic”}", "straight double quotation marks"),
        (r"the fraction \frac{}{} and x^{} are no objects", "holds no JSON object"),
        ('{"text": "a",}', "a comma stands before a closing bracket"),
        ('{"text": ["a",]}', "a comma stands before a closing bracket"),
        ('{"text": "the "so-called" one"}', "a quotation mark inside a text lacks its backslash"),
        ('{"text" "a"}', "a colon is missing"),
        ('{"text": True}', "a value is missing or is no JSON, near"),
        ('{"text": "a"', "it ends before its last closing bracket"),
        ('{"text": "a', "lacks its closing quotation mark"),
        ('{"text": "a", "text": "b"}', "the name 'text' comes twice"),
        ('{"text": NaN}', "NaN is no number"),
        ('{"text": 1e999}', "too large"),
        (f'{{"text": {"9" * 2000}}}', "over 1,000 digits"),
        ('{"text": "\\ud83d"}', "half of a surrogate pair"),
        ('{"text": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_broken_json_is_said_in_one_sentence(reply: str, said: str) -> None:
    found = fault(reply)
    assert found.label == NO_JSON
    assert said in found.sentence and found.sentence.endswith(".") and len(found.sentence) < 200


def test_the_inside_of_a_broken_object_is_never_taken_for_one() -> None:
    assert fault('{"text": "outer", "more": [{"text": "inner"}]').label == NO_JSON
    assert fault('{"more": {"text": "inner"}, }').label == NO_JSON


def test_a_whole_object_beside_a_broken_one_is_taken() -> None:
    assert got('{"text": oops} Sorry, here it is: {"text": "b"}') == One(text="b")


def test_two_different_objects_are_a_choice_that_nobody_can_make() -> None:
    found = fault('{"text": "a"} or {"text": "b"}')
    assert found.label == SEVERAL and "2 different objects" in found.sentence


def test_wrong_fields_are_named_with_what_is_expected() -> None:
    def said(value: object) -> str:
        found = fault(json.dumps(value), Reply)
        assert found.label == WRONG_FIELDS
        return found.sentence

    assert said({}) == "The field 'pairs' is missing; it must be a list."
    assert said({"pairs": []}) == "The field 'pairs': it needs at least 1 entries; it is []; it must be a list."
    assert said({"pairs": [{"question": "q"}]}) == "The field 'pairs[0].answer' is missing; it must be text."
    kind = said({"pairs": [{"question": "q", "answer": "a", "kind": "proof"}]})
    assert kind.startswith("The field 'pairs[0].kind': input should be 'number' or 'phrase'; it is 'proof'")
    assert "less than or equal to 1" in said({"pairs": [{"question": "q", "answer": "a"}], "score": 2})
    many = said({"pairs": [{}, {}], "score": "x"})
    assert many.count("is missing") == 3 and many.endswith("There are 2 more faults.")
    assert len(said({"pairs": "x" * 5000})) < 300


def test_a_validators_own_words_reach_the_model() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def _even(cls, n: int) -> int:
            if n % 2:
                raise ValueError("an even number is needed")
            return n

    assert fault('{"n": 3}', Even).sentence == (
        "The field 'n': an even number is needed; it is 3; it must be a whole number."
    )


def test_a_number_for_a_text_is_taken_as_it_was_written() -> None:
    reply = '{"pairs": [{"question": "q", "answer": 2.50}, {"question": "r", "answer": 1e5}]}'
    assert [pair.answer for pair in got(reply, Reply).pairs] == ["2.50", "1e5"]
    assert fault('{"text": true}').label == fault('{"text": null}').label == WRONG_FIELDS


def test_strict_types_take_lists_for_tuples_and_nothing_else() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)

        names: tuple[str, ...]
        n: int

    assert got('{"names": ["a"], "n": 1}', Strict).names == ("a",)
    assert fault('{"names": ["a"], "n": "1"}', Strict).label == fault('{"names": [1], "n": 1}', Strict).label


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (r"\frac{1}{2} \times \beta \rho \(x\) \[y\] \alpha", r"\frac{1}{2} \times \beta \rho \(x\) \[y\] \alpha"),
        (r"$\nu \ne \tan x$ \nabla \theta", r"$\nu \ne \tan x$ \nabla \theta"),
        (r"so $x$\nu stays\nne", "so $x$\nu stays\nne"),
        (r"$$\nu = 3\n$$", "$$\nu = 3\n$$"),
        (r"\begin{cases} 1 \\\\\nu \end{cases}", "\\begin{cases} 1 \\\\\nu \\end{cases}"),
        (r"for i in x:\n\tprint(i)\ni = 0\nmid = 1\neq = 2", "for i in x:\n\tprint(i)\ni = 0\nmid = 1\neq = 2"),
        (r"$\\frac{1}{2}$\nu $\nu$", "$\\frac{1}{2}$\nu $\nu$"),
        (r"\d+\.\s \b \$5 \_ \% C:\dir", r"\d+\.\s \b \$5 \_ \% C:\dir"),
        (r"don\'t \"quote\" \/ \u00e9 \underline{x} \\n", 'don\'t "quote" / é \\underline{x} \\n'),
        (r"\text{if } x \to y, \textbf{b}", "\\text{if } x \to y, \\textbf{b}"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        (r"one\r\ntwo", "one\r\ntwo"),
    ],
)
def test_backslashes_that_were_written_once_are_put_right(written: str, meant: str) -> None:
    assert got(f'{{"text": "{written}"}}') == One(text=meant)


REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "I cannot assist with this request.",
    "I’m really sorry, but I’m unable to provide that.",
    "Unfortunately, I cannot create a question from this passage.",
    "As an AI developed by X, I cannot provide medical advice.",
    "I must respectfully decline.",
    "**I apologize**, but I won't write this.",
    "This request goes against my guidelines.",
    "I can't in good conscience help you with this.",
    "Thank you for asking. I am sorry, but as an AI language model I cannot generate such content.",
    "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
    "Lo siento, pero no puedo ayudar con eso.",
    "抱歉，我无法协助处理该请求。",
    "作为一个人工智能，我无法回答这个问题。",
)
CONTENT = (
    "I cannot factor this directly, so I use the formula. The answer is 5.",
    "I'm sorry to hear that you are unwell. Rest and drink water.",
    "She said: I'm sorry, but I can't help you.",
    "\"I'm sorry, but I can't help you,\" he said.",
    "I can't help but admire the proof.",
    "We cannot divide by zero.",
    "Unfortunately, we cannot make 7 from two even numbers.",
    "How do I tell my boss that I can't do this?",
    "The clerk declined to answer.",
    "Sorry, I made a mistake. The result is 12.",
    "I must not forget the milk.",
    "I decline the noun as follows: mensa, mensae.",
)


@pytest.mark.parametrize("text", REFUSALS)
def test_a_reply_that_declines_is_refused(text: str) -> None:
    assert fault(text, str).label == fault(text).label == fault(f"<think>no</think>{text}").label == REFUSED
    pair = {"pairs": [{"question": text, "answer": "N/A"}]}
    assert fault(json.dumps(pair), Reply).label == REFUSED
    assert got(json.dumps({"text": text})) == One(text=text), "the only text may be about declining"
    assert not isinstance(got(text + " Yet" + " more words of an essay" * 40, str), Fault)


@pytest.mark.parametrize("text", CONTENT)
def test_a_text_about_declining_is_none(text: str) -> None:
    assert got(text, str) == text
    assert fault(text).label == NO_JSON


def test_the_form_shows_each_field_where_it_stands() -> None:
    form = form_of(Reply)
    assert '"question": <text: the question, complete in itself>' in form
    assert '"kind": <one of "number", "phrase"> (may be left out)' in form
    assert '"pairs": [ 1 to 3 entries like this: the questions' in form
    assert "<number from 0 to 1 or null: how sure you are>" in form
    assert form_of(str) == "" and len(form) < 700
    assert kind_at(Reply, ("pairs", 0, "question")) == "text" and kind_at(Reply, ("no", 1)) == ""


def test_a_form_of_nested_and_recursive_types_ends() -> None:
    class Node(BaseModel):
        name: str
        inner: list[Node] = []

    assert 20 < len(form_of(Node)) < 5000


@pytest.mark.parametrize("text", ["the question, complete in itself", "<text: the question, complete in itself>"])
def test_a_form_that_comes_back_unfilled_is_no_reply(text: str) -> None:
    found = fault(json.dumps({"pairs": [{"question": text, "answer": "4"}]}), Reply)
    assert found.label == WRONG_FIELDS and "'question' repeats the form" in found.sentence
    assert fault(form_of(Reply), Reply).label == NO_JSON


# Backspaces and form feeds are never text (the module says so), nor is a carriage return before a letter.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\b\f\r"), max_size=30)
_PIECES = (r"\frac", r"\\", "\\", "{", "}", '"', "$", r"\nabla", r"\times", r"\u12", " ", "[", ",", "n", "t")
_LATEX = st.lists(st.sampled_from(_PIECES))


def _texts(value: object) -> str:
    """All texts of a value, names too, each on its own."""
    if isinstance(value, dict):
        return "|".join(f"{name}|{_texts(inner)}" for name, inner in value.items())
    return "|".join(map(_texts, value)) if isinstance(value, list) else str(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["%s", "```json\n%s\n```", "Here: {1} it is:\n%s\nDone {x}.", '<think>a {b} "</think>%s', "[%s]"]),
    st.booleans(),
)
@example({"": '{"value": {}}'}, "%s", True)
def test_what_was_dumped_is_read_back(value: Any, around: str, escapes: bool) -> None:
    dumped = json.dumps({"value": {"v": value}}, ensure_ascii=escapes)
    assume(not re.search(r"[\n\t][A-Za-z]", _texts(value)))  # a few of them can't be told from LaTeX
    assert got(around.replace("%s", dumped), Loose) == Loose(value={"v": value})


@given(
    st.lists(st.sampled_from(["while", "\n", "\t", "  ", "u", "ot", "(n)", "= 0", "mid", "eq", "i", '"', "#", "\\n"]))
)
def test_code_round_trips(pieces: list[str]) -> None:
    text = "".join(pieces)
    assume("\not" not in text)  # a line that begins with "ot" and no more letters is LaTeX
    assert got(json.dumps({"text": text})) == One(text=text)


@given(_LATEX.map("".join), st.booleans())
def test_latex_round_trips(text: str, escapes: bool) -> None:
    dumped = json.dumps({"text": text}, ensure_ascii=escapes)
    assert got(f"```json\n{dumped}\n```") == One(text=text)


@given(st.text(max_size=200) | st.text(alphabet='{}[]":,\\ntu0aA<>/think.-eE\ud83d', max_size=200))
@example('{"text":"\\u')
@example('{"text": 1e5, "n": -}')
def test_nothing_that_a_reply_says_raises(text: str) -> None:
    for output in (str, One, Reply, Loose):
        found = got(text, output)
        assert isinstance(found, Fault | output)


@pytest.mark.parametrize(
    "piece",
    ["{", '"', '{"', '{"a":', '{"text":"a"}', '\\"', "<think>", '{"text":"' + "$\\ne ", "{ ", "[{}]", "I can't "],
)
def test_a_megabyte_is_read_in_linear_time(piece: str) -> None:
    def seconds(n: int) -> float:
        text = piece * (n // len(piece))
        begun = time.process_time()
        got(text)
        got('{"text":"' + text)
        return time.process_time() - begun

    assert seconds(1_000_000) < 6 and math.isfinite(seconds(1000))
