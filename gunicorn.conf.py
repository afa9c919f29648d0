"""How gunicorn serves web_app:app, on a desk and in production; `gunicorn web_app:app` reads it by itself.

The first process checks the settings and, in the demo, starts the provider. Each worker stands for election as the
leader. When the server is asked to stop, event streams end and nothing more is sent to the provider.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from dotenv import load_dotenv

from logs import ACCESS_FORMAT, log_uncaught, server_logging
from runner import start_background, use_one_heap
from settings import LOOPBACK, PRIVATE, Settings, SettingsError, load_settings
from simulator import DemoError, ensure_running
from web_worker import RequestCounts

#: Seconds that calls on the wire get to end before a worker leaves; less than graceful_timeout.
RUNNER_GRACE = 20.0
#: Seconds after which a busy thread gives Python's lock to a waiting one. At 5 ms a page with ten queries waits ten
#: times for each large form that is read; /health beside four forms: 90th percentile 188 ms, with 0.5 ms 74 ms.
SWITCH_AFTER = 0.0005


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings, or end the program with a sentence that says what to correct."""
    try:
        return load_settings(environ)
    except SettingsError as error:
        sys.exit(f"HAMMER-API cannot start. {error}")


def whole_number(environ: Mapping[str, str], name: str, default: int) -> int:
    """Return a count that only the server needs, or end the program with a sentence about it."""
    text = environ.get(name, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 64:
        sys.exit(f"HAMMER-API cannot start. {name} is {text!r}: it must be a whole number from 1 to 64.")
    return int(text)


def bind_address(settings: Settings) -> str:
    """Return loopback for the demo and for a desk; every interface where a proxy on another machine ends TLS."""
    public = has_distant_proxy(settings) and (settings.on_railway or not settings.demo)
    return f"{'0.0.0.0' if public else '127.0.0.1'}:{settings.port}"  # noqa: S104


def has_distant_proxy(settings: Settings) -> bool:
    """Whether a proxy outside this machine, Railway's or a trusted one, stands before the app."""
    return settings.on_railway or any(not network.is_loopback for network in settings.trusted_proxies)


def refuse_plain_http(settings: Settings, addresses: Iterable[Any]) -> None:
    """End the program when an address on the command line would carry the password over a network in plain text."""
    public = [a for a in addresses if isinstance(a, tuple) and not LOOPBACK.match(str(a[0]))]
    if public and not settings.demo and not has_distant_proxy(settings):
        sys.exit(
            f"HAMMER-API cannot start. It would listen on {public[0][0]} in plain http with real credentials: listen on"
            " 127.0.0.1, or set TRUSTED_PROXY to the address of the proxy that ends TLS."
        )


load_dotenv(Path(__file__).with_name(".env"))
os.umask(PRIVATE)
app_settings = read_settings(os.environ)

bind = bind_address(app_settings)
worker_class = "web_worker.Worker"
workers = whole_number(os.environ, "WEB_CONCURRENCY", 2)
threads = 16  # for pages; web_worker.py has others for streams, large bodies and /health
worker_connections = 500  # of each worker, below the usual limit of 1,024 open files; beyond it the oldest is closed
sendfile = False  # it would not keep the worker's time limit for an answer
timeout = 120
graceful_timeout = 25
keepalive = 75  # longer than the platform's proxy keeps an idle connection, which costs no thread here
control_socket_disable = True
forwarded_allow_ips = ""  # web/edge.py decides which headers of a proxy count
logconfig_dict = server_logging(app_settings)
access_log_format = ACCESS_FORMAT
request_counts = RequestCounts()


def on_starting(server: Any) -> None:
    """Before workers start: choose how they use memory, and in the demo start the provider that they will use."""
    refuse_plain_http(app_settings, server.cfg.address)
    log_uncaught()
    use_one_heap()
    if app_settings.demo:
        try:
            server.demo_provider = ensure_running(app_settings.data_dir)
        except DemoError as error:
            sys.exit(f"HAMMER-API cannot start. {error}")


def when_ready(server: Any) -> None:
    """Print the address of the page."""
    address = str(server.LISTENERS[0]).replace("//0.0.0.0", "//127.0.0.1")
    mode = "Demo, nothing is charged. " if app_settings.demo else ""
    sys.stdout.write(f"\n  {mode}Open {address}\n\n")
    sys.stdout.flush()


def post_worker_init(worker: Any) -> None:
    """Stand for election as the leader, and learn at once when the server is asked to stop."""
    sys.setswitchinterval(SWITCH_AFTER)
    app = worker.app.wsgi()
    request_counts.use_row(worker.age)
    app.extensions["request_counts"] = request_counts.totals
    background = start_background(app_settings, app.extensions["database"])
    worker.background = background
    worker.stopping = (app.extensions["stopping"], background.stopping)
    _stop_at(signal.SIGTERM, worker.stopping)


def post_request(_worker: Any, _req: Any, _environ: Any, resp: Any) -> None:
    """Count the request."""
    request_counts.add(resp.status_code)


def worker_int(worker: Any) -> None:
    """Ctrl-C or SIGQUIT: end streams and send nothing more."""
    for event in getattr(worker, "stopping", ()):
        event.set()


def worker_exit(_server: Any, worker: Any) -> None:
    """Wait for the calls that are on the wire. Called in the first process too, where there is nothing to stop."""
    background = getattr(worker, "background", None)
    if background is not None:
        background.stop(RUNNER_GRACE)


def on_exit(server: Any) -> None:
    """End the demo's provider after the last worker."""
    provider = getattr(server, "demo_provider", None)
    if provider is not None:
        provider.close()


def _stop_at(number: signal.Signals, events: tuple[threading.Event, ...]) -> None:
    """Set the events when the signal comes, then do what gunicorn does."""
    gunicorns = signal.getsignal(number)

    def stop(received: int, frame: FrameType | None) -> None:
        for event in events:
            event.set()
        if callable(gunicorns):
            gunicorns(received, frame)

    signal.signal(number, stop)
