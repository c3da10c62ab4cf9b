"""Planted language models over token ids, whose success probability from every prefix is known exactly.

Which tokens may follow a prefix, with which probabilities, and what they do to the success probability is drawn from a
hash of the prefix alone, so every prefix can be continued, not only those of one solution, and has the same kind of
future. The success probabilities are a martingale: a prefix's is the mean of its children's, weighted by their
probabilities.

What a path may do is limited by that. The expected sum of squared steps along a sampled solution is exactly p (1 - p)
<= 0.25, whatever the tree; three steps of 0.35 would need 0.37. So no tree has three steps of 0.25 to 0.45 on every
solution. Here every path passes the stated number of planted forks, at places of its own; a planted fork parts into
two groups of tokens, of which one raises and one lowers success, both by a size of the family's range where the value
leaves room for both. Where it does not, the tokens that move towards the middle do so by a size of that range, and
the others by what room there is: whoever takes those meets no pivotal token. And what is undecided before the last
token is decided by it, which is then pivotal too. What counts as pivotal in the benchmarks is the true step of the
token that was taken, wherever it stands; `pivot_worlds.py` counts what sampled solutions have.

Families:
- `main`: 96 tokens, 3 planted forks of 0.25 to 0.45, 19 minor ones of at most 0.06; the others are near-certain.
- `robust`: 96 tokens, 1 to 4 planted forks of 0.22 to 0.55, 4 medium ones of 0.08 to 0.14, 10 to 30 minor ones.
- `cancelling`: 96 tokens, 6 planted forks in three pairs of 1 to 6 tokens apart; the second of a pair can undo the
  first to the last digit, which it does as often as the martingale allows. Steps of 0.22 to 0.3, 12 minor forks.
- `null`: no step above 0.095, at forks on half of the tokens; a solution ends when it is decided, after 87 tokens on
  average. Nothing in it is pivotal at a gap of 0.19 or more.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

RIGHT, WRONG = 1, 2
FIRST_WORD, N_WORDS = 10, 500
MOST_NODES = 400_000  # remembered at once
MINOR, MEDIUM = (0.0, 0.06), (0.08, 0.14)
DECIDED = -2  # in place of a distance: the solution is over
MASK = (1 << 64) - 1


@dataclass(frozen=True)
class Family:
    """What the paths of a family pass: ranges of counts, drawn once a world, and of the planted steps' sizes."""

    n_tokens: int
    n_planted: tuple[int, int]
    planted: tuple[float, float]
    n_minor: tuple[int, int]
    n_medium: int = 0
    paired: bool = False
    largest: float = 1.0  # of a null family's steps; below 1, a solution ends when it is decided


FAMILIES = {
    "main": Family(96, (3, 3), (0.25, 0.45), (19, 19)),
    "robust": Family(96, (1, 4), (0.22, 0.55), (10, 30), n_medium=4),
    "cancelling": Family(96, (6, 6), (0.22, 0.30), (12, 12), paired=True),
    "null": Family(1_000, (0, 0), (0.0, 0.0), (0, 0), largest=0.095),
}


class State(NamedTuple):
    """What of a path's past bears on its future, beside its hash: forks still to come, and the value to go back to."""

    value: float
    n_planted: int
    n_minor: int
    n_medium: int
    undo_in: int = -1  # tokens until the second fork of a pair
    undo_to: float = 0.0


class Node(NamedTuple):
    """What may follow a prefix: tokens, their probabilities and success probabilities, and where they lead."""

    kind: str
    tokens: tuple[int, ...]
    probabilities: tuple[float, ...]
    cumulative: tuple[float, ...]
    logprobs: tuple[float, ...]
    states: tuple[State, ...]


def mixed(value: int) -> int:
    """A 64-bit hash of a 64-bit integer (the finisher of splitmix64)."""
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def key_after(key: int, token: int) -> int:
    """The hash of a prefix with one token more."""
    return mixed((key + token * 0xD1342543DE82EF95) & MASK)


