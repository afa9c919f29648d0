"""Addresses of webhooks: https on the public internet, whatever form an address is written in."""

from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import pytest

from notices.addresses import AddressRefusedError, Resolve, find_endpoint, is_public, read_url

PUBLIC = ["93.184.215.14", "2606:2800:21f:cb07::1"]
ALLOWED = (ip_network("10.1.0.0/16"), ip_network("::1"))


def answering(*addresses: str) -> Resolve:
    """A name server that knows these addresses of every host."""
    return lambda host, port: addresses


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *("172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "224.0.0.1"),
        *("239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "100::1"),
        *("64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2001::7f00:1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::"),
        *("3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
    ],
)
def test_an_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    for also in ([], PUBLIC):
        with pytest.raises(AddressRefusedError, match="not public"):
            find_endpoint("https://example.com/", (), answering(*also, address))


def test_each_address_of_a_host_is_kept_as_it_was_checked() -> None:
    asked: list[tuple[str, int]] = []

    def resolve(host: str, port: int) -> Sequence[str]:
        asked.append((host, port))
        return PUBLIC

    found = find_endpoint("https://Example.com:8443/a/b?c=d", (), resolve)
    assert (found.is_tls, found.host, found.port, found.path) == (True, "example.com", 8443, "/a/b?c=d")
    assert found.addresses == tuple(PUBLIC)
    assert asked == [("example.com", 8443)]


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com", "ftp://example.com/", "file:///etc/passwd", "javascript:alert(1)"),
        *("https://user:secret@example.com/", "https://example.com@127.0.0.1/", "https://@example.com/"),
        *("https://example.com/#part", "https:///path", "https://exa mple.com/", "https://example.com\\@evil.com/"),
        *("https://example.com/\r\nX: y", "https://exämple.com/", "https://example.com/ä", "https://-a.com/"),
        *("https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/", "https://127.1/", "https://0x7f.1/"),
        *("https://127.0.0.01/", "https://1.2.3.4.5/", "https://a.0x10/", "https://1.2.3.4./", "https://[::1/"),
        *("https://[::1%25lo]/", "https://example.com:0/", "https://example.com:65536/", "https://example.com:a/"),
        *("https://exa_mple..com/", "https://" + "a" * 64 + ".com/", "https://example.com/" + "a" * 2000),
    ],
)
def test_a_url_that_programs_read_differently_is_refused_before_it_is_looked_up(url: str) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        assert "%" in host
        return ["fe80::1"]

    with pytest.raises(AddressRefusedError):
        find_endpoint(url, (), resolve)


@pytest.mark.parametrize(
    ("url", "host"), [("https://[2606:2800::1]/", "2606:2800::1"), ("https://8.8.8.8/", "8.8.8.8")]
)
def test_an_address_in_its_usual_form_is_a_host(url: str, host: str) -> None:
    assert read_url(url).host == host


@pytest.mark.parametrize("url", ["http://example.com/", "https://example.com:22/", "https://example.com:25/"])
def test_only_https_and_ports_of_web_servers_are_public(url: str) -> None:
    with pytest.raises(AddressRefusedError, match=r"https://|443"):
        find_endpoint(url, ALLOWED, answering(*PUBLIC))


def test_what_the_setting_allows_may_be_private_and_without_tls() -> None:
    for url, address in (("http://a.lan/x", "10.1.2.3"), ("https://a.lan:25/", "10.1.2.3"), ("http://six/", "::1")):
        assert find_endpoint(url, ALLOWED, answering(address)).addresses == (address,)
    for addresses in (["10.2.0.1"], ["10.1.2.3", "10.2.0.1"], ["::ffff:10.1.2.3"], ["10.1.2.3", PUBLIC[0]]):
        with pytest.raises(AddressRefusedError):
            find_endpoint("http://a.lan/x", ALLOWED, answering(*addresses))


@pytest.mark.parametrize("answer", [OSError("no such name"), [], ["not an address"]])
def test_a_host_without_an_address_is_refused(answer: OSError | list[str]) -> None:
    def resolve(host: str, port: int) -> Sequence[str]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    with pytest.raises(AddressRefusedError, match=r"example\.com"):
        find_endpoint("https://example.com/", (), resolve)
