"""Run-length coding: a text as pairs of a character and how often it stands in a row."""


def encode(text: str) -> list[tuple[str, int]]:
    """Each run of equal characters with its length, in order."""
    runs: list[tuple[str, int]] = []
    for character in text:
        if runs and runs[-1][0] == character:
            runs[-1] = (character, runs[-1][1] + 1)
        else:
            runs.append((character, 1))
    return runs


def decode(runs: list[tuple[str, int]]) -> str:
    """The text that `encode` made these runs of."""
    return "".join(character * length for character, length in runs)


def test_runs_are_counted() -> None:
    assert encode("aaab") == [("a", 3), ("b", 1)]
    assert encode("") == []
    assert encode("abab") == [("a", 1), ("b", 1), ("a", 1), ("b", 1)]


def test_decoding_gives_the_text_back() -> None:
    for text in ("", "x", "aabbbc", "mississippi"):
        assert decode(encode(text)) == text
