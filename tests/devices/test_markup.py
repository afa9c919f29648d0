"""Result texts as clean lines: no markup reaches the display."""

import html
import time

import pytest

from devices.device_report import (
    read_report,
)


@pytest.mark.parametrize(
    "text", ["C39KP6WVTNJX", "1234567890123456", "U0lNTG9ja1N0YXR1cw==", "Model iPhone", "deadbeef" * 4]
)
def test_what_only_looks_like_base64_is_left_alone(text: str) -> None:
    assert read_report(text).display == text


def test_display_is_plain_text_line_by_line() -> None:
    report = read_report("<b>Result</b><ul><li>One &amp; two</li><li>&lt;ok&gt;</li></ul><td>a</td><td>b</td>")
    assert report.display.split("\n") == ["Result", "One & two", "<ok>", "a: b"]


def test_scripts_styles_images_and_comments_never_reach_the_display() -> None:
    hidden = "<script>steal()</script><style>b{x:y}</style><!-- k: v --><img src=x onerror=steal()>"
    for text in (hidden, hidden.upper(), html.escape(hidden, quote=False)):
        report = read_report(f"Model: Moto G{text}<br>FMI: OFF")
        assert report.display == "Model: Moto G\nFMI: OFF"


@pytest.mark.parametrize(
    "piece",
    [
        "<", "<a '", '<a "', "<script>", "<!--", "a: ", "Model: x ", "a - b: ", "a=b,", "{",
        "[", '{"a":', "&lt;",
        " ",
        "Abc" * 16 + ":", "OFFSimLock:", "if FMI: ", "x [y] ", "a.... ", "Model <b>x</b>", "Note: ", "for 1",
        "\t", "\n", "Model;x\n", "🔴", "not ", "<b>Model</b>", "<td>", "\\n", "status",
    ],
)  # fmt: skip
def test_a_megabyte_of_garbage_is_read_in_bounded_time(piece: str) -> None:
    text = (piece * (1_000_000 // len(piece) + 1))[:1_000_000]
    began = time.perf_counter()
    read_report(text)
    assert time.perf_counter() - began < 10
