"""How a command ends when it could not do what it was asked: a message for a person and an exit code."""

import sys
from enum import IntEnum

from regrade.core.errors import AuthenticationError, ForbiddenError, RegradeError, UnavailableError


class ExitCode(IntEnum):
    """What a script can tell from the exit code; documented in docs/cli.md."""

    OK = 0
    GATE_NOT_MET = 1
    USAGE = 2
    UNFINISHED = 3
    AUTHENTICATION = 4
    INTERRUPTED = 130


class CommandError(RegradeError):
    """A failure that knows a command to try next, or its exit code."""

    def __init__(self, message: str, *, try_next: str | None = None, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.try_next = try_next
        self.exit_code = exit_code


def exit_code_of(error: RegradeError) -> ExitCode:
    """The exit code that fits the error."""
    match error:
        case CommandError(exit_code=code):
            return code
        case AuthenticationError() | ForbiddenError():
            return ExitCode.AUTHENTICATION
        case UnavailableError():
            return ExitCode.UNFINISHED
        case _:
            return ExitCode.USAGE


def show(error: RegradeError) -> None:
    """Say on standard error what failed and what to try."""
    sys.stderr.write(f"regrade: {error.message}\n")
    if isinstance(error, CommandError) and error.try_next:
        sys.stderr.write(f"  Try: {error.try_next}\n")
