"""Files in and files out: find the IMEIs in uploads and pastes, and write exports."""

from spreadsheets.delimited import Delimited
from spreadsheets.intake import Choice, Intake
from spreadsheets.order_rows import ImportRow, plain, read_orders, says_the_same
from spreadsheets.parsed import DamagedParseError, Parsed, parsed_list
from spreadsheets.reading import OPEN_QUOTE, THOUSANDS, parse_file, parse_text, read_file, read_text
from spreadsheets.sheet_rows import PHONE_TEXTS, SHEET_COLUMNS, TONES, PhoneResult, added_rows
from spreadsheets.sheet_tables import TableForm, append_cells
from spreadsheets.sheet_text import TextForm, append_fields
from spreadsheets.tac_rows import read_tacs
from spreadsheets.writing import (
    EXTENDED_COLUMNS,
    PROVIDER_COLUMNS,
    WORKBOOK_COLUMNS,
    OutColumn,
    OutTable,
    export_name,
    rejects_csv,
    write_csv,
    write_tables,
    write_xlsx,
)
from workbooks import UnreadableFileError
