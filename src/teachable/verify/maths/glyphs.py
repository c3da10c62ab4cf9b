"""Unicode signs of mathematics as the LaTeX that means the same, so that the reader knows one spelling of each."""

from __future__ import annotations

import re
import unicodedata

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "﹣": "-", "‐": "-", "‑": "-", "×": r"\times ", "✕": r"\times ", "✖": r"\times ",
    "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "∗": "*", "÷": r"\div ", "∕": "/", "⁄": "/",
    "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "π": r"\pi ", "∅": r"\emptyset ", "⌀": r"\emptyset ",
    "∪": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ", "∈": r"\in ", "∉": r"\notin ", "≤": r"\le ",
    "⩽": r"\le ", "≦": r"\le ",
    "≥": r"\ge ", "⩾": r"\ge ", "≧": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "≃": r"\approx ", "≅": r"\cong ",
    "≡": r"\equiv ", "°": r"^\circ ", "º": r"^\circ ", "˚": r"^\circ ", "√": r"\surd ",
    "∛": r"\cbrt ", "∜": r"\fourthroot ",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}",
    "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "∠": r"\angle ", "△": r"\triangle ", "′": "'", "’": "'", "‘": "'", "″": '"',
    "“": '"', "”": '"', "…": r"\dots ", "⋯": r"\dots ", "→": r"\to ", "⇒": r"\Rightarrow ", "∨": r"\lor ",
    "∧": r"\land ",
    "∴": " ", "∵": " ", "⟹": r"\Rightarrow ", "ℯ": "e", "ⅇ": "e", "ⅈ": "i", "𝑖": "i", "∣": "|", "∑": r"\sum ",
    "∫": r"\int ", "∂": r"\partial ", "∝": r"\propto ", "¬": r"\neg ", "≪": r"\ll ", "≫": r"\gg ", "⊂": r"\subset ",
    "⊆": r"\subseteq ", "⊥": r"\perp ", "∥": r"\parallel ", "\u200b": "", "\ufeff": "", "\u2061": "", "\u2062": " ",
    "\u200c": "", "\u200d": "", "\u2060": "", "，": ", ", "、": ", ", "；": "; ", "：": ":", "。": ".",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "ϵ": "epsilon", "ζ": "zeta", "η": "eta",
    "θ": "theta", "ϑ": "theta", "ι": "iota", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "ρ": "rho",
    "σ": "sigma", "τ": "tau", "υ": "upsilon", "φ": "phi", "ϕ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi",
    "Ω": "Omega",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣʸᵏᵐ⁄", "0123456789+-()nixykm/", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋ₙᵢₓₖₘₐₑ", "0123456789+-nixkmae", strict=True))
_TABLE = {ord(sign): text for sign, text in _SIGNS.items()} | {ord(g): rf"\{name} " for g, name in _GREEK.items()}
_RAISED_RUN = re.compile(f"[{''.join(_RAISED)}]+".replace("⁄", ""))
_LOWERED_RUN = re.compile(f"[{''.join(_LOWERED)}]+")
_SPLIT_FRACTION = re.compile(r"([⁰¹²³⁴⁵⁶⁷⁸⁹]+)[⁄/]([₀₁₂₃₄₅₆₇₈₉]+)")


def to_latex(text: str) -> str:
    """The text with its unicode signs written as LaTeX; what is not known here stays. Linear in the length."""
    if text.isascii():
        return text
    text = _SPLIT_FRACTION.sub(lambda m: rf"\frac{{{_plain(m[1])}}}{{{_plain(m[2])}}}", text)
    text = _RAISED_RUN.sub(lambda m: f"^{{{_plain(m[0])}}}", text)
    text = _LOWERED_RUN.sub(lambda m: f"_{{{_plain(m[0])}}}", text)
    text = text.translate(_TABLE)
    return text if text.isascii() else "".join(map(_folded, text))


def _plain(run: str) -> str:
    return "".join(_RAISED.get(c) or _LOWERED[c] for c in run)


def _folded(char: str) -> str:
    """One character: fractions as \\frac, wide and mathematical letters and digits as plain ones, spaces as spaces."""
    if char.isascii():
        return char
    if char.isspace():
        return "\n" if char in "\u2028\u2029\x85" else " "
    folded = unicodedata.normalize("NFKC", char)
    if "\u2044" in folded:
        over, under = folded.split("\u2044")
        return rf"\frac{{{over}}}{{{under}}}"
    return folded if folded.isascii() else folded.translate(_TABLE)
