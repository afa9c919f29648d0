"""Words of a command line as the database can store them.

A file name, or any other word, may hold bytes that are no UTF-8: Python keeps them as surrogates, which no text of the
database and no JSON may hold. Files are opened by the name as it came; only what is stored or shown is changed.
"""

from collections.abc import Iterator
from typing import Any

import click

SURROGATES = range(0xD800, 0xE000)


class ReadableText(click.ParamType[str]):
    """A word of the command line, in which U+FFFD replaces each byte that is no UTF-8."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return readable(str(value))


def readable(text: str) -> str:
    """Return a text in which U+FFFD replaces what cannot be written as UTF-8."""
    return "".join("\ufffd" if ord(sign) in SURROGATES else sign for sign in text)


def make_readable(command: click.Command) -> None:
    """Let a command, and the commands of a group, take every text as ReadableText."""
    for parameter in _parameters(command):
        if isinstance(parameter.type, click.types.StringParamType):
            parameter.type = ReadableText()


def _parameters(command: click.Command) -> Iterator[click.Parameter]:
    yield from command.params
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _parameters(inner)
