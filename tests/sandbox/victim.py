"""The process that stands for the server: it holds what an attack wants, and has graders graded, jailed or not.

Run as a program. It reads one JSON object a line and answers each with one; the first line that it writes names the
targets.
"""

import json
import sys
from pathlib import Path

import regrade
from sandbox import outside
from sandbox.planted import Planted


def main(folder: Path, level: str) -> None:
    jail = Path(regrade.__file__).parent / "sandbox" / "jail"
    planted = Planted(folder, jail)
    api_keys = planted.api_keys  # for those who walk the frames
    print(json.dumps(planted.targets), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        planted.renew()
        outcome = outside.grade(asked["source"])
        print(json.dumps({"outcome": outcome, "damage": planted.damage()}), flush=True)
    assert api_keys


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