class Draws:
    """Uniform numbers in [0, 1) from a prefix's hash: the same ones for the same prefix."""

    __slots__ = ("_key",)

    def __init__(self, key: int) -> None:
        self._key = key

    def unit(self) -> float:
        """The next number."""
        self._key = mixed(self._key)
        return (self._key >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """The next number, stretched."""
        return low + (high - low) * self.unit()


class World:
    """One planted language model, known by its family and number."""

    def __init__(self, family: str, seed: int) -> None:
        self.family = FAMILIES[family]
        draw = random.Random(f"planted world {family} {seed}")
        digest = hashlib.sha256(f"planted world {family} {seed}".encode()).digest()
        self.root = int.from_bytes(digest[:8], "big")
        self.start = State(
            value=0.5 if family == "null" else draw.uniform(0.35, 0.65),
            n_planted=draw.randint(*self.family.n_planted),
            n_minor=draw.randint(*self.family.n_minor),
            n_medium=self.family.n_medium,
        )
        self._nodes: dict[int, Node] = {}

    def node(self, key: int, state: State, length: int) -> Node | None:
        """What may follow the prefix of this hash, state and length; None where the solution is over."""
        found = self._nodes.get(key)
        if found is None:
            if length >= self.family.n_tokens or state.undo_in == DECIDED:
                return None
            if len(self._nodes) >= MOST_NODES:
                self._nodes.clear()
            found = self._nodes[key] = self._draw(key, state, length)
        return found

    def path(self, token_ids: Sequence[int]) -> tuple[list[float], list[float], list[str], int, State]:
        """Success probabilities [T + 1], token probabilities [T] and kinds of place [T]; then the end's hash and state.

        Raises:
            ValueError: this world never draws these tokens.
        """
        key, state = self.root, self.start
        values, probabilities, kinds = [state.value], [], []
        for place, token in enumerate(token_ids):
            node = self.node(key, state, place)
            if node is None or token not in node.tokens:
                raise ValueError(f"the token {token} can't stand at position {place}")
            which = node.tokens.index(token)
            key, state = key_after(key, token), node.states[which]
            values.append(state.value)
            probabilities.append(node.probabilities[which])
            kinds.append(node.kind)
        return values, probabilities, kinds, key, state

    def draw(self, key: int, state: State, length: int, most: int, rng: random.Random) -> tuple[list[int], list[float]]:
        """At most so many tokens after a prefix, and their log-probabilities."""
        tokens: list[int] = []
        logprobs: list[float] = []
        while len(tokens) < most:
            node = self.node(key, state, length)
            if node is None:
                break
            chance, which = rng.random(), 0
            while chance >= node.cumulative[which]:
                which += 1
            token = node.tokens[which]
            tokens.append(token)
            logprobs.append(node.logprobs[which])
            key, state = key_after(key, token), node.states[which]
            length += 1
        return tokens, logprobs

    def _draw(self, key: int, state: State, length: int) -> Node:
        """The node of a prefix, from its hash."""
        draws = Draws(key)
        family, value = self.family, state.value
        if family.largest < 1:
            return self._null_node(key, state, length, draws)
        n_left = family.n_tokens - 1 - length  # places for forks; the last token decides
        if n_left == 0:
            ends = [(RIGHT, value, 1.0), (WRONG, 1 - value, 0.0)]
            kept = [(token, pi, State(to, 0, 0, 0, DECIDED)) for token, pi, to in ends if pi > 0]
            return _node("last", kept)
        kind = self._kind(state, n_left, draws.unit())
        if value <= 0 or value >= 1:
            moves = [(1.0, 0.0)]
        elif kind == "planted":
            back = state.undo_to - value if state.undo_in == 0 else None
            moves = _two_groups(draws, value, *family.planted, back)
        elif kind == "medium":
            moves = _two_groups(draws, value, *MEDIUM, None)
        elif kind == "minor":
            moves = _minor(draws, value, MINOR[1])
        else:
            return _near_certain(draws, _after(state, kind, draws, paired=False))
        return _children(kind, value, moves, _after(state, kind, draws, paired=family.paired), draws)

    def _kind(self, state: State, n_left: int, chance: float) -> str:
        """Which kind of place this is: a draw without replacement from those that the path has still to pass."""
        if state.undo_in >= 0:
            return "planted" if state.undo_in == 0 else "certain"
        left = chance * n_left
        if self.family.paired:  # a pair takes up to 7 places, and begins where there is room for it
            room, pairs = n_left - 7, state.n_planted // 2
            if pairs and room > 0 and chance * max(room - 7 * (pairs - 1), 1) < pairs:
                return "planted"
            return "minor" if left >= n_left - state.n_minor else "certain"
        for kind, n in (("planted", state.n_planted), ("medium", state.n_medium), ("minor", state.n_minor)):
            left -= n
            if left < 0:
                return kind
        return "certain"

    def _null_node(self, key: int, state: State, length: int, draws: Draws) -> Node:
        """A place of the null family: a step of at most `largest`, or a near-certain token, or the end."""
        value, most = state.value, self.family.largest
        if value in (0.0, 1.0) or length == self.family.n_tokens - 1:
            ends = [(RIGHT, value, 1.0), (WRONG, 1 - value, 0.0)]
            return _node("last", [(token, pi, State(to, 0, 0, 0, DECIDED)) for token, pi, to in ends if pi > 0])
        if draws.unit() < 0.5:
            return _near_certain(draws, state, most=0.0)
        room = min(value, 1 - value)
        size = room if room <= most else min(draws.between(0.6 * most, most), room)
        return _children("step", value, [(0.5, size), (0.5, -size)], state, draws)


def _after(state: State, kind: str, draws: Draws, *, paired: bool) -> State:
    """What is still to come after a place of this kind; a pair's first fork says where its second will stand."""
    if kind == "certain" and state.undo_in < 0:
        return state
    opens = paired and kind == "planted" and state.undo_in < 0
    undo_in = 1 + int(6 * draws.unit()) if opens else state.undo_in
    return State(
        state.value,
        state.n_planted - (kind == "planted"),
        state.n_minor - (kind == "minor"),
        state.n_medium - (kind == "medium"),
        undo_in - 1 if undo_in >= 0 else -1,
        state.value if opens else state.undo_to,
    )


def _children(kind: str, value: float, moves: Sequence[tuple[float, float]], after: State, draws: Draws) -> Node:
    """A node of these (probability, move): the last pair's are what is left over, so that the martingale is exact."""
    probabilities = [pi for pi, _ in moves[:-1]]
    probabilities.append(1.0 - sum(probabilities))
    values = [value + move for _, move in moves[:-1]]
    values.append((value - sum(pi * to for pi, to in zip(probabilities, values, strict=False))) / probabilities[-1])
    first = int(draws.unit() * N_WORDS)
    rows = []
    for i, (pi, to) in enumerate(zip(probabilities, values, strict=True)):
        inside = 0.0 if to < 1e-13 else 1.0 if to > 1 - 1e-13 else to
        word = FIRST_WORD + (first + 7 * i) % N_WORDS
        rows.append((word, pi, State(inside, *after[1:])))
    return _node(kind, rows)


def _node(kind: str, rows: Sequence[tuple[int, float, State]]) -> Node:
    """A node of (token, probability, state after it)."""
    tokens, probabilities, states = zip(*rows, strict=True)
    cumulative, total = [], 0.0
    for pi in probabilities:
        total += pi
        cumulative.append(total)
    cumulative[-1] = 2.0  # whatever was lost to rounding is the last one's
    logprobs = tuple(math.log(pi) for pi in probabilities)
    return Node(kind, tokens, probabilities, tuple(cumulative), logprobs, states)


def _near_certain(draws: Draws, after: State, most: float = 0.5) -> Node:
    """One token of 0.99 to 0.9995, and a slip that may help or hurt by as much as `most` of the room there is."""
    value, chance = after.value, draws.unit()
    p_slip = 0.0005 + 0.0095 * chance
    slip = value + draws.between(-most, most) * min(value, 1 - value)
    pi = 1.0 - p_slip
    first = FIRST_WORD + int(chance * 7919) % N_WORDS
    states = (State((value - p_slip * slip) / pi, *after[1:]), State(slip, *after[1:]))
    logprobs = (math.log1p(-p_slip), math.log(p_slip))
    return Node("certain", (first, first + 1), (pi, p_slip), (pi, 2.0), logprobs, states)


def _minor(draws: Draws, value: float, most: float) -> list[tuple[float, float]]:
    """Two to four tokens, none of which moves the value by more than `most`."""
    n = 2 + int(3 * draws.unit())
    weights = [draws.between(0.15, 1.0) for _ in range(n)]
    probabilities = [one / sum(weights) for one in weights]
    moves = [draws.between(-1.0, 1.0) for _ in range(n)]
    mean = sum(pi * move for pi, move in zip(probabilities, moves, strict=True))
    moves = [move - mean for move in moves]
    up, down = max(moves), -min(moves)
    scale = min(draws.between(0.3, 1.0) * most / max(up, down), (1 - value) / up, value / down)
    return [(pi, move * scale) for pi, move in zip(probabilities, moves, strict=True)]


def _two_groups(draws: Draws, value: float, low: float, high: float, back: float | None) -> list[tuple[float, float]]:
    """Two to four tokens in two groups, one up and one down, both by `low` to `high` where there is room for both.

    Where there is not, those towards the middle move so, and the others by 0.3 to 1 of the room. With `back`, one group
    moves by exactly that, and the other by as much as it may, so that the first is taken as often as can be.
    """
    up_room, down_room = 1 - value, value
    if back is not None and abs(back) > 1e-9:
        away = min(high, up_room if back < 0 else down_room)
        up, down = (away, -back) if back < 0 else (back, away)
    elif up_room < low or down_room < low:
        small = draws.between(0.3, 1.0) * min(up_room, down_room)
        large = draws.between(low, min(high, max(up_room, down_room)))
        up, down = (small, large) if up_room < down_room else (large, small)
    else:
        up, down = draws.between(low, min(high, up_room)), draws.between(low, min(high, down_room))
    p_up = down / (up + down)
    return _parted(draws, p_up, up) + _parted(draws, 1 - p_up, -down)


def _parted(draws: Draws, probability: float, move: float) -> list[tuple[float, float]]:
    """One group of a fork as one token, or as two of the same effect."""
    if draws.unit() < 0.6:
        return [(probability, move)]
    share = draws.between(0.25, 0.75)
    return [(probability * share, move), (probability * (1 - share), move)]
