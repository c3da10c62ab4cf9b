"""Questions in three languages by grammar, and a translator that knows them: the planted truth of `translate`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from teachable.records import Message, Prompt
from teachable.synthesize.items import Seed, seed_of_prompt

_NAMES = ("Martha", "Oskar", "Emily", "Walter", "Sophie", "Gregor", "Helena", "Ludwig", "Amanda", "Robert")
# A question by language, its fields between braces; the same field is the same text in each.
GRAMMARS: tuple[dict[str, str], ...] = (
    {
        "en": "Yesterday {name} bought {a} apples and {b} pears at the market. How many pieces of fruit are that?",
        "de": "Gestern hat {name} auf dem Markt {a} Äpfel und {b} Birnen gekauft. Wie viele Stück Obst sind das?",
        "fr": "Hier {name} a acheté {a} pommes et {b} poires au marché. Combien de fruits cela fait-il au total ?",
    },
    {
        "en": "The small train of {name} has {a} red waggons and ${a} + x = {b}$ waggons. What is the value of x?",
        "de": "Die kleine Eisenbahn von {name} hat {a} rote Wagen und ${a} + x = {b}$ Wagen. Welchen Wert hat x?",
        "fr": "Le petit train de {name} a {a} wagons rouges et ${a} + x = {b}$ wagons. Quelle est la valeur de x ?",
    },
    {
        "en": "When {a} - y = {b} holds for the number that {name} thinks of, which number is y in this equation?",
        "de": "Wenn für die Zahl, an die {name} denkt, {a} - y = {b} gilt, welche Zahl ist dann y in dieser Gleichung?",
        "fr": "Si {a} - y = {b} pour le nombre auquel {name} pense, quel nombre est alors y dans cette équation ?",
    },
)
NAMES = {"English": "en", "German": "de", "French": "fr"}


def fields(place: int) -> dict[str, str]:
    """The fields of the question of that number."""
    return {"name": _NAMES[place % len(_NAMES)], "a": str(20 + place), "b": str(100 + 7 * place)}


def question(place: int, language: str) -> str:
    """The question of that number."""
    return GRAMMARS[place % len(GRAMMARS)][language].format(**fields(place))


def truth(place: int) -> str:
    """The answer to it."""
    a, b = (int(fields(place)[key]) for key in ("a", "b"))
    return str((a + b, b - a, a - b)[place % 3])


def seeds(n: int) -> list[Seed]:
    """The first n questions, in English, with their answers."""
    return [
        seed_of_prompt(
            Prompt(
                f"q{place}",
                "sums",
                (Message(role="user", content=question(place, "en")),),
                answer=truth(place),
                verifier="math",
            )
        )
        for place in range(n)
    ]


def translation(text: str, language: str) -> str:
    """A text that one of the grammars knows in another language; fails where none does."""
    for grammar in GRAMMARS:
        for written in grammar.values():
            pattern = re.escape(written)
            for key in ("name", "a", "b"):
                pattern = pattern.replace(re.escape("{" + key + "}"), rf"(?P<{key}>\w+)", 1)
                pattern = pattern.replace(re.escape("{" + key + "}"), rf"(?P={key})")
            found = re.fullmatch(pattern, text)
            if found:
                return grammar[language].format(**found.groupdict())
    raise AssertionError(f"no grammar knows {text!r}")


def asked_for(messages: Sequence[Message]) -> str:
    """The language that a request asks for, by its code."""
    found = re.search(r"text into (\w+)", messages[-1]["content"])
    assert found is not None
    return NAMES[found[1]]
