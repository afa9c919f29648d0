"""The environment, read once and checked: a wrong value stops the start with a sentence that mends it.

Nothing else reads a variable, but gunicorn.conf.py WEB_CONCURRENCY. This module must not import anything of ours.
"""

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import time
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

#: The version of this program. pyproject.toml, /health, the page Status, --version and the User-Agent read it here.
VERSION = "1.1.0.dev0"
DEFAULT_BASE_URL = "https://hammerfusion.com"
#: The name of the account of GSM_FUSION_API_KEY. Orders from before there were several accounts are its own.
MAIN_ACCOUNT = "main"
ACCOUNT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")
#: The fields of an account in GSM_FUSION_ACCOUNTS → what each must be. The first three must be there.
ACCOUNT_FIELDS: Mapping[str, str] = {
    "name": "1 to 30 lower-case letters, digits or hyphens",
    "username": "a text",
    "api_key": "a text",
    "base_url": "a text",
    "rate_limit": "a whole number from 0 to 100000",
    "daily_budget": "a number from 0 to 1000000000",
    "workers": "a whole number from 1 to 200",
}
MUST_HAVE = ("name", "username", "api_key")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
TEXT_LINES, JSON_LINES = "text", "json"
#: Seconds. Absence that is believed sooner is believed too soon; a paid call that is given up sooner is one more doubt.
SHORTEST_QUIET, SHORTEST_TIMEOUT = 30.0, 60.0
LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|::1)$")
#: The umask of every process: what it writes is for its own user only.
PRIVATE = 0o077
#: Characters. A guesser with 10,000 addresses has 14 million attempts a day.
SHORTEST_PASSWORD, SHORTEST_SECRET_KEY = 12, 32
#: Characters of a database's password that is hidden wherever it is found: a shorter one may be a word of the log.
SHORTEST_ALONE = 8
#: What passwords are made of that guessers try first; the rest of a password must have some variety of its own.
COMMON = re.compile(
    r"password|passwort|passw0rd|p@ssw0rd|pass|admin|administrator|root|user|login|secret|changeme|change|welcome"
    r"|letmein|iloveyou|monkey|dragon|football|baseball|superman|master|hello|test|demo|example|default|hammer|fusion"
    r"|gsm|imei|iphone|unlock|qwertz|qwerty|uiop|asdf|ghjk|zxcv|abcd|abc|1q2w3e4r|spring|summer|autumn|winter"
    r"|0?1234567890|0?123456789|12345678|1234567|123456|12345|1234|123|987654321|654321|4321|321|20[0-9]{2}|19[0-9]{2}"
)
LEAST_VARIETY = 5  #: different characters
#: Variables of Railway that name the hosts of this service.
RAILWAY_HOSTS = ("RAILWAY_PUBLIC_DOMAIN", "RAILWAY_PRIVATE_DOMAIN", "RAILWAY_STATIC_URL")

Network = IPv4Network | IPv6Network


class SettingsError(ValueError):
    """The environment holds something the program cannot work with; the message says how to mend it."""


@dataclass(frozen=True, slots=True)
class Access:
    """How to reach the provider's account."""

    api_key: str = field(default="", repr=False)
    username: str = field(default="", repr=False)
    base_url: str = DEFAULT_BASE_URL
    call_timeout: float = 120.0  #: seconds; the longest time of one call
    name: str = MAIN_ACCOUNT


@dataclass(frozen=True, slots=True)
class ProviderAccount(Access):
    """One of the accounts at the provider, with its own limits."""

    rate_limit: int | None = None  #: calls a minute, in all
    daily_budget: float | None = None  #: US dollars a UTC day; None: no limit of its own
    workers: int = 30


