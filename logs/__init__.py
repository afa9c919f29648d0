"""The log: its lines, their ids, and how secrets are kept out of them. Knows no Flask and no database."""

from logs.lines import (
    ACCESS_FORMAT,
    LOG_FORMAT,
    about,
    begin_request,
    log_command,
    log_server,
    log_uncaught,
    redactor_for,
    server_logging,
)
from logs.redaction import HIDDEN, Redactor

__all__ = [
    "ACCESS_FORMAT",
    "HIDDEN",
    "LOG_FORMAT",
    "Redactor",
    "about",
    "begin_request",
    "log_command",
    "log_server",
    "log_uncaught",
    "redactor_for",
    "server_logging",
]
