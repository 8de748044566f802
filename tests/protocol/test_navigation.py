"""Who gets a page, and where a browser may be sent."""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_supertokens.protocol.navigation import MAX_LENGTH, is_own_path, navigates, own_path, plain_root, with_next

OWN = "https://own.example"


@pytest.mark.parametrize(
    ("headers", "prefers_html", "expected"),
    [
        ({"Sec-Fetch-Mode": "navigate"}, True, True),
        ({"Sec-Fetch-Mode": "Navigate"}, False, True),
        ({"Sec-Fetch-Mode": "navigate", "X-Requested-With": "XMLHttpRequest"}, True, True),
        ({"Sec-Fetch-Mode": "cors"}, True, False),
        ({"Sec-Fetch-Mode": "same-origin"}, True, False),
        ({"Sec-Fetch-Mode": "no-cors"}, True, False),
        ({"Sec-Fetch-Mode": ""}, True, False),
        ({}, True, True),
        ({}, False, False),
        ({"X-Requested-With": "XMLHttpRequest"}, True, False),
        ({"rid": "anti-csrf"}, True, False),
        ({"st-auth-mode": "cookie"}, True, False),
        ({"Authorization": "Bearer x"}, True, False),
    ],
)
def test_a_browser_s_own_word_decides_whether_a_request_navigates(
    headers: dict[str, str], prefers_html: bool, expected: bool
) -> None:
    """What a browser says of itself decides; where it says nothing, HTML must be preferred and no script have a hand in it."""
    assert navigates(headers.get, lambda: prefers_html) is expected


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example",
        "HTTPS://evil.example/",
        "https:evil.example",
        "https:/evil.example",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/path\\..",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nSet-Cookie: a=b",
        "/\x00",
        "/\x7f",
        "/a b",
        "\t//evil.example",
        " //evil.example",
        "//own.example@evil.example",
        "https://own.example@evil.example",
        "own.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "%2F%2Fevil.example",
        "?next=/",
        "#there",
        "",
        ".",
        "../there",
        "/" + "a" * MAX_LENGTH,
        "/" + "ä" * (MAX_LENGTH // 6 + 1),
        "/\\ä",
        "//ä",
        "/ä\n",
        None,
    ],
)
def test_a_target_that_is_no_path_of_our_own_leads_nowhere(url: str | None) -> None:
    """Whatever is not plainly a path of our own is no place to go to."""
    assert own_path(url) is None


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/", "/"),
        ("/a/b?c=d&e=%26#f", "/a/b?c=d&e=%26#f"),
        ("/?next=//evil.example", "/?next=//evil.example"),
        ("/@evil.example", "/@evil.example"),
        ("/:evil.example", "/:evil.example"),
        ("/%2Fevil.example", "/%2Fevil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("/%252F%252Fevil.example", "/%252F%252Fevil.example"),
        ("/javascript:alert(1)", "/javascript:alert(1)"),
        ("/ä?ö=ü%20", "/%C3%A4?%C3%B6=%C3%BC%20"),
        ("/\uff0fevil.example", "/%EF%BC%8Fevil.example"),
        ("/\u2028", "/%E2%80%A8"),
        ("/\ud800", "/?"),
        ("/" + "a" * (MAX_LENGTH - 1), "/" + "a" * (MAX_LENGTH - 1)),
    ],
)
def test_a_path_of_our_own_is_kept_with_its_letters_encoded(url: str, path: str) -> None:
    """It is kept; letters beyond ASCII are encoded."""
    assert own_path(url) == path
    assert urlsplit(urljoin(OWN + "/here/now", path)).netloc == "own.example"


@given(st.text(alphabet="/\\.:@%?#\t\n\r \0ä5CFcfjavscript", max_size=12))
def test_any_text_leads_to_a_place_of_our_own_origin(text: str) -> None:
    """What a browser makes of a path of ours (it drops tabs and newlines, and reads a backslash as a slash) is our origin."""
    path = own_path(text)
    if path is None:
        return
    assert is_own_path(path)
    as_a_browser_reads_it = path.translate({9: None, 10: None, 13: None, 92: "/"}).strip()
    assert urlsplit(urljoin(OWN + "/here", as_a_browser_reads_it)).netloc == "own.example"


@pytest.mark.parametrize("target", ["/", "/a?b=c&d=%26+#e", "/%C3%A4;x", "/'\"<>"])
@pytest.mark.parametrize("path", ["/refresh", "/login?lang=de"])
def test_the_place_to_return_to_comes_back_as_it_went_out(path: str, target: str) -> None:
    """It comes back as it went out, beside a query that is there already."""
    query = parse_qs(urlsplit(with_next(path, target)).query, strict_parsing=True)
    assert query.pop("next") == [target]
    assert query == parse_qs(urlsplit(path).query)


def test_without_a_place_to_return_to_the_path_stays_as_it_is() -> None:
    """The path stays as it is."""
    assert with_next("/refresh", None) == "/refresh"


# -- script roots ------------------------------------------------------------------------------------------------------

BAD_ROOTS = [
    "//evil.example",
    "@evil.example",
    ".evil.example",
    ":80@evil.example",
    "https://evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/shop//evil.example",
    "/shop/..//evil.example",
    "/..",
    "/./shop",
    "/%2e%2e/shop",
    "/.%2E",
    "/%2F..%2F",
    "/shop?",
    "/shop#",
    "/shop;Domain=example.com",
    "/shop\r\nSet-Cookie: a=b",
    "/\t/evil.example",
    "/\x00",
    "shop",
    "/" + "a" * MAX_LENGTH,
]


@pytest.mark.parametrize("root", BAD_ROOTS, ids=ascii)
def test_a_script_root_that_is_no_path_of_ours_counts_as_none(root: str) -> None:
    """It counts as none."""
    assert (plain_root(root), plain_root(root + "/")) == ("", "")


@pytest.mark.parametrize(
    ("root", "in_urls"),
    [
        ("", ""),
        ("/", ""),
        ("//", ""),
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/shop/v1.2/~ada/a:b@c", "/shop/v1.2/~ada/a:b@c"),
        ("/..shop/a..b", "/..shop/a..b"),
        ("/caf\xe9 \N{SNOWMAN}", "/caf%C3%A9%20%E2%98%83"),
        ("/caf%C3%A9", "/caf%C3%A9"),
        ('/"><script>', "/%22%3E%3Cscript%3E"),
    ],
)
def test_a_script_root_that_is_a_path_of_ours_is_kept_without_a_slash_at_its_end(root: str, in_urls: str) -> None:
    """As it stands in URLs, without a slash at its end."""
    assert plain_root(root) == in_urls


@given(st.text(st.sampled_from("/\\.:@%2eEfF?#;a\t \xe9")))
def test_a_path_below_any_script_root_stays_at_our_origin(root: str) -> None:
    """Whatever it is, a browser resolves what is below it to a path of this origin, and to no shorter one."""
    path = f"{plain_root(root)}/refresh"
    assert urljoin(f"{OWN}/a/b", path) == OWN + path
    assert is_own_path(path)
