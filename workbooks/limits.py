"""The limits of the child processes: a workbook can be made to exhaust the library that reads it."""

import resource

MEMORY = 1024 * 1024 * 1024  #: bytes of address space
OUTPUT = 256 * 1024 * 1024  #: bytes
#: Exit codes: the file was refused with a sentence in stderr; a limit was reached.
REFUSED, TOO_BIG = 3, 4


def limit_process(cpu_seconds: int) -> None:
    """Limit memory, processor time and output of this process for good, before it looks at the file."""
    for limit, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (most, most))
