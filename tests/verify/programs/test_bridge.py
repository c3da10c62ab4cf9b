"""Programs that write to the bridge themselves, or answer in ways that no honest program does: no pass, no harm."""

from __future__ import annotations

import pytest
from tests.verify.programs.running import needs_sandbox, verdict

from teachable.verify.programs import Bounds
from teachable.verify.programs.inside.codec import Decoder, Encoder

pytestmark = needs_sandbox

TESTS = "assert f(3) == 9\nassert f(4) == 16"
SHORT = Bounds(cpu_s=2.0, wall_s=2.0)

# Finds the bridge as a program would: the one socket among its descriptors.
FORGE = """
import os, json, stat
def send(value, raw=None):
    data = raw if raw is not None else json.dumps(value).encode()
    for fd in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(fd).st_mode):
                os.write(fd, len(data).to_bytes(4, "big") + data)
        except OSError:
            pass
"""
FORGED = {
    "an early start": 'send(["ready", [["f", 9]], ""])\ndef f(x): return 0',
    "other names": 'send(["ready", [["f", 9], ["__builtins__", ["d", [["abs", 0]]]]], ""])',
    "our hooks": 'send(["ready", [["__teachable_failed__", ["T", "int"]], ["f", ["T", "int"]]], ""])',
    "a module": 'send(["ready", [["f", ["m", "antigravity"]]], ""])',
    "a function of ours": 'send(["ready", [["f", ["S", "operator", "eq"]]], ""])',
    "typing's modules": 'send(["ready", [["f", ["ty", "sys"]]], ""])',
    "no JSON": 'def f(x): send(None, raw=b"{")',
    "no end": 'def f(x): send(None, raw=b"[" * 100000)',
    "deep": 'def f(x): send(["ok", json.loads("[" * 900 + "]" * 900), [], {}, ""])',
    "a huge number": 'def f(x): send(None, raw=b\'["ok", \' + b"9" * 100000 + b\', [], {}, ""]\')',
    "no list": 'def f(x): send({"ok": 9})',
    "a short list": 'def f(x): send(["ok"])',
    "an unknown tag": 'def f(x): send(["ok", ["pickle", "gASV"], [], {}, ""])',
    "a class that is none": 'def f(x): send(["ok", ["o", 1, ["T", "print"], null], [], {}, ""])'.replace(
        "null", "None"
    ),
    "an instance of a builtin": 'def f(x): send(["ok", ["o", 1, ["T", "int"], [9]], [], {}, ""])',
    "an argument that was not there": 'def f(x): send(["ok", 9, [[5, ["l", []]]], {}, ""])',
    "new globals": 'def f(x): send(["ok", 0, [], {"__builtins__": 0, "f": ["T", "int"]}, ""])',
    "a callback that was not passed": 'def f(x): send(["back", 0, "call", [["l", []], ["d", []]], ""])',
    "a frame of a callback": 'def f(x): send(["back", 0, "getattr", [["l", ["__globals__"]], ["d", []]], ""])',
    "our own exceptions": 'def f(x): send(["error", ["o", 1, ["S", "record", "Untold"], [[], ""]], [], {}, ""])',
    "no exception": 'def f(x): send(["error", 9, [], {}, ""])',
    "output that is no text": 'def f(x): send(["ok", 9, [], {}, 5])',
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_messages(what: str) -> None:
    """Whatever is written to the bridge, nothing passes that was not the right answer."""
    found = verdict(FORGE + FORGED[what], TESTS, SHORT)
    assert found.correct is False, found.reason
    assert verdict("def f(x): return x * x", TESTS).correct is True


HOSTILE = {
    "a flood": "def f(x): return 'x' * 15_000_000\n",
    "a flood of bytes": "import os\ndef f(x):\n    while True:\n        for fd in range(3, 64):\n"
    "            try: os.write(fd, b'x' * 65536)\n            except OSError: pass",
    "no end": "def f(x):\n    while True: yield 9",
    "no answer": "def f(x):\n    while True: pass",
    "asleep": "import time\ndef f(x): time.sleep(100)",
    "hostile text": "class E(Exception):\n    def __str__(self):\n        while True: pass\ndef f(x): raise E",
    "hostile repr": "class E:\n    def __repr__(self): raise SystemExit\ndef f(x): return E()",
    "contains itself": "def f(x):\n    a = []\n    a.append(a)\n    return a",
    "deep": "def f(x):\n    a = []\n    for _ in range(10000): a = [a]\n    return a",
    "a pickle": "import os\nclass E:\n    def __reduce__(self): return os._exit, (0,)\ndef f(x): return E()",
    "crash": "import ctypes\ndef f(x): ctypes.string_at(0)",
    "recursion": "def f(x): return f(x)",
    "memory": "def f(x): return len(bytearray(10**10))",
    "a thread that goes on": "import threading\ndef f(x):\n    def run():\n        while True: pass\n"
    "    threading.Thread(target=run).start()\n    return 0",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_programs(what: str) -> None:
    tests = "assert list(f(3)) == [9]\nassert f(4) == 16" if what == "no end" else TESTS
    found = verdict(HOSTILE[what], tests, SHORT)
    assert found.correct is not True, found.reason
    assert found.correct is False or what in ("contains itself", "deep"), found.reason


def test_plain_data_keep_their_types() -> None:
    """What comes over is of the builtin types exactly, whatever the program derived from them."""
    program = "class I(int):\n    pass\nclass D(dict):\n    pass\ndef f(x): return [I(9), True, 1.0, 'x']\n"
    tests = "r = f(3)\nassert [type(v) for v in r[1:]] == [bool, float, str]\nassert r[0] == 9 and r[0] + 1 == 10"
    assert verdict(program, tests).correct is True


def test_the_codec_keeps_shared_and_cyclic_arguments() -> None:
    shared: list[object] = [1]
    shared.append(shared)
    sent: list[object] = []
    form = Encoder(lambda value: None, sent).encode({"a": shared, "b": shared})
    received: list[object] = []
    back = Decoder(lambda form: None, received).decode(form)
    assert back["a"] is back["b"] and back["a"][1] is back["a"] and len(sent) == len(received) == 2
