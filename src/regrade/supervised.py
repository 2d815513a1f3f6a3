"""`python -m regrade.supervised SERVER SLOT`: a worker as the supervisor of a server starts it.

It reads its settings as one line of JSON from standard input, and ends at once when that input is closed. Ending at
once is always safe: what is not committed is done again by whoever takes the work up.
"""

import os
import sys

from regrade.garbage import collect_rarely


def main() -> None:
    """The whole life of a worker that a server started."""
    collect_rarely()

    from regrade import worker
    from regrade.core.jsontext import loads
    from regrade.settings import load

    place = worker.Place(server=sys.argv[1], slot=int(sys.argv[2]))
    worker.run(load(loads(_first_line())), place)


def _first_line() -> bytes:
    """One line from standard input, read below sys.stdin, whose lock a waiting thread would hold for ever."""
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(0, 1) or b"\n"
    return text


if __name__ == "__main__":
    main()
