"""Secrets in text: whole, encoded, in parts, in another case; and what must stay readable."""

import json
from base64 import b64encode, urlsafe_b64encode
from html import escape
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logs import Redactor, redactor_for
from settings import ProviderAccount, Settings

KEY, USER = 'Planted+Key/7f3a"&99-Üx', "planted.user@example.com"
REDACTOR = Redactor([KEY], [USER])


def pieces(text: str) -> list[str]:
    """Return every run of 8 characters of a text."""
    return [text[at : at + 8].lower() for at in range(len(text) - 7)]


@pytest.mark.parametrize(
    "form",
    [
        KEY,
        KEY.upper(),
        KEY.lower(),
        quote(KEY, safe=""),
        quote(KEY, safe="").lower(),
        quote_plus(KEY),
        escape(KEY),
        json.dumps(KEY),
        repr(KEY),
        KEY.encode().hex(),
        KEY.encode().hex().upper(),
        KEY[: len(KEY) // 2],
        KEY[len(KEY) // 2 :],
        f"{KEY[:9]}\n{KEY[9:]}",
        *(b64encode(b"x" * before + KEY.encode() + b"yz").decode() for before in range(3)),
        urlsafe_b64encode(KEY.encode()).decode(),
        b64encode(KEY.lower().encode()).decode(),
    ],
)
def test_no_form_of_a_secret_is_left(form: str) -> None:
    cleaned = REDACTOR.clean(f"the call failed: <{form}> at 10:00").lower()
    assert "[hidden]" in cleaned
    assert [piece for piece in pieces(form) if piece in cleaned and piece in form.lower() and "\n" not in piece] == []
    assert cleaned.startswith("the call failed: <")
    assert cleaned.endswith("> at 10:00")


@given(st.text(max_size=40), st.text(max_size=40), st.integers(0, len(KEY) - 8))
def test_a_part_of_eight_characters_is_hidden_wherever_it_is(before: str, after: str, at: int) -> None:
    assert KEY[at : at + 8].lower() not in REDACTOR.clean(before + KEY[at : at + 8] + after).lower()


def test_a_user_name_is_hidden_as_a_whole_word_and_its_parts_stay() -> None:
    assert REDACTOR.clean(f"Invalid User! {USER.upper()} or planted.user%40example.com") == (
        "Invalid User! [hidden] or [hidden]"
    )
    text = "mail to other@example.com"
    assert REDACTOR.clean(text) == text
    assert Redactor([], ["anna"]).clean("annatto, anna.") == "annatto, [hidden]."


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("hmr_4fJ8s2-kQ_zz81 was refused", "hmr_[hidden] was refused"),
        ("secret=whsec_MfKQ9r8GKYqrTwjU+PD8ILPZIo2LaLaSw==", "secret=whsec_[hidden]"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer [hidden]"),
        ("Cookie: hammer_session=eyJfZnJl.abc; a=b", "Cookie: hammer_session=[hidden]; a=b"),
        ("Cookie: __Host-hammer=eyJfZnJl", "Cookie: __Host-hammer=[hidden]"),
    ],
)
def test_tokens_that_this_process_does_not_know_are_found_by_their_prefix(text: str, left: str) -> None:
    assert Redactor().clean(text) == left


def test_an_address_with_a_secret_hides_no_other_address() -> None:
    redactor = Redactor(["slack://TokenA1234/TokenB5678/channel"])
    assert "Token" not in redactor.clean("failed: slack://TokenA1234/TokenB5678/channel")
    assert redactor.clean("see https://example.com/path") == "see https://example.com/path"


def test_an_answer_loses_whole_keys_and_never_a_number() -> None:
    redactor = Redactor([KEY], [USER])
    answer = f"<error>{escape(KEY)} {quote(KEY).lower()} planted</error>".encode()
    assert redactor.clean_answer(answer) == b"<error>[hidden] [hidden] planted</error>"
    key = "Key-of-Anna-15000001-353370080089458"
    assert Redactor([key]).clean_answer(b"<id>15000001</id><imei>353370080089458</imei>") == (
        b"<id>15000001</id><imei>353370080089458</imei>"
    )
    assert Redactor([key]).clean_answer(f"<error>{key[:11]}</error>".encode()) == b"<error>[hidden]</error>"
    for key in ("15000001", "353370080089458353", "apple"):
        raw = f"<id>{key}</id><imei>353370080089458353</imei><r>Apple</r>".encode()
        assert Redactor([key]).clean_answer(raw) is raw


def test_without_secrets_text_stays_as_it_is() -> None:
    text = "Batch 12 finished: 2,998 ordered; $239.84 spent, 15000001 İstanbul"
    assert Redactor().clean(text) == text
    assert REDACTOR.clean(text) == text


def test_keys_and_user_names_of_all_accounts_are_hidden() -> None:
    second = ProviderAccount("KEY-OF-ACCOUNT-B", "second-user", name="b")
    redactor = redactor_for(Settings("KEY-OF-MAIN-ONE", "first-user", more_accounts=(second,)))
    text = redactor.clean("KEY-OF-ACCOUNT-B second-user KEY-OF-MAIN-ONE first-user account b")
    assert not any(word in text for word in ("KEY-OF", "second-user", "first-user"))
    assert "account b" in text