@dataclass(frozen=True, slots=True)
class Settings(Access):
    """Everything that the environment decides."""

    log_level: str = "INFO"
    log_format: str = TEXT_LINES  #: or JSON_LINES: one JSON object a line
    data_dir: Path = Path()
    database_url: str = field(default="", repr=False)  #: of PostgreSQL, with its password; "": SQLite in data_dir
    port: int = 8000
    admin_password: str = field(default="", repr=False)
    password_memory: int = 19_456  #: KiB that hashing a password takes; not from the environment, tests take less
    secret_key: str = field(default="", repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(default=(), repr=False)  #: earlier keys, which cookies may have
    auto_sync_interval: float = 300.0  #: seconds; 0 switches the sync off
    daily_budget: float | None = None  #: US dollars a UTC day; None: no limit
    max_batch_imeis: int = 100_000
    upload_retention_days: int = 90  #: how long the file of a batch is kept, for "My sheet"
    backup_time: time = time(3)  #: UTC; when the database is backed up
    confirm_above: float = 100.0  #: US dollars; a dearer batch asks for a typed confirmation
    rate_limit: int | None = None  #: calls a minute to the provider, in all
    workers: int = 30
    chunk_size: int = 100
    settle_quiet: float = 60.0  #: seconds after a doubtful call before absence may be believed
    resend_limit: float = 5.0  #: US dollars that are sent again by themselves, at most, on the strength of one proof
    lossless_failover: bool = False  #: a standby that takes over has every commit, so that orders go on
    send_order_key: bool = False  #: orders of a single IMEI carry an orderId of ours
    volatile_disk: bool = False  #: the records of orders would be lost at the next deploy
    on_railway: bool = False  #: the platform's proxy stands before the app, and ends TLS
    trusted_hosts: tuple[str, ...] = ()  #: names that the app answers to, besides loopback; ".a.b" for all below a.b
    trusted_proxies: tuple[Network, ...] = ()  #: whose word on the client's address is taken
    notify_urls: tuple[str, ...] = field(default=(), repr=False)  #: addresses of Apprise; they hold passwords
    webhook_allow: tuple[Network, ...] = ()  #: networks that are not public and that webhooks may be sent to
    low_balance: float | None = None  #: US dollars; below it an event is written; None: no event
    more_accounts: tuple[ProviderAccount, ...] = field(default=(), repr=False)  #: besides the main one

    @property
    def demo(self) -> bool:
        """Whether the simulator stands in for the provider."""
        return not self.api_key

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no log may show: the values of all fields that repr() leaves out, but the user name.

        Of the database's address only passwords: with its parts hidden, clients of the same network would be, too.
        """
        open_ones = ("username", "more_accounts", "database_url")
        hidden = [getattr(self, one.name) for one in fields(self) if not one.repr and one.name not in open_ones]
        hidden.append([account.api_key for account in self.more_accounts])
        hidden.append(_passwords_in(self.database_url))
        return tuple(text for value in hidden for text in ([value] if isinstance(value, str) else value) if text)

    @property
    def usernames(self) -> tuple[str, ...]:
        """The user names of all accounts."""
        return tuple(account.username for account in self.accounts)

    @property
    def accounts(self) -> tuple[ProviderAccount, ...]:
        """All accounts at the provider, the main one first. DAILY_BUDGET counts for all of them together."""
        access = (self.api_key, self.username, self.base_url, self.call_timeout)
        return (ProviderAccount(*access, rate_limit=self.rate_limit, workers=self.workers), *self.more_accounts)

    @property
    def database_path(self) -> Path:
        """The file of SQLite, which is not used with a database_url."""
        return self.data_dir / "imei_orders.db"

    @property
    def database_place(self) -> str | Path:
        """What to open: an address of PostgreSQL, or the file."""
        return self.database_url or self.database_path

    @property
    def public_url(self) -> str:
        """Where people open the app, for links in messages; "" where no host name is known."""
        public = (host for host in self.trusted_hosts if not host.startswith(".") and not host.endswith(".internal"))
        host = next(public, "")
        return f"https://{host}" if host else ""


def load_access(environ: Mapping[str, str] | None = None) -> Access:
    """Return what environ (os.environ by default) says of the provider's account. Raises SettingsError."""
    environ = os.environ if environ is None else environ
    return Access(
        api_key=_text(environ, "GSM_FUSION_API_KEY"),
        username=_text(environ, "GSM_FUSION_USERNAME"),
        base_url=_base_url(_text(environ, "GSM_FUSION_BASE_URL") or DEFAULT_BASE_URL),
        call_timeout=_number(environ, "GSM_FUSION_TIMEOUT", 120, SHORTEST_TIMEOUT, 600),
    )


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in environ (os.environ by default). Raises SettingsError."""
    environ = os.environ if environ is None else environ
    access = load_access(environ)
    if bool(access.api_key) != bool(access.username):
        missing = "GSM_FUSION_USERNAME" if access.api_key else "GSM_FUSION_API_KEY"
        raise SettingsError(f"{missing} is missing: set both credentials, or neither for the demo.")
    on_railway = bool(_text(environ, "RAILWAY_ENVIRONMENT") or _text(environ, "RAILWAY_PROJECT_ID"))
    volume = _text(environ, "RAILWAY_VOLUME_MOUNT_PATH")
    folder = _text(environ, "DATA_DIR") or volume
    return Settings(
        api_key=access.api_key,
        username=access.username,
        base_url=access.base_url,
        log_level=_log_level(_text(environ, "LOG_LEVEL") or "INFO"),
        log_format=_log_format(_text(environ, "LOG_FORMAT") or TEXT_LINES),
        data_dir=_data_dir(folder, demo=not access.api_key),
        database_url=database_url(_text(environ, "DATABASE_URL")),
        port=_count(environ, "PORT", 8000, 1, 65535),
        admin_password=_password(_text(environ, "ADMIN_PASSWORD")),
        secret_key=_secret_key(_text(environ, "SECRET_KEY"), "SECRET_KEY"),
        secret_key_fallbacks=_fallbacks(environ),
        auto_sync_interval=_number(environ, "AUTO_SYNC_INTERVAL", 300, 0, 86_400),
        daily_budget=_number(environ, "DAILY_BUDGET", 0, 0, 1e9) if _text(environ, "DAILY_BUDGET") else None,
        max_batch_imeis=_count(environ, "MAX_BATCH_IMEIS", 100_000, 1, 5_000_000),
        upload_retention_days=_count(environ, "UPLOAD_RETENTION_DAYS", 90, 1, 3650),
        backup_time=_time(environ, "BACKUP_TIME", "03:00"),
        confirm_above=_number(environ, "CONFIRM_ABOVE", 100, 0, 1e9),
        call_timeout=access.call_timeout,
        rate_limit=_count(environ, "GSM_FUSION_RATE_LIMIT", 0, 0, 100_000) or None,
        workers=_count(environ, "WORKERS", 30, 1, 200),
        settle_quiet=_number(environ, "SETTLE_QUIET", 60, SHORTEST_QUIET, 3600),
        resend_limit=_number(environ, "RESEND_LIMIT", 5, 0, 1000),
        lossless_failover=bool(_count(environ, "LOSSLESS_FAILOVER", 0, 0, 1)),
        send_order_key=bool(_count(environ, "SEND_ORDER_KEY", 0, 0, 1)),
        volatile_disk=on_railway and not (_text(environ, "DATABASE_URL") or _inside(folder, volume)),
        on_railway=on_railway,
        trusted_hosts=_hosts(environ),
        trusted_proxies=_networks(environ, "TRUSTED_PROXY"),
        notify_urls=_notify_urls(_text(environ, "NOTIFY_URLS")),
        webhook_allow=_networks(environ, "WEBHOOK_ALLOW"),
        low_balance=_number(environ, "LOW_BALANCE", 0, 0, 1e9) if _text(environ, "LOW_BALANCE") else None,
        more_accounts=_accounts(_text(environ, "GSM_FUSION_ACCOUNTS"), access),
    )


def _text(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name, "").strip()


def _number(environ: Mapping[str, str], name: str, default: float, least: float, most: float) -> float:
    text = _text(environ, name)
    if not text:
        return default
    try:
        value = float(text.lstrip("$"))
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: it must be a number, such as {default:g}.") from error
    if not least <= value <= most:
        raise SettingsError(f"{name} is {text}: it must be between {least:g} and {most:g}.")
    return value


def _count(environ: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = _number(environ, name, default, least, most)
    if value != int(value):
        raise SettingsError(f"{name} is {_text(environ, name)}: it must be a whole number, such as {default}.")
    return int(value)


def _time(environ: Mapping[str, str], name: str, default: str) -> time:
    text = _text(environ, name) or default
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if not found:
        raise SettingsError(f"{name} is {text!r}: it must be a time of the day, such as {default}.")
    return time(int(found[1]), int(found[2]))


def is_common(secret: str) -> bool:
    """Whether little of a password is left without the words, numbers and years that guessers try first."""
    return len(set(COMMON.sub("", secret.lower()))) < LEAST_VARIETY


def _password(password: str) -> str:
    if password and len(password) < SHORTEST_PASSWORD:
        raise SettingsError(f"ADMIN_PASSWORD is too short: it must have {SHORTEST_PASSWORD} characters or more.")
    if password and is_common(password):
        raise SettingsError("ADMIN_PASSWORD is easy to guess: use four words that have nothing to do with each other.")
    return password


def _secret_key(key: str, name: str) -> str:
    if key and (len(key) < SHORTEST_SECRET_KEY or is_common(key)):
        raise SettingsError(
            f"{name} must be {SHORTEST_SECRET_KEY} random characters or more. Without SECRET_KEY one is made and kept."
        )
    return key


def _fallbacks(environ: Mapping[str, str]) -> tuple[str, ...]:
    name = "SECRET_KEY_FALLBACKS"
    keys = tuple(_secret_key(key, f"Each key of {name}") for key in _text(environ, name).replace(",", " ").split())
    if keys and not _text(environ, "SECRET_KEY"):
        raise SettingsError(f"{name} is set without SECRET_KEY: set the new key too, or neither.")
    return keys


def _hosts(environ: Mapping[str, str]) -> tuple[str, ...]:
    named = _text(environ, "TRUSTED_HOSTS").replace(",", " ").split()
    for host in named:
        if not re.fullmatch(r"\.?[\w-]+(\.[\w-]+)*|\[[0-9A-Fa-f:]+\]", host):
            raise SettingsError(f"TRUSTED_HOSTS holds {host!r}: it must be host names such as phones.example.com.")
    named += [_text(environ, name) for name in RAILWAY_HOSTS]
    return tuple(dict.fromkeys(host.lower() for host in named if host))


def _networks(environ: Mapping[str, str], name: str) -> tuple[Network, ...]:
    text = _text(environ, name)
    try:
        return tuple(ip_network(part, strict=False) for part in text.replace(",", " ").split())
    except ValueError as error:
        raise SettingsError(f"{name} is {text!r}: it must be like 10.0.0.5 or 10.0.0.0/8.") from error


def _notify_urls(text: str) -> tuple[str, ...]:
    """Return the addresses, which may contain commas themselves. The error shows none of them."""
    urls = tuple(filter(None, re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+]*://)", text.strip(" ,"))))
    for place, url in enumerate(urls, 1):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9+]*://\S+", url):
            raise SettingsError(f"NOTIFY_URLS: address {place} must look like tgram://…, without a blank in it.")
    return urls


def _accounts(text: str, main: Access) -> tuple[ProviderAccount, ...]:
    """Return the accounts besides the main one. No error shows a key."""
    if not text:
        return ()
    name = "GSM_FUSION_ACCOUNTS"
    if not main.api_key:
        raise SettingsError(f"{name} is set without GSM_FUSION_API_KEY: set the main account too, or neither.")
    try:
        listed = json.loads(text)
    except ValueError as error:
        at = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "its start"
        raise SettingsError(f"{name} is no JSON: there is an error at {at}.") from None
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise SettingsError(f'{name} must be a JSON list of objects, such as [{{"name": "b", …}}].')
    found = tuple(_account(one, f"{name}: account {place}", main) for place, one in enumerate(listed, 1))
    _require_different((main, *found), name)
    return found


def _account(given: Mapping[str, Any], where: str, main: Access) -> ProviderAccount:
    unknown = sorted(given.keys() - ACCOUNT_FIELDS.keys())
    if unknown:
        raise SettingsError(f"{where} has an unknown field {unknown[0]!r}: known are {', '.join(ACCOUNT_FIELDS)}.")
    for key, words in ACCOUNT_FIELDS.items():
        value = given.get(key)
        if (value is None and key in MUST_HAVE) or (value is not None and not _is_field(key, value)):
            raise SettingsError(f"{where}: {key} must be {words}.")
    budget = given.get("daily_budget")
    return ProviderAccount(
        api_key=given["api_key"].strip(),
        username=given["username"].strip(),
        base_url=_base_url(given["base_url"], f"{where}: base_url") if given.get("base_url") else main.base_url,
        call_timeout=main.call_timeout,
        name=given["name"],
        rate_limit=given.get("rate_limit") or None,
        daily_budget=None if budget is None else float(budget),
        workers=given.get("workers") or 30,
    )


def _is_field(key: str, value: object) -> bool:
    match key:
        case "name":
            return isinstance(value, str) and bool(ACCOUNT_NAME.fullmatch(value))
        case "username" | "api_key":
            return isinstance(value, str) and bool(value.strip())
        case "base_url":
            return isinstance(value, str)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    least, most = {"rate_limit": (0, 100_000), "daily_budget": (0, 1e9), "workers": (1, 200)}[key]
    return least <= value <= most and (key == "daily_budget" or isinstance(value, int))


def _require_different(accounts: Sequence[Access], name: str) -> None:
    """Raise SettingsError for two accounts of one name, or two names of one account: its orders would be mixed up."""
    names, users = [one.name for one in accounts], [(one.base_url.lower(), one.username) for one in accounts]
    for place, account in enumerate(accounts):
        if names.index(account.name) != place:
            raise SettingsError(f"{name} has two accounts named {account.name!r}: {MAIN_ACCOUNT!r} is the main one.")
        if users.index(users[place]) != place:
            raise SettingsError(
                f"{name}: account {account.name!r} has the user name of another one: each needs its own."
            )


def _base_url(url: str, name: str = "GSM_FUSION_BASE_URL") -> str:
    try:
        parts = urlsplit(url if "//" in url else f"https://{url}")
        _ = parts.port  # raises for one that is no number
    except ValueError as error:
        raise SettingsError(f"{name} is {url!r}: it must look like {DEFAULT_BASE_URL}.") from error
    if parts.scheme == "http" and not LOOPBACK.match(parts.hostname or ""):
        raise SettingsError(f"{name} is {url}: it must begin with https://, or the key would travel in the open.")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} is {url!r}: it must look like {DEFAULT_BASE_URL}.")
    return parts.geturl().rstrip("/")


def database_url(url: str) -> str:
    """Return the address of a database of PostgreSQL. The error does not show it: it holds a password."""
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise SettingsError("DATABASE_URL must look like postgresql://user:password@host/name. Without it, SQLite.")
    return url


def _passwords_in(url: str) -> list[str]:
    """Return the passwords in an address, as they are there and decoded; a short one with what encloses it there.

    One with an @ that is not encoded is meant to end at the last @, and is read up to the first one.
    """
    user, _, rest = url.partition("://")[2].partition(":")
    ends = {rest.find("@"), rest.rfind("@")} if "@" not in user else set[int]()
    found = [(":", rest[:end], "@") for end in sorted(ends) if end > 0]
    pairs = [part.partition("=") for part in url.partition("?")[2].split("&")]
    found += [(f"{key}=", text, "") for key, _, text in pairs if "password" in key]
    forms = [(before, form, after) for before, text, after in found for form in dict.fromkeys((text, unquote(text)))]
    return [form if len(form) >= SHORTEST_ALONE else f"{before}{form}{after}" for before, form, after in forms if form]


def _log_level(name: str) -> str:
    if name.upper() not in LOG_LEVELS:
        raise SettingsError(f"LOG_LEVEL is {name!r}: it must be one of {', '.join(LOG_LEVELS)}.")
    return name.upper()


def _log_format(name: str) -> str:
    if name.lower() not in (TEXT_LINES, JSON_LINES):
        raise SettingsError(f"LOG_FORMAT is {name!r}: it must be {TEXT_LINES} or {JSON_LINES}.")
    return name.lower()


def _data_dir(folder: str, demo: bool) -> Path:
    """The folder, or "demo" in it: simulated orders never lie in the file of real ones."""
    path = Path(folder or ".").expanduser().resolve()
    path = path / "demo" if demo else path
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"DATA_DIR {path} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise SettingsError(f"DATA_DIR {path} cannot be written: make its disk writable, or choose another folder.")
    return path


def _inside(folder: str, volume: str) -> bool:
    if not volume:
        return False
    return Path(folder or ".").resolve().is_relative_to(Path(volume).resolve())
