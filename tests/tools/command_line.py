"""Commands against a provider on a real socket, by an app that has nothing but them."""

from dataclasses import replace
from pathlib import Path
from threading import Event

from click.testing import Result
from flask import Flask

from account.requests import ProviderRequests
from backend import Backend
from commands import init_commands
from database import IMEIDatabase
from imei import luhn_check_digit
from settings import Settings
from simulator.server import Simulator


def imeis(count: int, start: int = 0) -> list[str]:
    """Made-up IMEIs with right check digits."""
    bodies = [f"3533700{number:07d}" for number in range(start, start + count)]
    return [body + luhn_check_digit(body) for body in bodies]


def at_provider(settings: Settings, provider: Simulator) -> Settings:
    """Settings of a real account, whose provider is on loopback."""
    return replace(settings, api_key="DEMO-KEY", username="demo", base_url=provider.base_url, settle_quiet=0.0)


def make_app(settings: Settings, database: IMEIDatabase) -> Flask:
    app = Flask("command_test")
    app.extensions["backend"] = Backend(settings, database, ProviderRequests(database), Event())
    init_commands(app)
    return app


def run(app: Flask, *words: str | Path, typed: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=[str(word) for word in words], input=typed)
