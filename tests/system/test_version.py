"""The version has one source, and everything that shows a version shows this one."""

import subprocess
import sys
import tomllib

from gunicorn_server import ROOT
from scripted_server import ScriptedServer, reply
from web_client import Browser, words

from gsm_fusion_client import ClientOptions, GSMFusionClient
from settings import VERSION


def test_the_command_prints_the_version_without_opening_a_database() -> None:
    command = [sys.executable, str(ROOT / "web_app.py"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"HAMMER-API {VERSION}\n"


def test_health_and_the_status_page_show_the_version(browser: Browser) -> None:
    assert browser.get("/health").get_json()["version"] == VERSION
    assert f"HAMMER-API {VERSION}" in words(browser.get("/status"))


def test_the_provider_sees_the_version_in_the_user_agent() -> None:
    account = "<result><ClientCredits>$ 5.00 USD</ClientCredits></result>"
    with (
        ScriptedServer(reply(account)) as server,
        GSMFusionClient("k", "u", options=ClientOptions(server.url)) as client,
    ):
        client.get_account()
    assert f"User-Agent: HAMMER-API/{VERSION}\r\n" in server.requests[0].head


def test_the_package_reads_the_version_from_the_settings() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "settings.VERSION"}
    assert "version" in project["project"]["dynamic"]
