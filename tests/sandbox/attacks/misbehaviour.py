"""Graders that break, lie or never end, as bodies of `grade`: only their own row may suffer.

Each runs for one row among others. `records` and `write` speak the worker's own protocol, as a grader could.
"""

PROTOCOL = """
import os, struct, threading, time
RECORD = struct.Struct("<IBdHH")

def write(*fields, tail=b""):
    os.write(4, RECORD.pack(*fields) + tail)
"""
"""The form of an answer, as the worker writes it."""

ENDINGS = {
    "leaves": "import os; os._exit(0)",
    "leaves_with_a_number": "import os; os._exit(77)",
    "exits": "import sys; sys.exit()",
    "is_interrupted": "raise KeyboardInterrupt",
    "ends_a_generator": "raise GeneratorExit",
    "reads_nowhere": "import ctypes; ctypes.string_at(1)",
    "aborts": "import os; os.abort()",
    "recurses": "return grade(sample, item)",
    "recurses_in_c": "deep = []\n    for _ in range(100_000): deep = [deep]\n    return float(repr(deep))",
    "divides_by_zero": "1 / 0",
    "asserts": "assert False, 'no'",
    "hides_its_words": (
        "class Evil(Exception):\n"
        "        def __str__(self): raise RuntimeError('again')\n"
        "        __repr__ = __str__\n"
        "    raise Evil"
    ),
    "exits_in_its_words": (
        "import os\n    class Evil(Exception):\n        def __str__(self): os._exit(0)\n    raise Evil"
    ),
    "shouts": "raise ValueError('x' * (100 << 20))",
    "speaks_half_a_character": "raise ValueError('\\ud800')",
    "raises_with_a_long_chain": (
        "error = ValueError('first')\n"
        "    for _ in range(10_000):\n"
        "        later = ValueError('later'); later.__cause__ = error; error = later\n"
        "    raise error"
    ),
    "closes_its_output": "import sys; sys.stdout.close(); raise ValueError('closed')",
    "takes_all_memory": "held = []\n    while True: held.append(bytes(1 << 20))",
}

VALUES = {
    "nan": "float('nan')", "infinity": "float('inf')", "minus_infinity": "float('-inf')", "text": "'1.0'",
    "none": "None",
    "too_large": "10 ** 400", "complex": "1j", "list": "[1.0]", "bytes": "b'1'", "object": "object()",
    "type": "float",
    "generator": "(1.0 for _ in 'a')", "coroutine_like": "type('Later', (), {'__await__': iter})()",
    "raising_float": "type('Evil', (), {'__float__': lambda self: 1 / 0})()",
    "exiting_float": "type('Evil', (), {'__float__': lambda self: exit()})()",
    "lying_float": "type('Evil', (), {'__float__': lambda self: 'one'})()",
}  # fmt: skip
"""What is no score."""

SCORES = {
    "True": 1.0,
    "7": 7.0,
    "0.25": 0.25,
    "-2": -2.0,
    "1e300": 1e300,
    "__import__('fractions').Fraction(1, 4)": 0.25,
}
"""What is one."""

FORGERIES = {
    "foreign_index": "write(4_000_000, 0, 1.0, 0, 0)",
    "index_before_all": "write(0xFFFFFFFD, 0, 1.0, 0, 0)",
    "loaded_again": "write(0xFFFFFFFF, 0, 1.0, 0, 0)",
    "not_confined": "write(0xFFFFFFFE, 1, 0.0, 3, 0, tail=b'lie')",
    "nan_bits": "write(item['n'], 0, float('nan'), 0, 0)",
    "infinite": "write(item['n'], 0, float('inf'), 0, 0)",
    "unknown_status": "write(item['n'], 9, 1.0, 0, 0)",
    "long_texts": "write(item['n'], 1, 0.0, 65535, 65535)",
    "unbounded_texts": "write(item['n'], 1, 0.0, 65535, 65535, tail=bytes(131070))",
    "garbage": "os.write(4, os.urandom(4096))",
    "all_ones": "os.write(4, b'\\xff' * 4096)",
    "half_a_record": "os.write(4, b'\\x01\\x00')",
    "closes_everything": "os.closerange(0, 64)",
    "replaces_the_answers": "os.dup2(os.open('/dev/null', os.O_WRONLY), 4)",
    "reads_the_requests": "os.set_blocking(3, False); os.read(3, 65536)",
    "closes_the_requests": "os.close(3)",
    "late_thread": (
        "threading.Thread(target=lambda: (time.sleep(0.05), os.write(4, os.urandom(4096))), daemon=True).start()"
    ),
}
"""Bytes of its own on the way of the answers. The row itself may end in any way."""

