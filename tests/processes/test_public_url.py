"""``flask supertokens status --url``: a real nginx before gunicorn, and what the command says of it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.stores.memory import MemoryStore
from tests.support.apps import close_database
from tests.support.docs import blocks, section
from tests.support.gunicorn import gunicorn
from tests.support.nginx import nginx

APP = """
from flask import Flask
from flask_supertokens import SuperTokens
from werkzeug.middleware.proxy_fix import ProxyFix

app = Flask("shop", instance_path={folder!r})
app.config.update({settings!r})
SuperTokens(app)
{more}
"""
BELIEVES = "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)"
HEADERS = """
proxy_set_header Host $http_host;
proxy_set_header X-Forwarded-For $remote_addr;
proxy_set_header X-Forwarded-Host $http_host;
"""
PROTO = "proxy_set_header X-Forwarded-Proto $scheme;"
PLAIN = "location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_set_header Host $http_host; }}"
STRIPS = "location /api/ {{ proxy_pass http://127.0.0.1:{upstream}/; %s }}"
KEEPS = "location /api/ {{ proxy_pass http://127.0.0.1:{upstream}; %s }}"
TLS = """
location / {{ return 301 https://127.0.0.1:%(port)s$request_uri; }} }}
server {{
    listen 127.0.0.1:%(port)s ssl;
    ssl_certificate %(folder)s/cert.pem;
    ssl_certificate_key %(folder)s/key.pem;
    location / {{ proxy_pass http://127.0.0.1:{upstream}; %(headers)s }}
"""
CORS_OF_NGINX = """
add_header Access-Control-Allow-Origin http://localhost:3000 always;
add_header Access-Control-Allow-Credentials true always;
add_header Access-Control-Allow-Headers "content-type,rid,fdi-version,anti-csrf,authorization,st-auth-mode" always;
"""
Start = Callable[..., int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """An app under gunicorn behind nginx with these locations; nginx's port. The app is there for commands too."""
    with ExitStack() as stack:

        def run(locations: str, more: str = BELIEVES, **settings: Any) -> int:
            settings = {"SECRET_KEY": "a secret of the tests", **settings}
            (tmp_path / "shop.py").write_text(APP.format(folder=f"{tmp_path}", settings=settings, more=more))
            upstream = stack.enter_context(gunicorn(tmp_path, "shop:app"))
            return stack.enter_context(nginx(tmp_path, upstream, locations=locations))

        yield run


def of_the_docs(number: int) -> str:
    """nginx's lines in *Behind a proxy*."""
    code = blocks(section("Behind a proxy"), "nginx")[number].replace("{", "{{").replace("}", "}}")
    return code.replace("127.0.0.1:8000", "127.0.0.1:{upstream}")


@pytest.fixture
def status(tmp_path: Path) -> Callable[[str], dict[str, Any]]:
    """What the command says, asked of the same app."""

    def run(url: str) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec((tmp_path / "shop.py").read_text(), names)
        app: Flask = names["app"]
        result = app.test_cli_runner().invoke(args=["supertokens", "status", "--url", url, "--json"])
        close_database(app)
        told: dict[str, Any] = json.loads(result.output)
        assert result.exit_code == bool(told["findings"])
        return told

    return run


def test_status_names_the_paths_and_fixes_where_a_proxy_strips_a_prefix(start: Start, status: Any) -> None:
    """The refresh cookie is never sent there: the paths are named, and both fixes."""
    port = start(STRIPS % (HEADERS + PROTO))
    (finding,) = status(f"http://127.0.0.1:{port}/api")["findings"]
    for said in (
        "Path=/refresh",
        "/api/refresh",
        "X-Forwarded-Prefix: /api",
        "x_prefix=1",
        "SUPERTOKENS_API_BASE_PATH",
    ):
        assert said in finding


def test_nothing_looks_wrong_where_the_proxy_tells_of_the_prefix_that_it_strips(start: Start, status: Any) -> None:
    """As the docs show it: nothing looks wrong; the fact says what was asked. A slash at the URL's end means nothing."""
    port = start(of_the_docs(0), more="\n".join(blocks(section("Behind a proxy"))))
    for end in ("", "/"):
        told = status(f"http://127.0.0.1:{port}/api{end}")
        assert told["findings"] == []
        assert told["facts"]["asked from outside"] == f"POST http://127.0.0.1:{port}/api/refresh"


def test_the_cookie_s_path_is_wrong_where_the_app_does_not_believe_in_the_prefix(start: Start, status: Any) -> None:
    """The proxy sends it, but ProxyFix does not count it: the cookie's path is wrong as ever."""
    more = BELIEVES.replace("x_prefix=1", "x_prefix=0")
    port = start(STRIPS % (HEADERS + PROTO + "proxy_set_header X-Forwarded-Prefix /api;"), more)
    assert "x_prefix=1" in status(f"http://127.0.0.1:{port}/api")["findings"][0]


@pytest.mark.parametrize("path", ["", "/api", "/api/"])
def test_nothing_looks_wrong_where_the_proxy_keeps_the_prefix_of_the_settings(
    start: Start, status: Any, path: str
) -> None:
    """The base path of the settings says so. The URL may name it or not."""
    port = start(KEEPS % (HEADERS + PROTO), SUPERTOKENS_API_BASE_PATH="/api")
    told = status(f"http://127.0.0.1:{port}{path}")
    assert told["findings"] == []
    assert told["facts"]["asked from outside"].endswith("/api/session/refresh")


def test_a_missing_refresh_route_is_told_where_the_app_does_not_know_the_prefix(start: Start, status: Any) -> None:
    """No refresh route is there; what came instead is told, and both fixes."""
    port = start(KEEPS % (HEADERS + PROTO))
    (finding,) = status(f"http://127.0.0.1:{port}/api")["findings"]
    assert all(said in finding for said in ("404", "/api/refresh", "x_prefix=1", "SUPERTOKENS_API_BASE_PATH"))


def test_requests_look_foreign_where_the_proxy_does_not_tell_the_host(start: Start, status: Any) -> None:
    """nginx sends the upstream's name unless it is told otherwise: what browsers send looks like another site's."""
    port = start("location / {{ proxy_pass http://127.0.0.1:{upstream}; }}")
    (finding,) = status(f"http://127.0.0.1:{port}")["findings"]
    assert all(said in finding for said in ("X-Forwarded-Host", "x_host=1", "SUPERTOKENS_API_DOMAIN"))


def test_cors_is_judged_by_the_headers_that_come_through_the_proxy(start: Start, status: Any) -> None:
    """Asked through the proxy, whose headers count; without them the page of another origin can't call."""
    site = {"SUPERTOKENS_WEBSITE_DOMAIN": "http://localhost:3000", "SUPERTOKENS_COOKIE_SAME_SITE": "lax"}
    port = start(PLAIN.replace("proxy_pass", f"{CORS_OF_NGINX} proxy_pass"), **site)
    assert status(f"http://127.0.0.1:{port}")["findings"] == []
    bare = start(PLAIN, **site)
    assert "CORS does not allow http://localhost:3000" in status(f"http://127.0.0.1:{bare}")["findings"][0]


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port for nginx with TLS, whose certificate is believed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
    made = made.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
    ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    plain, pem = serialization.NoEncryption(), serialization.Encoding.PEM
    (tmp_path / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(pem))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    monkeypatch.setenv("SSL_CERT_FILE", f"{tmp_path / 'cert.pem'}")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def with_tls(folder: Path, port: int, headers: str) -> str:
    return TLS % {"folder": folder, "port": port, "headers": headers}


def test_nothing_looks_wrong_where_tls_is_told(start: Start, status: Any, tls: int, tmp_path: Path) -> None:
    """Cookies are Secure, the origin is the app's own; nothing looks wrong."""
    start(with_tls(tmp_path, tls, HEADERS + PROTO))
    assert status(f"https://127.0.0.1:{tls}")["findings"] == []


@pytest.mark.parametrize("api", [False, True])
def test_https_taken_for_http_is_found_where_tls_is_not_told(
    start: Start, status: Any, tls: int, tmp_path: Path, api: bool
) -> None:
    """Without X-Forwarded-Proto the app takes https for http: found also where the settings name the address."""
    start(with_tls(tmp_path, tls, HEADERS), **({"SUPERTOKENS_API_DOMAIN": f"https://127.0.0.1:{tls}"} if api else {}))
    (finding,) = status(f"https://127.0.0.1:{tls}")["findings"]
    assert all(said in finding for said in ("X-Forwarded-Proto", "x_proto=1"))


def test_the_setting_is_named_that_makes_cookies_over_tls_insecure(
    start: Start, status: Any, tls: int, tmp_path: Path
) -> None:
    """The setting that does it is named."""
    start(with_tls(tmp_path, tls, HEADERS + PROTO), SUPERTOKENS_COOKIE_SECURE=False)
    (finding,) = status(f"https://127.0.0.1:{tls}")["findings"]
    assert all(said in finding for said in ("not Secure", "SUPERTOKENS_COOKIE_SECURE"))


def test_the_target_of_redirected_http_is_named_and_not_visited(
    start: Start, status: Any, tls: int, tmp_path: Path
) -> None:
    """A refresh that is redirected is lost, so the target is named; nobody goes there."""
    port = start(with_tls(tmp_path, tls, HEADERS + PROTO))
    (finding,) = status(f"http://127.0.0.1:{port}")["findings"]
    assert all(said in finding for said in ("301", f"https://127.0.0.1:{tls}/refresh", "GET"))


def test_what_tls_has_against_a_certificate_is_told_in_words(
    start: Start, status: Any, tls: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS has against it is told in words."""
    start(with_tls(tmp_path, tls, HEADERS + PROTO))
    monkeypatch.delenv("SSL_CERT_FILE")
    (finding,) = status(f"https://127.0.0.1:{tls}")["findings"]
    assert "can't be reached" in finding
    assert "self-signed certificate" in finding


# -- without nginx -----------------------------------------------------------------------------------------------------


def test_an_address_where_nobody_listens_is_told_in_words(status: Any, tmp_path: Path) -> None:
    """Told in words, beside all the rest."""
    settings = {"SECRET_KEY": "a secret of the tests"}
    (tmp_path / "shop.py").write_text(APP.format(folder=f"{tmp_path}", settings=settings, more=""))
    (finding,) = status("http://127.0.0.1:1/api")["findings"]
    assert "http://127.0.0.1:1/api/refresh can't be reached from here (Connection refused)" in finding


@pytest.mark.parametrize(
    "url",
    ["shop.example", "file:///etc/passwd", "https://", "https://ada:pw@shop.example", "https://shop.example/?a=b"],
)
def test_a_wrong_url_is_refused_with_an_example_before_anything_is_asked(url: str, tmp_path: Path) -> None:
    """It is refused with an example before anything is asked."""
    app = Flask("shop", instance_path=f"{tmp_path}")
    app.config["SECRET_KEY"] = "a secret of the tests"
    SuperTokens(app, store=MemoryStore())
    result = app.test_cli_runner().invoke(args=["supertokens", "status", "--url", url])
    assert (result.exit_code, "https://www.example.com/api" in result.output) == (1, True)


def test_the_setting_is_named_that_makes_cookies_of_another_domain(start: Start, status: Any) -> None:
    """Browsers drop them; the setting is named."""
    port = start(PLAIN, SUPERTOKENS_COOKIE_DOMAIN="shop.example")
    (finding,) = status(f"http://127.0.0.1:{port}")["findings"]
    assert all(said in finding for said in ("Domain=shop.example", "127.0.0.1", "SUPERTOKENS_COOKIE_DOMAIN"))


# -- nginx's buffers ---------------------------------------------------------------------------------------------------

LOG_IN = """
from flask_supertokens import create_new_session
app.post("/login/<int:size>")(lambda size: create_new_session("user-1", {"p": "x" * (size - 8)}).user_id)
"""


def log_in(port: int, size: int) -> int:
    """The status of a log-in with so many bytes of payload."""
    return requests.post(f"http://127.0.0.1:{port}/login/{size}", timeout=20).status_code


@pytest.mark.parametrize("settings", [{}, {"SUPERTOKENS_EXPOSE_ACCESS_TOKEN": True}])
def test_a_payload_that_status_says_fits_passes_nginx_with_its_defaults(
    start: Start, status: Any, settings: dict[str, Any]
) -> None:
    """Status says how much fits: so much is let in, and a little more is 502 at log-in."""
    port = start(PLAIN, LOG_IN, **settings)
    told = status(f"http://127.0.0.1:{port}")
    fits = told["facts"]["payload that fits nginx's default buffers (bytes)"]
    assert [log_in(port, size) for size in (fits, fits + 100, 1500)] == [200, 502, 502]
    (hint,) = [hint for hint in told["hints"] if "nginx" in hint]
    assert f"more than {fits:,} bytes" in hint
    assert "proxy_buffer_size 16k; proxy_buffers 8 16k;" in hint


def test_a_payload_that_a_cookie_holds_passes_nginx_with_the_lines_of_the_docs(start: Start) -> None:
    """All that a cookie holds is let through; what it does not hold is refused before, and the error speaks of nginx."""
    lines = " ".join(of_the_docs(1).split())
    port = start(PLAIN.replace("proxy_pass", f"{lines} proxy_pass"), LOG_IN, SUPERTOKENS_EXPOSE_ACCESS_TOKEN=True)
    assert [log_in(port, size) for size in (1000, 1500, 2400, 4000)] == [200, 200, 200, 500]
