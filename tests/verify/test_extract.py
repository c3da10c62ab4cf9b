"""The final answer of a response, in the forms that models give it, and on texts written to hang a reader."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from teachable.verify.extract import Final, answer_line, extract_answer, final


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: 6", "6"),
        ("2 + 4 is 6.\nANSWER : 6", "6"),
        ("Answer: 5\nNo, wait.\nAnswer: 6", "6"),
        ("**Answer:** 6", "6"),
        ("**Answer: 6**", "6"),
        ("Answer:\n\n  6\nThat was easy.", "6"),
        ("Answer: 6\nI hope this helps!", "6"),
        ("so it must be\n6\n\n", "6"),
        ("<think>Answer: 5</think>\nAnswer: 6", "6"),
        ("Answer: 6\n<think>or is it\nAnswer: 5</think>", "6"),
        ("it opened in the prompt, Answer: 5</think>Answer: 6", "6"),
    ],
)
def test_the_last_answer_outside_thought_counts(text: str, answer: str) -> None:
    assert extract_answer(text) == answer


@pytest.mark.parametrize("text", ["", "  \n ", "Answer:", "Answer:   \n", "<think>Answer: 6", "<think>6</think>"])
def test_nothing_said_is_no_answer(text: str) -> None:
    assert extract_answer(text) is None
    assert final(text) == Final((), "nothing")


@pytest.mark.parametrize(
    ("text", "answer", "how"),
    [
        # Boxes.
        (r"so $x = \boxed{5}$.", "5", "boxed"),
        (r"\boxed{\text{even}}", r"\text{even}", "boxed"),
        (r"$\boxed 5$.", "5", "boxed"),
        (r"\boxed 12.", "12", "boxed"),
        (r"\boxed \frac{1}{2} is it", r"\frac{1}{2}", "boxed"),
        (r"\boxed {7}", "7", "boxed"),
        (r"\fbox{7}", "7", "boxed"),
        (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{1}{\sqrt{2}}", "boxed"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}", "boxed"),
        (r"\boxed{\left\{1\right.} and } more", r"\left\{1\right.", "boxed"),
        (r"\boxed{\boxed{5}}", "5", "boxed"),
        (r"\boxed{ $5$ }", "5", "boxed"),
        (r"\\boxed{5}", "5", "boxed"),
        (r"\begin{aligned} a \\\boxed{5} \end{aligned}", "5", "boxed"),
        (r"\boxed{5} and again \boxed{5}", "5", "boxed"),
        (r"\boxed{\text{The answer is } 5}", "5", "boxed"),
        (r"\boxed{Answer: 5}", "5", "boxed"),
        (r"I write it in \boxed{}: \boxed{5}", "5", "boxed"),
        (r"\boxed{5}. Final answer: 5", "5", "boxed"),
        (r"<answer>\boxed{5}</answer>", "5", "boxed"),
        (r"The final answer is: $\boxed{5}$. I hope it is correct.", "5", "boxed"),
        ("\\boxed{\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "boxed"),
        # Tags.
        ("<answer> 5 </answer>", "5", "tag"),
        ("<ANSWER type='int'>\n5\n</ANSWER> Done.", "5", "tag"),
        ("<answer>5", "5", "tag"),
        ("<answer>The answer is 5.</answer>", "5", "tag"),
        ("<answer>$$5$$</answer>", "5", "tag"),
        ("<final_answer>5</final_answer>", "5", "tag"),
        ("[ANSWER]5[/ANSWER]", "5", "tag"),
        # Markers.
        ("Final Answer: The final answer is $5$. I hope it is correct.", "5", "marker"),
        ("The answer is 5.", "5", "marker"),
        ("The answer is: 5", "5", "marker"),
        ("Hence the answer should be 5, because 2 + 3 = 5.", "5", "marker"),
        ("The answer to the question is 5.", "5", "marker"),
        ("The answer is 3.14. That is close to π.", "3.14", "marker"),
        ("The answer is St. Petersburg. It is a city.", "St. Petersburg", "marker"),
        ("The answer is B because A is wrong.", "B", "marker"),
        ("The answer is B. This is because A is wrong.", "B", "marker"),
        ("The answer is not 5 but the final answer is 6", "6", "marker"),
        ("The answer is 5. Some think the answer is 7.", "5", "marker"),
        ("Answer: 5\nI think the answer is right.", "5", "marker"),
        ("Answer: 5\nThe answer is a good one.", "5", "marker"),
        ("Answer: 5\nWait. The answer is 6.", "6", "marker"),
        ("Answer: 6. I hope this helps!", "6", "marker"),
        ("Answer: Alice is a knight. Bob is a knave.", "Alice is a knight. Bob is a knave.", "marker"),
        ("Answer: B. Paris", "B. Paris", "marker"),
        ("Answer: 0.333...", "0.333...", "marker"),
        ("Answer: $5 and $6", "$5 and $6", "marker"),
        ("### Answer\n42", "42", "marker"),
        ("**Final answer**\n\n42\n", "42", "marker"),
        ("the answer is:\n\n$$\nx = 5\n$$\nDone.", "x = 5", "marker"),
        ("**Answer**: `5`", "5", "marker"),
        ("Answer (in cm): 5", "5", "marker"),
        ("__Answer:__ 5", "5", "marker"),
        ("Answer: _ _ Q _", "_ _ Q _", "marker"),
        ("Ans: 5", "5", "marker"),
        ("Answer = 5", "5", "marker"),
        ('{"reasoning": "a \\"b\\"", "answer": "5"}', "5", "marker"),
        ('{"answer": 5}', "5", "marker"),
        (r"$$\text{Answer: } 5$$", "5", "marker"),
        ("所以答案是5。", "5", "marker"),
        ("Réponse : 5", "5", "marker"),
        ("The answer is 5, as required.", "5", "marker"),
        ("The answer is 5 which is odd.", "5", "marker"),
        ("Answer: 5 (since 2 + 3 = 5)", "5", "marker"),
        ("The answer is approximately 3.14.", "3.14", "marker"),
        ("Wait, the answer is 4? No. The answer is 5.", "5", "marker"),
        ("I wonder what the answer is.\n5", "5", "line"),
        # GSM8K.
        ("48 / 2 = 24\n#### 1,234", "1,234", "hashes"),
        ("so the total is 72. #### 72", "72", "hashes"),
        ("Answer: she has 48 / 2 = 24\n#### 72", "72", "hashes"),
        ("#### 72\n\nQuestion: What next?", "72", "hashes"),
        ("#### Step 1: add\nwe get\n5", "5", "line"),
        ("#### Step 1: add\nAnswer: 5", "5", "marker"),
        # Last lines.
        ("2 + 3\n\n**5**\n", "5", "line"),
        ("thus\n\\[\nx = 5\n\\]", "x = 5", "line"),
        ("So the result is 5.", "So the result is 5.", "line"),
        ("5.", "5", "line"),
        ("So we get 5, not 6.", "So we get 5", "line"),
        ("Answer: 5, not 6", "5", "marker"),
        ("Answer: heads, not tails", "heads, not tails", "marker"),
        ("a . . b .", "a . . b .", "line"),
    ],
)
def test_where_an_answer_stands(text: str, answer: str, how: str) -> None:
    assert final(text) == Final((answer,), how)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        (r"\boxed{}", "the answer box is empty"),
        (r"\boxed{5}, that is \boxed{ }", "the answer box is empty"),
        (r"\boxed", "the answer box is empty"),
        (r"\boxed{...}", "the answer box is empty"),
        (r"\boxed{your answer}", "the answer box is empty"),
        (r"it is \boxed{12", "the answer box is never closed"),
        (r"\boxed{5} or \boxed{\frac{1}{2}", "the answer box is never closed"),
        ("<answer></answer>", "the answer tag is empty"),
        ("<answer>...</answer>", "the answer tag is empty"),
    ],
)
def test_a_box_without_an_answer_is_none(text: str, refused: str) -> None:
    found = final(text)
    assert (found.answers, found.refused) == ((), refused)


@pytest.mark.parametrize(
    ("text", "answers", "hedged"),
    [
        (r"\boxed{5} and \boxed{6}", ("5", "6"), False),
        (r"\boxed{5} or \boxed{6}", ("5", "6"), True),
        (r"\boxed{5} cm, or $\boxed{6}$", ("5", "6"), True),
        (r"\boxed{1}, \boxed{2}, \boxed{1}", ("1", "2"), False),
        ("<answer>5</answer><answer>6</answer>", ("5", "6"), False),
    ],
)
def test_several_boxes_are_several_answers(text: str, answers: tuple[str, ...], hedged: bool) -> None:
    found = final(text)
    assert (found.answers, found.hedged, found.refused) == (answers, hedged, "")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 or 6", "5 or 6"),
        ("5 or maybe 6", "5 or maybe 6"),
        ("x=1 or x=2", "x=1 or x=2"),
        ("So we get 5 or 6.", "So we get 5 or 6."),
        ("Answer: 5 (or 6)", "5 (or 6)"),
        ("Answer: heads or tails", "heads or tails"),
        ("Answer: 5 or", "5 or"),
        ("The answer could be 5, 6 or 7", "5, 6 or 7"),
        (r"\boxed{x=1 \text{ or } x=2}", r"x=1 \text{ or } x=2"),
        (r"$\boxed{5}$ (or $6$)", "5 or 6"),
        (r"\boxed{5} cm or 6 cm", "5 or 6 cm"),
        (r"\boxed{5}, or maybe 6. That is all", "5 or maybe 6"),
        ("<answer>5</answer> or 6", "5 or 6"),
        ("The answer is 5. I worked hard.\nOr it could be 7.", "5 or 7"),
        ("Answer: 5\nAlternatively, 6.", "5 or 6"),
        ("Answer: 5\nor 6", "5 or 6"),
        (r"\boxed{5} It might also be 6, 7 or 8? No: it may be $6$.", "5 or 6"),
        ("The answer is 5. Another possible answer is 7.", "5 or 7"),
        ("Answer: 5? Or 6?", "5 or 6"),
        ("Answer: 5. If that is wrong, 6.", "5 or 6"),
        ("Answer: 5. Maybe 6.", "5 or 6"),
        (r"\boxed{5} (maybe 6)", "5 or 6"),
        (r"\boxed{5} \text{ or } 6", "5 or 6"),
        ("Answer: 5 (but it could be 6)", "5 (but it could be 6)"),
        ("Answer: 5, but 6 is also possible", "5, but 6 is also possible"),
        ("Answer: 5; alternatively 6", "5; alternatively 6"),
        ("Answer: maybe 5, maybe 6", "maybe 5, maybe 6"),
        ("Answer: 5 unless it is 6", "5 unless it is 6"),
        ("Answer: between 1 and 10", "between 1 and 10"),
        ("Answer: 1 to 100", "1 to 100"),
        ("1..100", "1..100"),
        (r"\boxed{1, 2, \ldots, 100}", r"1, 2, \ldots, 100"),
        ("All numbers from 1 to 100", "All numbers from 1 to 100"),
        ("4 5 6", "4 5 6"),
        ("Answer: 5 | 6", "5 | 6"),
        (r"\boxed{5 \quad 6}", r"5 \quad 6"),
    ],
)
def test_alternatives_are_a_hedge(text: str, answer: str) -> None:
    found = final(text)
    assert (found.answers, found.hedged, found.refused) == ((answer,), True, "")


@pytest.mark.parametrize(
    "text",
    [
        "It is not 5.",
        "Answer: not 5",
        "The answer isn't 5.",
        "Answer: 5 is wrong",
        "Answer: anything but 5",
        "Answer: at most 100",
        "Is it 5?",
        "I can't tell whether it is 5",
    ],
)
def test_what_is_denied_or_doubted_is_no_commitment(text: str) -> None:
    assert final(text).hedged


@pytest.mark.parametrize(
    "text", ["1 000 000", "Answer: 12 345.6", "1 1/2", "Answer: 1 1/2", "[1, 2, 3]", "1, 2", "(1, 2)", "5?"]
)
def test_one_number_and_a_list_are_commitments(text: str) -> None:
    found = final(text)
    assert len(found.answers) == 1 and not found.hedged and not found.refused


@pytest.mark.parametrize(
    "text",
    [
        "Answer: 5, more or less obviously",
        "The answer is 5. It is right either way.",
        "The answer is 5. You can check it with a table or a graph.",
        r"\boxed{5} or so they say",
        r"\boxed{5} by adding 2 or 3 times",
        "Whether we use 3 or 4 terms, the result is 5.",
        "It could be 6 or 7, but no.\nAnswer: 5",
        "Alternatively, 10/2 = 5.\nAnswer: 5",
        "The answer is 5. It could be 5.",
        "The answer is 5. It could be 6 only if 3 were even and 2 odd at once, which is absurd.",
        "The answer is 5. Alternatively, 10/2 gives the same number.",
        r"$50\%$ or \boxed{0.5}",
    ],
)
def test_the_word_or_alone_is_no_hedge(text: str) -> None:
    assert not final(text).hedged


@pytest.mark.parametrize(
    "text",
    [
        "Answer: any of 1, 2, 3 ... 100",
        "the answer is any of 1..100",
        r"\boxed{any of 1..100}",
        r"\boxed{\text{one of } 5, 6, 7}",
        "Answer: any number from 1 to 100",
        "Answer: any integer between 1 and 9",
    ],
)
def test_any_of_many_is_refused(text: str) -> None:
    assert final(text).refused


@pytest.mark.parametrize(
    "text", ["Answer: any real number", "Answer: all real numbers", "Answer: anyone", "Answer: one"]
)
def test_any_number_at_all_is_an_answer(text: str) -> None:
    assert not final(text).refused and not final(text).hedged


def test_an_answer_of_several_lines() -> None:
    assert extract_answer("Answer:\n1 2\n3 4\nDone.", 2) == "1 2\n3 4"
    assert extract_answer("The grid:\n\n1 2 \n 3 4\n", 2) == "1 2\n3 4"
    assert extract_answer("<answer>\n1 2\n\n3 4\n</answer>", 1) == "1 2\n3 4"


def test_the_answer_line_is_found_beside_a_box() -> None:
    assert answer_line("it is \\boxed{6}\nAnswer: 7") == "7"
    assert answer_line("it is \\boxed{6}") is None
    assert answer_line("the answer is 6") is None
    assert answer_line("<think>Answer: 6</think>") is None


PIECES = (
    *(
        r"\boxed{",
        r"\boxed ",
        r"\boxed{}",
        r"\boxed{5}",
        r"\boxed{5} or ",
        r"\fbox",
        "boxed{",
        "\\",
        r"\{",
        r"\[",
        "{",
        "}",
    ),
    *(
        "<think>",
        "</think>",
        "<think></think>",
        "<think><reasoning></think>",
        "<",
        "<|channel|>",
        "<answer>",
        "<answer ",
        "◁think▷",
    ),
    *(
        "answer:",
        "Answer: x. ",
        "answer is ",
        "answer to ",
        "answer ( ",
        "**Answer** ",
        "answer\n",
        "answer is x because ",
    ),
    *("####", "#### x ", "or ", "5 or ", "or maybe ", "or perhaps 5 a", "it could be 5", "it could be $a ", "any of "),
    *(
        "the answer is 5. ",
        "alternatively, 5 a",
        "$",
        "$$",
        "**",
        "```",
        "\n",
        " ",
        "(",
        "5, ",
        "x.",
        r"\text{",
        "'.\".",
    ),
)
N_CHARS = 100_000


@pytest.mark.parametrize("opening", ["", "Answer: ", r"\boxed{5} ", r"\boxed{", "The answer is "])
def test_hostile_texts_are_read_in_linear_time(opening: str) -> None:
    """A quadratic reader takes minutes on these; the bound, on processor time, leaves a slow machine room."""
    for piece in PIECES:
        text = opening + piece * (N_CHARS // len(piece))
        start = time.process_time()
        final(text)
        assert time.process_time() - start < 1.0, (opening, piece)


def test_deep_nesting_is_read_in_linear_time() -> None:
    start = time.process_time()
    assert final(r"\boxed{" * 12_000 + "5" + "}" * 12_000).how == "boxed"
    assert final("<think>x" * 12_000 + "</think>" * 12_000 + "5").answers == ("5",)
    assert time.process_time() - start < 2.0


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=30).map("".join), st.integers(1, 3))
@settings(max_examples=500, deadline=None)
def test_whatever_a_text_says_is_read(text: str, n_lines: int) -> None:
    found = final(text, n_lines)
    assert all(answer and answer == answer.strip() for answer in found.answers)
    assert found.answers or found.refused or found.how == "nothing"
    assert len(set(found.answers)) == len(found.answers)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_no_mixture_of_hostile_pieces_is_slow(pieces: list[str], n_mixed: int) -> None:
    unit = "".join(pieces) * n_mixed
    text = unit * (N_CHARS // len(unit) + 1)
    start = time.process_time()
    final(text[:N_CHARS])
    assert time.process_time() - start < 1.0


@given(st.text(alphabet="0123456789abcxyz+-*/^=() ", min_size=1, max_size=30).map(str.strip))
@settings(max_examples=200, deadline=None)
def test_a_box_gives_back_what_was_put_into_it(content: str) -> None:
    assume(content and "**" not in content)
    for before, after in itertools.product(("", "We get $", "<think>no</think>"), ("", "$.", "\nDone.")):
        assert final(f"{before}\\boxed{{{content}}}{after}").answers == (content,)
