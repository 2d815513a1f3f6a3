"""The one tree of errors: the core says what is wrong, `api/http.py` alone says which HTTP status that is."""


class RegradeError(Exception):
    """Something that a person can act on; the message is a whole sentence for them.

    `param` is the path of the field at fault (`testing_criteria[0].input`), `code` the API's word for the case.
    """

    code: str | None = None

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InvalidError(RegradeError):
    """The request, or something in it, is not what the API accepts."""

    code: str | None = "invalid_value"


class NotFoundError(RegradeError):
    """The named object does not exist, or belongs to another project."""

    code: str | None = "not_found"


class StateError(RegradeError):
    """The object is in a state that does not allow this."""

    code = "invalid_state"


class AuthenticationError(RegradeError):
    """No key, or a key that is not valid."""


class ForbiddenError(RegradeError):
    """The key is valid and may not do this."""

    code = "insufficient_permissions"


class TooLargeError(RegradeError):
    """A body, file or part is larger than the limit that the message names."""


class MediaTypeError(RegradeError):
    """The body's content type is not the one that this route reads."""


class UnavailableError(RegradeError):
    """A part of the server that this needs cannot answer now."""


class NoRoomError(UnavailableError):
    """The disk is full: what failed can be done again once there is room, and nothing is lost until then."""


class StorageError(UnavailableError):
    """Where large bytes lie does not answer, or refuses: what failed can be done again once it does."""


class ConfigurationError(RegradeError):
    """A setting, a flag or a file of the operator's is wrong."""


class RowError(RegradeError):
    """One row cannot be read, checked or graded; the run goes on without it."""


class ModelError(RegradeError):
    """A model gave no answer: the endpoint refused, failed for too long, or cannot be reached.

    `status` is the upstream's HTTP status, where it answered at all; `message` holds its own words, `pause_s` how
    long it asks to wait.
    """

    code = "model_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        pause_s: float | None = None,
    ) -> None:
        super().__init__(message, code=code, param=param)
        self.status = status
        self.pause_s = pause_s
