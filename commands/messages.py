"""How commands speak to people: text on standard error, and the end of a command that did nothing."""

import click

#: The exit code of a command that did nothing.
REFUSED = 2


class Refusal(click.ClickException):
    """The command did nothing. The message is one sentence: the reason and what to do."""

    exit_code = REFUSED


def say(*lines: str) -> None:
    """Write lines to standard error: standard output is for programs."""
    click.echo("\n".join(lines), err=True)
