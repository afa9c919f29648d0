"""The web application: `create_app()` for tests and tools, `app` for gunicorn, `python3 web_app.py` for development.

Importing this starts no thread: gunicorn.conf.py starts those of runner.py in each worker, and main() does so here.
"""

import argparse
import logging
import os
import sys
import threading
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import load_dotenv
from flask import Flask, Response, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_compress import Compress
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from account import ProviderRequests
from api import answer_to, init_api, problem_answer
from backend import Backend, backend
from commands import init_commands, move_to_postgres, restore, works_on_the_file
from database import DatabaseReplacedError, DatabaseUnavailableError, IMEIDatabase, UnusableDatabaseError
from logs import begin_request, log_command, log_server
from runner import start_background
from settings import PRIVATE, VERSION, Settings, SettingsError, load_settings
from submission import Checkpoints, account_objection, recognise_older_copy
from web import (
    BLUEPRINTS,
    FOR_PROGRAMS,
    FOR_TOKENS,
    SYNONYMS,
    Edge,
    RowNumbers,
    init_auth,
    init_forms,
    init_recording,
    service_choices,
    status_report,
    template_filters,
)

logger = logging.getLogger(__name__)

#: Content types that are sent as gzip. Event streams and downloads are not compressed.
COMPRESSED = ["text/html", "text/css", "text/javascript", "application/json", "image/svg+xml"]

TITLES = {
    400: "Request not understood",
    403: "Not allowed",
    404: "Page not found",
    405: "Page not available",
    411: "Length required",
    413: "Upload too large",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Not available now",
}
SENTENCES = {
    400: "The request is incomplete or not valid. Go back and try again.",
    403: "You are not allowed to do this.",
    404: "This page does not exist. Check the address, or go to the dashboard.",
    405: "This address does not accept this kind of request. Go back and use the links and buttons of the page.",
    411: "The request does not state its length. Send it with a Content-Length header.",
    413: "You can send at most 25 MB of files and 8 MB of text at once. Split the file, or keep only the IMEI column.",
    500: "The app failed; the log has the details. Orders already sent are safe. Check the batch before you try again.",
    503: "The app cannot do this now. Try again in a minute.",
}


def create_app(
    settings: Settings | None = None,
    database: IMEIDatabase | None = None,
    requests: ProviderRequests | None = None,
) -> Flask:
    """Return the application. Without arguments it reads the environment and opens its database.

    requests asks the provider; without it, the leader does.
    Raises SettingsError for an invalid environment.
    """
    settings = settings or load_settings()
    database = database or IMEIDatabase(settings.database_place, settings.data_dir)
    words = account_objection(database, settings)
    if words:
        logger.error(words)
    recognise_older_copy(database, Checkpoints(settings.data_dir / "checkpoints"))
    app = Flask(__name__)
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    app.jinja_env.filters.update(template_filters())
    stopping = threading.Event()
    requests = requests or ProviderRequests(database, stopping=stopping)
    app.extensions.update(
        settings=settings,
        database=database,
        stopping=stopping,
        backend=Backend(settings, database, requests, stopping),
    )
    app.url_map.converters["int"] = RowNumbers
    app.before_request(_name_request)
    app.config.update(COMPRESS_MIMETYPES=COMPRESSED, COMPRESS_ALGORITHM=["gzip"], COMPRESS_ALGORITHM_STREAMING=["gzip"])
    Compress(app)  # before all that add headers: the first that is registered runs last
    init_forms(app)
    init_auth(app, settings, database)
    init_recording(app, database)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    init_api(app)
    app.context_processor(_page_context)
    app.after_request(_carry_request_id)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _broken)
    init_commands(app)
    app.wsgi_app = Edge(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app


def main() -> None:
    """Serve on this machine only, with the runner in this process; `--version` prints the version and ends."""
    parser = argparse.ArgumentParser(description="Serve HAMMER-API on this machine.")
    parser.add_argument("--version", action="version", version=f"HAMMER-API {VERSION}")
    parser.parse_args()
    settings = _environment()
    log_server(settings)
    app = create_app(settings)
    background = start_background(settings, app.extensions["database"])
    try:
        app.run("127.0.0.1", settings.port, threaded=True)
    finally:
        app.extensions["stopping"].set()
        background.stop()


def __getattr__(name: str) -> Flask:
    """Create `web_app.app` on first access: importing create_app reads neither the database nor .env."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    settings = _environment()
    log_command(settings)  # a server logs already
    if works_on_the_file(sys.argv):
        return _app_without_database(settings)
    try:
        app = globals()["app"] = create_app(settings)
    except UnusableDatabaseError as error:
        sys.exit(f"HAMMER-API cannot start. {error}")
    except DatabaseUnavailableError as error:
        sys.exit(f"HAMMER-API cannot start. {error.sentence} ({error.orig})")
    return app


def _app_without_database(settings: Settings) -> Flask:
    """Return an app for the commands only that open the database themselves."""
    app = Flask(__name__)
    app.extensions["settings"] = settings
    app.cli.add_command(restore)
    app.cli.add_command(move_to_postgres)
    return app


def _environment() -> Settings:
    """Return the settings in .env and the environment, or end the program with the sentence that mends them."""
    load_dotenv(Path(__file__).with_name(".env"))
    os.umask(PRIVATE)
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(f"HAMMER-API cannot start. {error}")


def _name_request() -> None:
    g.request_id = uuid.uuid4().hex[:12]
    begin_request(g.request_id)


def _carry_request_id(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "")
    return response


def _page_context() -> dict[str, object]:
    return {"status_bar": lambda: status_report(backend()), "service_choices": service_choices, "synonyms": SYNONYMS}


def _refused(error: HTTPException) -> ResponseReturnValue:
    """Return the error page of an HTTP error."""
    code = error.code or 500
    own_words = isinstance(error.description, str) and error.description != type(error).description
    sentence = error.description if own_words else SENTENCES.get(code, error.description)
    if isinstance(error, RequestEntityTooLarge):
        sentence = SENTENCES[413]
    if error.response is not None or 300 <= code < 400:
        return error.get_response()
    if request.path.startswith(FOR_TOKENS):
        return answer_to(error, str(sentence) if own_words else "")
    page, status = _error_page(code, str(sentence))
    challenge = [header for header in error.get_headers() if header[0] == "WWW-Authenticate"]
    return page, status, challenge


def _broken(error: Exception) -> ResponseReturnValue:
    """Return the error page of an unexpected exception. The traceback goes only to the log."""
    logger.error("Request %s for %s failed", g.get("request_id"), request.path, exc_info=error)
    if isinstance(error, DatabaseReplacedError):
        return _error_page(503, f"The database cannot be used now: {error.orig}.")
    if isinstance(error, DatabaseUnavailableError):
        return _error_page(503, f"{error.sentence} Nothing was changed. Try again in a minute.")
    return _error_page(500, SENTENCES[500])


def _error_page(code: int, sentence: str) -> tuple[Response | str, int]:
    request_id = g.get("request_id", "")
    if request.path.startswith(FOR_TOKENS):
        return problem_answer(code, sentence), code
    if request.path.endswith(FOR_PROGRAMS):
        return jsonify(error=sentence, request_id=request_id), code
    page = {"code": code, "title": TITLES.get(code, "Request failed"), "sentence": sentence}
    if request.referrer and urlsplit(request.referrer).netloc == request.host:  # parsable: Edge drops other referrers
        page["back"] = request.referrer
    if code >= 500:
        page["bare"] = True  # the page must not need the database
    return render_template("error.html", request_id=request_id, **page), code


if __name__ == "__main__":
    main()
