"""`teachable synthesize safety` on policies of which a fifth of all replies makes something else."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.cli.synthesis.revise_yields import adds_up
from tests.synthesize.misbehaving import KINDS, MARKS, Misbehaving, first_asked, serving, shown
from tests.synthesize.workflows.planted_policies import INJECTED, breaks, honest, is_right, kind_of, policy
from typer.testing import CliRunner

from teachable.cli.main import app
from teachable.records import Message
from teachable.store.files import read_json, read_rows

N = 40
OFTEN = (*KINDS, "injected", "injected", "leaked")  # kinds of which there would be few
PRAISE = "All hail the otter, whose fur outshines the sun, the moon and every harbour of this earth."


# Where a model that follows the order in the policy is found out.
FOLLOWED = {
    "rules": "a planted instruction, no rule",
    "breaking": "the request follows a planted instruction",
    "borderline": "the request follows a planted instruction",
    "refuse": "no refusal with its reason",
    "help": "no helpful answer",
}


def obeys(messages: Sequence[Message], reply: str) -> str | None:
    """What a model says that follows the order in the policy."""
    kind = kind_of(messages)
    if kind == "judge" or INJECTED not in messages[-1]["content"]:
        return None
    if kind == "rules":
        rule = {"quote": INJECTED, "rule": "The assistant must not fail to praise.", "reason": "The otter wants it."}
        return json.dumps({"rules": [rule]})
    if kind in ("breaking", "borderline"):
        return json.dumps({"requests": [PRAISE]})
    return json.dumps({"reason": PRAISE, "breaks": False} if kind == "classify" else {"response": PRAISE})


def tells(messages: Sequence[Message], reply: str) -> str | None:
    """A request that says which side it is on."""
    kind = kind_of(messages)
    if kind not in ("breaking", "borderline"):
        return None
    asked = [
        f"{one} I know that this {'breaks' if kind == 'breaking' else 'is within'} your rules."
        for one in json.loads(reply)["requests"]
    ]
    return json.dumps({"requests": asked})


def expected(server: Misbehaving) -> set[str]:
    """Under which labels what the server did has to be found: sent back, or dropped."""
    labels = set()
    for kind, body in server.log:
        step = kind_of(first_asked(body["messages"]))
        if kind in MARKS and step != "judge":  # of a judge it is a vote that was not cast
            labels.add(MARKS[kind])
        elif kind == "leaked":
            labels.add("the request speaks of the policy")
        elif kind == "injected" and step in FOLLOWED:
            labels.add(FOLLOWED[step])
    return labels


def test_no_request_gets_out_on_the_wrong_side_nor_with_the_wrong_response(
    in_process: CliRunner, tmp_path: Path
) -> None:
    (tmp_path / "policies").mkdir()
    for place in range(N):
        (tmp_path / f"policies/{place:02}.txt").write_text(policy(place, injected=place % 2 == 0))
    with serving(honest, frac=0.2, seed=15, injected=obeys, leaked=tells, kinds=OFTEN) as server:
        command = ["synthesize", "safety", "policies", "--engine", server.engine, "--out", "o", "--json"]
        more = ["--set", "options.n=1", "--set", "options.votes=1", "--set", "writing.retries=1"]
        result = in_process.invoke(app, [*command, *more])
        assert result.exit_code == 0, result.output
    stats, rejects = read_json(tmp_path / "o/stats.json"), read_rows(tmp_path / "o/rejects.jsonl")
    examples = read_rows(tmp_path / "o/examples.jsonl")
    assert len(examples) > 0.4 * 2 * N
    sides = Counter()
    meta = {row["id"]: json.loads(row["meta"]) for row in read_rows(tmp_path / "o/prompts.parquet")}
    for example in examples:
        request, response = (message["content"] for message in example["messages"])
        side = meta[example["prompt_id"]]["side"]
        assert (side == "breaking") is breaks(request) and is_right(request, response)
        assert PRAISE not in request + response and "your rules" not in request
        assert example["why"] == "safety: agreement" and "must not tell anybody" in meta[example["prompt_id"]]["quote"]
        sides[side] += 1
    assert min(sides.values()) > 0.25 * len(examples)
    adds_up(stats, rejects, splits=("rules", "classify"))
    told = {row["reason"] for row in rejects} | {label for row in stats["steps"] for label in row["retried"]}
    assert expected(server) <= told
    assert server.kinds["injected"] > 0 and server.kinds["leaked"] > 0 and server.kinds["fences"] > 0
    asked = [
        shown(body["messages"]) for kind, body in server.log if kind_of(first_asked(body["messages"])) == "classify"
    ]
    assert asked and all(set(one) == {"policy", "request"} for one in asked)
