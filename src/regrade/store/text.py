"""Texts as clients may send them: with the character NUL, which PostgreSQL does not take."""

import sqlalchemy as sa

# A code point that Unicode gives to no character begins two signs: one for NUL, one for itself.
_SIGN = "\uffff"
_NUL, _ITSELF = f"{_SIGN}0", f"{_SIGN}1"


class _EscapedText(sa.TypeDecorator[str]):
    """Equal texts stay equal and unequal ones unequal, so that filters and keys see no difference."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        del dialect
        if value is None or ("\0" not in value and _SIGN not in value):
            return value
        return value.replace(_SIGN, _ITSELF).replace("\0", _NUL)

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> str | None:
        del dialect
        if value is None or _SIGN not in value:
            return value
        return value.replace(_NUL, "\0").replace(_ITSELF, _SIGN)


Text = sa.Text().with_variant(_EscapedText(), "postgresql")
"""The type of every column that holds text."""
