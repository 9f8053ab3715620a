"""How a URL is taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.outbound.links import ForbiddenError, Link, hosts_of


@pytest.mark.parametrize(
    "target",
    [
        "/a%2Fb%2fc.mp3?Expires=1777019942&OSSAccessKeyId=a%2Bb&Signature=%3d%3D",
        "/a/./b/../c//d?",
        "/x?a=1&&b",
        "/x;y=1,2'()*!$?q=[{|}^`\"<>\\]",
        "/%zz%",
        "/?@:/",
    ],
)
def test_path_and_query_stay_byte_for_byte(target: str) -> None:
    assert Link.parse(f"https://CDN.example{target}").target == target.encode()
    assert Link.parse(f"https://cdn.example{target}#part").target == target.encode()


def test_what_cannot_go_on_the_wire_is_escaped() -> None:
    assert Link.parse("https://cdn.example/ü b").target == b"/%C3%BC%20b"


def test_a_link_without_a_path_asks_for_the_root() -> None:
    assert Link.parse("https://cdn.example").target == b"/"
    assert Link.parse("https://cdn.example?x=1").target == b"/?x=1"


def test_host_and_port_are_those_that_are_called() -> None:
    link = Link.parse("https://CDN.Example.:8443/x")
    assert (link.host, link.port, link.secure) == ("cdn.example", 8443, True)
    assert Link.parse("http://[::1]/x").host == "::1"
    assert Link.parse("http://bücher.example/").host == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cdn.example/x",
        "//cdn.example/x",
        "ftp://cdn.example/x",
        "file:///etc/passwd",
        "https:cdn.example",
        "https:///x",
        "https://",
        "https://user@cdn.example/",
        "https://user:password@cdn.example/",
        "https://@cdn.example/",
        "https://good.example\\@evil.example/",
        "https://cdn.example:0/",
        "https://cdn.example:65536/",
        "https://cdn.example:x/",
        "https://cdn.example:-1/",
        "https://1.2.3.4.5.999.1/\x00",
        "https://300.1.1.1/",
        "https://[::1/",
        "https://cdn.example/\r\nHost: evil",
        "https://" + "a" * 300 + "/",
        "https://xn--\x80/",
        "data:audio/mpeg;base64,AAAA",
    ],
)
def test_what_is_no_plain_web_link_is_refused(text: str) -> None:
    with pytest.raises(ForbiddenError):
        Link.parse(text)


@given(st.one_of(st.text(), st.text().map(lambda rest: f"https://{rest}"), st.text().map(lambda h: f"http://{h}/?q")))
def test_any_text_is_a_link_or_is_refused(text: str) -> None:
    try:
        target = Link.parse(text).target
    except ForbiddenError:
        target = b""
    assert all(0x21 <= byte <= 0x7E for byte in target)


def test_a_refusal_never_shows_the_query() -> None:
    with pytest.raises(ForbiddenError) as caught:
        Link.parse("https://user@cdn.example/x?Signature=secret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("https://other.example/a%2fb?x=%2B", "https://other.example/a%2fb?x=%2B"),
        ("HTTPS://other.example/", "HTTPS://other.example/"),
        ("/elsewhere?x=1", "https://cdn.example/elsewhere?x=1"),
        ("sibling", "https://cdn.example/a/sibling"),
        ("//other.example/x", "https://other.example/x"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
    ],
)
def test_a_redirect_leads_where_it_says(location: str, leads_to: str) -> None:
    assert Link.parse("https://cdn.example/a/b?c=d").next(location) == leads_to


def test_a_redirect_to_nonsense_is_refused() -> None:
    with pytest.raises(ForbiddenError):
        Link.parse("https://cdn.example/").next("//[::1")


def test_the_hosts_of_configured_urls_are_taken_or_refused_by_name() -> None:
    urls = ["https://api.runware.ai/v1", "http://127.0.0.1:9090/aimlapi"]
    assert hosts_of(urls) == {"api.runware.ai", "127.0.0.1"}
    with pytest.raises(ValueError, match="cannot be called"):
        hosts_of(["api.runware.ai"])


@pytest.mark.parametrize(
    "text",
    [
        "https://api.example/v2/generate/audio?generation_id=a%3ab",
        "https://api.example:8443/v2/a/../x?",
        "http://127.0.0.1:81?a=b?c=@d/e",
        "https://api.example/a?b c",
        "https://api.example/a?ü",
        "https://api.example/a?b#c",
        "https://API.example./a?b=%zz",
    ],
)
def test_a_url_of_an_api_is_read_like_any_other_and_again_faster(text: str) -> None:
    for _ in range(2):
        link, again = Link.parse(text), Link.again(text)
        assert (again.host, again.port, again.secure, again.target) == (
            link.host,
            link.port,
            link.secure,
            link.target,
        )


@pytest.mark.parametrize("text", ["https://user@api.example/?a", "ftp://api.example/?a", "https:///?a"])
def test_a_forbidden_url_is_so_with_a_query_too(text: str) -> None:
    for _ in range(2):
        with pytest.raises(ForbiddenError):
            Link.again(text)
