"""The process that stands for the server: it holds what an attack wants, and has graders graded, jailed or not.

Run as a program. It reads one JSON object a line and answers each with one; the first line that it writes names the
targets.
"""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import regrade
from sandbox import outside
from sandbox.planted import Planted

Grade = Callable[..., dict[str, object]]


def main(folder: Path, level: str) -> None:
    jail = Path(regrade.__file__).parent / "sandbox" / "jail"
    planted = Planted(folder, jail)
    api_keys = planted.api_keys  # for those who walk the frames
    print(json.dumps(planted.targets), flush=True)
    with ExitStack() as stack:
        grade = outside.grade if level == "outside" else _jailed(stack, folder, level)
        for line in sys.stdin:
            planted.renew()
            outcome = grade(**json.loads(line))
            print(json.dumps({"outcome": outcome, "damage": planted.damage()}), flush=True)
    assert api_keys


def _jailed(stack: ExitStack, folder: Path, level: str) -> Grade:
    from sandbox.jails import jail

    inside = folder / "jail"
    inside.mkdir()
    made = stack.enter_context(jail(inside, level))

    def grade(source: str, *, alone: bool) -> dict[str, object]:
        [answer] = made.grade(source, [{}], alone=alone)
        return {"score": answer.value} if answer.error is None else {"error": answer.error.message}

    return grade


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
