"""Redirects after a form."""

from flask import Flask, get_flashed_messages

from web.redirects import go_to, refuse


def app_with_a_page() -> Flask:
    app = Flask(__name__)
    app.secret_key = "for messages"
    app.add_url_rule("/pages/<int:number>", "page", lambda number: "")
    return app


def test_a_form_is_followed_by_a_get() -> None:
    with app_with_a_page().test_request_context():
        answer = go_to("page", number=7, _anchor="end")
    assert (answer.status_code, answer.location) == (303, "/pages/7#end")


def test_a_refusal_shows_its_reason_on_the_page() -> None:
    with app_with_a_page().test_request_context():
        answer = refuse("Nothing was sent.", "page", number=7)
        assert get_flashed_messages(with_categories=True) == [("error", "Nothing was sent.")]
    assert (answer.status_code, answer.location) == (303, "/pages/7")
