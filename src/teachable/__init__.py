"""teachable: find what a language model can almost do, and teach it exactly that."""

__version__ = "0.1.0"
