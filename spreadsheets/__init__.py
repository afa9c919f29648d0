"""Files in and files out: find the IMEIs in uploads and pastes, and write exports."""

from spreadsheets.order_rows import ImportRow, plain, read_orders, says_the_same
from spreadsheets.parsed import DamagedParseError, Parsed, parsed_list
from spreadsheets.reading import (
    Choice,
    Intake,
    UnreadableFileError,
    parse_file,
    parse_text,
    read_file,
    read_text,
)
from spreadsheets.writing import (
    EXTENDED_COLUMNS,
    PROVIDER_COLUMNS,
    WORKBOOK_COLUMNS,
    OutColumn,
    export_name,
    rejects_csv,
    write_csv,
    write_xlsx,
)

__all__ = [
    "EXTENDED_COLUMNS",
    "PROVIDER_COLUMNS",
    "WORKBOOK_COLUMNS",
    "Choice",
    "DamagedParseError",
    "ImportRow",
    "Intake",
    "OutColumn",
    "Parsed",
    "UnreadableFileError",
    "export_name",
    "parse_file",
    "parse_text",
    "parsed_list",
    "plain",
    "read_file",
    "read_orders",
    "read_text",
    "rejects_csv",
    "says_the_same",
    "write_csv",
    "write_xlsx",
]
