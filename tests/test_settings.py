"""The environment is read once, and a wrong value gets a sentence that names the variable."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from dotenv import dotenv_values

from settings import DEFAULT_BASE_URL, LOG_LEVELS, SettingsError, load_settings

ROOT = Path(__file__).parents[1]
SECRET = "k9Q2vX7pLm4TzR8wYb3NcF6hJd1GsA5e"
REAL = {"GSM_FUSION_API_KEY": "AAAA-BBBB", "GSM_FUSION_USERNAME": "someone"}


def test_an_empty_environment_is_the_demo_with_every_default() -> None:
    settings = load_settings({})
    assert settings.demo
    assert (settings.base_url, settings.port, settings.log_level) == (DEFAULT_BASE_URL, 8000, "INFO")
    assert (settings.auto_sync_interval, settings.daily_budget, settings.workers) == (300.0, None, 30)


def test_both_credentials_make_it_real_and_the_key_is_never_shown() -> None:
    settings = load_settings(REAL | {"ADMIN_PASSWORD": "correct horse", "SECRET_KEY": SECRET})
    assert not settings.demo
    assert not any(word in repr(settings) for word in ("AAAA-BBBB", "correct horse", SECRET))


@pytest.mark.parametrize("missing", sorted(REAL))
def test_one_credential_alone_names_the_other(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        load_settings({name: value for name, value in REAL.items() if name != missing})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("PORT", "0"),
        ("PORT", "70000"),
        ("PORT", "80.5"),
        ("LOG_LEVEL", "LOUD"),
        ("LOG_FORMAT", "xml"),
        ("AUTO_SYNC_INTERVAL", "-1"),
        ("DAILY_BUDGET", "a lot"),
        ("DAILY_BUDGET", "nan"),
        ("MAX_BATCH_IMEIS", "0"),
        ("BACKUP_TIME", "24:00"),
        ("BACKUP_TIME", "at night"),
        ("CONFIRM_ABOVE", "some"),
        ("GSM_FUSION_TIMEOUT", "0"),
        ("GSM_FUSION_TIMEOUT", "59"),
        ("GSM_FUSION_TIMEOUT", "601"),
        ("GSM_FUSION_RATE_LIMIT", "0.5"),
        ("WORKERS", "201"),
        ("WORKERS", "2.5"),
        ("SETTLE_QUIET", "soon"),
        ("SETTLE_QUIET", "0"),
        ("SETTLE_QUIET", "29.9"),
        ("SETTLE_QUIET", "3601"),
        ("RESEND_LIMIT", "-1"),
        ("RESEND_LIMIT", "1001"),
        ("SEND_ORDER_KEY", "yes"),
        ("SEND_ORDER_KEY", "2"),
        ("LOSSLESS_FAILOVER", "2"),
        ("ADMIN_PASSWORD", "horse stapl"),
        ("ADMIN_PASSWORD", "aaaaaaaaaaaaaaaa"),
        ("ADMIN_PASSWORD", "Password1234"),
        ("ADMIN_PASSWORD", "P@ssw0rd2026!!"),
        ("ADMIN_PASSWORD", "adminadmin123"),
        ("ADMIN_PASSWORD", "HammerFusion2026"),
        ("ADMIN_PASSWORD", "qwertyuiop123"),
        ("ADMIN_PASSWORD", "123456789012"),
        ("ADMIN_PASSWORD", "changeme-changeme"),
        ("SECRET_KEY", "s3cret"),
        ("SECRET_KEY", "secret" * 10),
        ("SECRET_KEY", "0123456789" * 4),
        ("SECRET_KEY_FALLBACKS", "s3cret"),
        ("SECRET_KEY_FALLBACKS", "Zk3-9vQ-tr77-LmW2-pq81-xUx0-bbE4"),
        ("TRUSTED_HOSTS", "https://phones.example.com"),
        ("TRUSTED_HOSTS", "*"),
        ("TRUSTED_PROXY", "nginx"),
        ("TRUSTED_PROXY", "10.0.0.5, everyone"),
        ("WEBHOOK_ALLOW", "localhost"),
        ("LOW_BALANCE", "-5"),
        ("NOTIFY_URLS", "someone@example.com"),
        ("NOTIFY_URLS", "tgram://a/b and://c more"),
        ("GSM_FUSION_BASE_URL", "http://hammerfusion.com"),
        ("GSM_FUSION_BASE_URL", "ftp://hammerfusion.com"),
        ("GSM_FUSION_BASE_URL", "https://"),
        ("GSM_FUSION_BASE_URL", "https://[hammerfusion.com"),
        ("GSM_FUSION_BASE_URL", "https://hammerfusion.com:api"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})


def test_the_secrets_are_what_repr_leaves_out_without_the_user_name() -> None:
    keys = ("Zk3-9vQ-tr77-LmW2-pq81-xUx0-bbE4", "Yk3-8vQ-tr66-LnW2-pq71-xUx0-bcE5")
    read = load_settings({**REAL, "SECRET_KEY": keys[0], "SECRET_KEY_FALLBACKS": f" {keys[1]}, ", "LOG_FORMAT": "JSON"})
    assert (read.secret_key_fallbacks, read.log_format) == (keys[1:], "json")
    assert set(read.secrets) == {REAL["GSM_FUSION_API_KEY"], *keys}
    assert not [secret for secret in (*read.secrets, read.username) if secret in repr(read)]


def test_of_the_databases_address_only_the_passwords_are_secrets() -> None:
    """The rest of it, such as its host, is in the log where clients and servers have addresses of the same network."""
    url = "postgresql://hammer:p%40ss-of-db-9@10.20.30.4:5432/hammer?sslmode=verify-full&sslpassword=pass-of-key"
    read = load_settings({**REAL, "DATABASE_URL": url})
    assert set(read.secrets) == {REAL["GSM_FUSION_API_KEY"], "p%40ss-of-db-9", "p@ss-of-db-9", "pass-of-key"}
    assert "db-9" not in repr(read)
    assert load_settings({"DATABASE_URL": "postgresql:///hammer?host=/run"}).secrets == ()
    assert load_settings({"DATABASE_URL": "postgresql://hammer:hammer@host/hammer"}).secrets == (":hammer@",)
    assert load_settings({"DATABASE_URL": "postgresql://hammer@host:5432/hammer"}).secrets == ()
    for password in ("slash/in-it", "hash#in-it", "mark?in-it"):
        assert password in load_settings({"DATABASE_URL": f"postgresql://hammer:{password}@host/hammer"}).secrets
    assert "at@in-it@" in "@".join([*load_settings({"DATABASE_URL": "postgres://u:at@in-it@host/h"}).secrets, ""])


def test_plain_http_is_for_loopback_only_and_a_bare_host_means_https() -> None:
    for url in ("http://127.0.0.1:9/", "http://localhost:9"):
        assert load_settings({"GSM_FUSION_BASE_URL": url}).base_url == url.rstrip("/")
    assert load_settings({"GSM_FUSION_BASE_URL": "example.com"}).base_url == "https://example.com"


@pytest.mark.parametrize(
    "password",
    ["correct horse battery", "hunter2hunter2", "Xk3-9vQ-tr77", "blaue Kühe tanzen", "passwords are fun, mostly"],
)
def test_a_long_and_uncommon_password_is_taken(password: str) -> None:
    assert load_settings({"ADMIN_PASSWORD": password}).admin_password == password


def test_hosts_come_from_the_variable_and_from_the_platform() -> None:
    railway = {"RAILWAY_PUBLIC_DOMAIN": "Hammer.up.railway.app", "RAILWAY_PRIVATE_DOMAIN": "hammer.railway.internal"}
    settings = load_settings(railway | {"TRUSTED_HOSTS": "phones.example.com, .example.org"})
    assert settings.trusted_hosts == (
        "phones.example.com",
        ".example.org",
        "hammer.up.railway.app",
        "hammer.railway.internal",
    )
    assert settings.public_url == "https://phones.example.com"
    assert load_settings(railway).public_url == "https://hammer.up.railway.app"
    assert load_settings({"TRUSTED_HOSTS": ".example.org a.railway.internal"}).public_url == ""
    assert load_settings({}).trusted_hosts == ()


def test_addresses_for_messages_may_hold_commas_and_are_never_shown() -> None:
    urls = ("mailtos://user:hunter2@example.com?to=a@b.c,d@e.f", "tgram://12345:AbC/chat", "json://example.com")
    assert load_settings({}).notify_urls == ()
    for text in (f"{urls[0]}, {urls[1]},{urls[2]}", " ".join(urls), "\n".join(urls) + ",\n"):
        settings = load_settings({"NOTIFY_URLS": text})
        assert settings.notify_urls == urls
        assert "hunter2" not in repr(settings)
    with pytest.raises(SettingsError, match="address 2") as caught:
        load_settings({"NOTIFY_URLS": f"{urls[1]} tgram://hunter2 hunter2"})
    assert "hunter2" not in str(caught.value)


def test_trusted_proxies_are_addresses_and_networks() -> None:
    found = load_settings({"TRUSTED_PROXY": "127.0.0.1 10.1.2.3/8,fd00::/8"}).trusted_proxies
    assert [str(network) for network in found] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]


def test_a_budget_may_carry_its_currency_and_zero_is_a_budget() -> None:
    assert load_settings({"DAILY_BUDGET": "$250.50"}).daily_budget == 250.5
    assert load_settings({"DAILY_BUDGET": "0"}).daily_budget == 0.0


def test_the_shortest_times_are_taken_and_one_that_is_too_short_names_the_range() -> None:
    settings = load_settings({"SETTLE_QUIET": "30", "GSM_FUSION_TIMEOUT": "60"})
    assert (settings.settle_quiet, settings.call_timeout) == (30.0, 60.0)
    with pytest.raises(SettingsError, match="between 30 and 3600"):
        load_settings({"SETTLE_QUIET": "1"})


def test_what_is_sent_again_unasked_is_limited_and_order_keys_are_off_by_default() -> None:
    assert (load_settings({}).resend_limit, load_settings({}).send_order_key) == (5.0, False)
    chosen = load_settings({"RESEND_LIMIT": "$0", "SEND_ORDER_KEY": "1"})
    assert (chosen.resend_limit, chosen.send_order_key) == (0.0, True)


def test_the_data_directory_is_made_and_holds_the_database(tmp_path: Path) -> None:
    settings = load_settings({"DATA_DIR": str(tmp_path / "a" / "b")})
    assert settings.data_dir.is_dir()
    assert settings.database_path == settings.data_dir / "imei_orders.db"


def test_a_data_directory_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="DATA_DIR"):
        load_settings({"DATA_DIR": str(tmp_path / "file" / "data")})


def test_railway_without_a_volume_is_a_volatile_disk(tmp_path: Path) -> None:
    railway = {"RAILWAY_ENVIRONMENT": "production"}
    volume = {"RAILWAY_VOLUME_MOUNT_PATH": str(tmp_path / "volume")}
    assert load_settings(railway | {"DATA_DIR": str(tmp_path)}).volatile_disk
    assert load_settings(railway | volume | {"DATA_DIR": str(tmp_path / "elsewhere")}).volatile_disk
    with_volume = load_settings(railway | volume)
    assert not with_volume.volatile_disk
    assert with_volume.data_dir == tmp_path / "volume" / "demo"
    assert not load_settings({"DATA_DIR": str(tmp_path)}).volatile_disk


def test_a_database_on_a_server_needs_no_volume(tmp_path: Path) -> None:
    """A volume allows one replica only, and the records of orders are not on the disk."""
    railway = {"RAILWAY_ENVIRONMENT": "production", "DATA_DIR": str(tmp_path)}
    assert not load_settings(railway | {"DATABASE_URL": "postgresql://hammer:secret@host/hammer"}).volatile_disk


def variables() -> set[str]:
    """Return the names of all variables that the program reads."""
    sources = [(ROOT / name).read_text(encoding="utf-8") for name in ("settings.py", "gunicorn.conf.py")]
    return set(re.findall(r'"([A-Z][A-Z_]{3,})"', "".join(sources))) - set(LOG_LEVELS)


def test_the_example_file_names_every_variable_no_other_and_is_itself_a_valid_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = {name: value or "" for name, value in dotenv_values(ROOT / ".env.example").items()}
    of_the_platform = {name for name in variables() if name.startswith("RAILWAY_")}
    assert variables() - of_the_platform == example.keys()
    assert load_settings(example).demo


def test_the_readme_names_only_variables_that_are_read_and_each_one_of_the_platform() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme.split("## Settings", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
    in_rows = {name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)}
    assert len(in_rows) > 20
    assert in_rows <= variables()
    of_the_platform = {name for name in variables() if name.startswith("RAILWAY_")}
    assert of_the_platform <= set(re.findall(r"`(RAILWAY_\w+)`", readme))


def test_each_variable_of_the_example_file_is_explained() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    for before, line in pairwise(lines):
        if re.match(r"[A-Z_]+=", line) and not line.startswith("GSM_FUSION_USERNAME"):
            assert before.startswith("# "), line


def with_accounts(*accounts: object) -> dict[str, str]:
    return {**REAL, "GSM_FUSION_ACCOUNTS": json.dumps(accounts)}


SECOND = {"name": "b", "username": "second", "api_key": "KEY-OF-B"}


def test_more_accounts_have_their_own_limits_and_the_main_one_comes_first() -> None:
    limits = {"base_url": "https://mirror.example/", "rate_limit": 60, "daily_budget": 500, "workers": 4}
    settings = load_settings(with_accounts({**SECOND, **limits}, {**SECOND, "name": "c", "username": "third"}))
    assert [account.name for account in settings.accounts] == ["main", "b", "c"]
    second, third = settings.more_accounts
    assert (second.base_url, second.rate_limit, second.daily_budget) == ("https://mirror.example", 60, 500.0)
    assert (third.base_url, third.rate_limit, third.daily_budget, third.workers) == (settings.base_url, None, None, 30)
    assert "KEY-OF-B" in settings.secrets and "KEY-OF-B" not in repr(settings)


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ([{**SECOND, "name": "main"}], "two accounts named 'main'"),
        ([SECOND, {**SECOND, "username": "other"}], "two accounts named 'b'"),
        ([SECOND, {**SECOND, "name": "c"}], "'c' has the user name of another one"),
        ([{**SECOND, "name": "B 2"}], "account 1: name must be"),
        ([{"name": "b", "username": "second"}], "api_key must be a text"),
        ([{**SECOND, "rate_limit": 0.5}], "rate_limit must be a whole number"),
        ([{**SECOND, "workers": True}], "workers must be a whole number"),
        ([{**SECOND, "daily_budget": float("nan")}], "daily_budget must be a number"),
        ([{**SECOND, "base_url": "http://example.com"}], "account 1: base_url is http://example.com"),
        ([{**SECOND, "budget": 5}], "unknown field 'budget'"),
        (["b"], "must be a JSON list of objects"),
    ],
)
def test_a_wrong_account_is_named_without_its_key(accounts: list[object], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)) as raised:
        load_settings(with_accounts(*accounts))
    assert "KEY-OF-B" not in str(raised.value)


def test_accounts_that_are_no_json_or_have_no_main_account_are_refused() -> None:
    with pytest.raises(SettingsError, match="no JSON: there is an error at line 1, column 1") as raised:
        load_settings({**REAL, "GSM_FUSION_ACCOUNTS": "KEY-OF-B"})
    assert "KEY-OF-B" not in str(raised.value)
    with pytest.raises(SettingsError, match="GSM_FUSION_ACCOUNTS is set without GSM_FUSION_API_KEY"):
        load_settings({"GSM_FUSION_ACCOUNTS": json.dumps([SECOND])})