ENDLESS = {
    "loop": "while True: pass",
    "huge_power": "return float(len(str(9 ** 9 ** 9)))",
    "regular_expression": "import re; return float(bool(re.match(r'(a+)+$', 'a' * 40 + 'b')))",
    "sleep": "import time; time.sleep(3600)",
    "lock": "import threading; threading.Lock().acquire() and threading.Event().wait()",
    "waits_for_requests": "import os; return float(len(os.read(3, 1 << 20) + os.read(3, 1 << 20)))",
    "ignores_signals": (
        "import signal\n"
        "    for number in range(1, 32):\n"
        "        try: signal.signal(number, signal.SIG_IGN)\n"
        "        except (OSError, ValueError): pass\n"
        "    while True: pass"
    ),
    "catches_everything": (
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass"
    ),
    "floods_the_answers": "import os\n    while True: os.write(4, b'\\xff' * 4096)",
    "drips": (
        "import os, struct, time\n"
        "    os.write(4, struct.pack('<IBdHH', item['n'], 1, 0.0, 2000, 0))\n"
        "    while True:\n"
        "        os.write(4, b'a')\n"
        "        time.sleep(0.2)"
    ),
    "floods_with_own_answer": (
        "import os, struct\n    while True: os.write(4, struct.pack('<IBdHH', item['n'], 0, 1.0, 0, 0))"
    ),
}

INTERFERING = {
    "keeps_state": "global others; others = lambda: 999.0",
    "replaces_grade": "import sys; sys.modules['grader'].grade = lambda sample, item: 999.0",
    "replaces_grade_of_the_caller": (
        "import sys\n"
        "    caller = sys._getframe(2)\n"
        "    caller.f_back.f_globals['_grade_batch'] = caller.f_globals['_number'] = lambda *given: 999.0"
    ),
    "forges_all_answers": "for n in range(6): write(n, 0, 999.0, 0, 0)",
}
"""What a row could do to later rows of the same process; `others` answers for those."""

UNLOADABLE = {
    "no_grade": "score = 1",
    "no_function": "grade = 1",
    "syntax": "def grade(sample, item):\n    return 1 +",
    "nul": "def grade(sample, item):\n    return 1\0",
    "parentheses": "x = " + "(" * 5000 + ")" * 5000,
    "deep_operators": "x = " + "-" * 100_000 + "1",
    "one_parameter": "def grade(sample):\n    return 1.0",
    "three_parameters": "def grade(sample, item, more):\n    return 1.0",
    "exit": "import sys\nsys.exit(0)\ndef grade(sample, item):\n    return 1.0",
    "leave": "import os\nos._exit(0)\ndef grade(sample, item):\n    return 1.0",
    "raise": "1 / 0\ndef grade(sample, item):\n    return 1.0",
    "import": "import no_such_package\ndef grade(sample, item):\n    return 1.0",
    "not_confined_at_load": PROTOCOL
    + "\nwrite(0xFFFFFFFE, 1, 0.0, 3, 0, tail=b'lie')\ndef grade(sample, item):\n    return 1.0",
    "forged_at_load": PROTOCOL + "\nwrite(0, 0, 1.0, 0, 0)\ndef grade(sample, item):\n    return 1.0",
    "surrogate": "def grade(sample, item):\n    return '\ud800'",
}

HONEST = "def grade(sample, item):\n    return item['n'] + 0.5\n"


def among_honest_rows(body: str) -> str:
    """A grader that does this for rows marked `evil`, and answers `n + 0.5` otherwise."""
    return (
        f"{PROTOCOL}\n"
        "def grade(sample, item):\n    return evil(sample, item) if item['evil'] else others() or item['n'] + 0.5\n"
        "def others():\n    return None\n"
        f"def evil(sample, item):\n    {body}\n    return item['n'] + 0.5\n"
    )
