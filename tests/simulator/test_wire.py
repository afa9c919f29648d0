"""Requests that the simulator's server reads, and those that it refuses."""

import pytest

from simulator.wire import MAX_BODY, MAX_HEAD, BadRequest, HttpRequest, form_fields, read_request

POST = (
    b"POST /api HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello"
)
GET = b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_request_is_read_when_all_of_it_is_there_and_the_next_one_stays() -> None:
    for length in range(len(POST)):
        assert read_request(bytearray(POST[:length])) is None
    assert read_request(bytearray(POST + GET)) == (
        HttpRequest("POST", "/api", "text/plain", b"hello", close=True),
        len(POST),
    )
    assert read_request(bytearray(GET)) == (HttpRequest("GET", "/whoami", "", b"", close=False), len(GET))


@pytest.mark.parametrize(
    "head",
    [
        b"GET /\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY + 1),
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * MAX_HEAD,
    ],
    ids=["no version", "chunked", "too large", "too long a head"],
)
def test_what_the_server_cannot_read_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest):
        read_request(bytearray(head))


def test_both_encodings_of_a_form_have_the_same_fields() -> None:
    multipart = b'--b\r\nContent-Disposition: form-data; name="imei"\r\n\r\n35,36\r\n--b\r\n'
    multipart += b'Content-Disposition: form-data; name="note"\r\n\r\n\r\n--b--\r\n'
    fields = {"imei": "35,36", "note": ""}
    assert form_fields("application/x-www-form-urlencoded", b"imei=35%2C36&note=") == fields
    assert form_fields('multipart/form-data; boundary="b"', multipart) == fields
