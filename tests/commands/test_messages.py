"""What a command says to people leaves standard output to programs, and a refusal has an exit code of its own."""

import click
from click.testing import CliRunner

from commands.messages import Refusal, say


def test_text_for_people_is_on_standard_error_and_a_refusal_ends_with_2() -> None:
    @click.command()
    def command() -> None:
        say("Two lines:", "one and two.")
        raise Refusal("Nothing was done.")

    result = CliRunner().invoke(command)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "Two lines:\none and two.\nError: Nothing was done.\n"
