"""The log: its lines, their ids, and how secrets are kept out of them. Knows no Flask and no database."""

from logs.lines import (
    ACCESS_FORMAT,
    about,
    begin_request,
    log_command,
    log_server,
    log_uncaught,
    redactor_for,
    server_logging,
)
from logs.redaction import Redactor
