"""What somebody who stole one half can do with it, what a damaged key table does, and that no secret is told anywhere."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask

from flask_supertokens import SuperTokens, get_session, signals
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.errors import SuperTokensError, TokenTheftError, UnauthorisedError
from flask_supertokens.protocol.model import RefreshToken, SessionRecord
from flask_supertokens.protocol.tokens import fingerprint, preimage, refresh_token_content
from flask_supertokens.signing import RefreshTokenSigner, Sealer
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, an_app, clock_of, signed_in, state_of
from ..support.cookies import cookie_values, set_cookies
from ..support.engines import a_session, an_engine, present, refresh_grant, refresh_token_of, tokens_of
from ..support.plans import HOUR, Clock
from ..support.records import kids_of
from ..support.served import a_core, serving
from ..support.wire import ask, call, log_in

API_KEY = "an-api-key-of-the-tests"
SECRET_OF_ENGINES = SECRET
STRANGER = "a secret of somebody else"


# -- one half is stolen ------------------------------------------------------------------------------------------------


class Robbed:
    """A session in the middle of its life, and everything that its clients and its store hold."""

    def __init__(self, clock: Clock) -> None:
        self.store = MemoryStore()
        self.engine = an_engine(self.store, clock)
        grant = self.engine.create(a_session())
        clock.wait(HOUR)
        grant = refresh_grant(self.engine, grant)
        clock.wait(HOUR)
        self.grant = refresh_grant(self.engine, grant)
        self.record = self._record()
        self.born = clock()

    def _record(self) -> SessionRecord:
        record = self.store.read(self.grant.access.handle)
        assert record is not None
        return record

    def opens(self, token: str) -> bool:
        """Whether a refresh token brings new tokens; afterwards the session is as it was."""
        before = self._record()
        try:
            tokens = self.engine.refresh(RefreshRequest(token)).tokens
        except SuperTokensError:
            return False
        finally:
            self.store.remove([before.handle])
            self.store.add(before)
        return tokens is not None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def robbed(clock: Clock) -> Robbed:
    return Robbed(clock)


def minted(signer: RefreshTokenSigner, robbed: Robbed, parent_preimage: str | None) -> str:
    """A token that is signed well and says that its parent is the one with this hash."""
    content = refresh_token_content(robbed.record.handle, robbed.born, "n" * 43, parent_preimage)
    raw = signer._serializer.dumps(content)
    return raw if isinstance(raw, str) else raw.decode()


def guesses(robbed: Robbed) -> dict[str, str | None]:
    """What could pass for the preimage that a child carries."""
    access, current = robbed.grant.access, robbed.record.line.current_fingerprint
    return {
        "none": None,
        "the row's hash": current,
        "a hash of the row's hash": fingerprint(current),
        "the hash in the access token": access.fingerprint,
        "the parent's hash in the access token": access.parent_fingerprint,
        "the handle": preimage(robbed.record.handle),
        "nothing": "",
    }


def test_a_stolen_secret_key_alone_mints_nothing(robbed: Robbed) -> None:
    """Its holder signs refresh tokens with all that access tokens and front-tokens tell; none of them opens the session."""
    signer = RefreshTokenSigner((SECRET_OF_ENGINES,))
    known = {name: guess for name, guess in guesses(robbed).items() if "row" not in name}
    assert [name for name, guess in known.items() if robbed.opens(minted(signer, robbed, guess))] == []
    child = signer.mint(robbed.record.handle, robbed.born, signer.mint(robbed.record.handle, robbed.born, None))
    assert not robbed.opens(child.raw)
    assert robbed.opens(refresh_token_of(robbed.grant))


@pytest.mark.parametrize("secret_keys", [(SECRET_OF_ENGINES,), (SECRET_OF_ENGINES, "the new one")])
def test_a_stolen_secret_key_ends_a_session_only_by_its_handle(
    robbed: Robbed, clock: Clock, secret_keys: tuple[str, ...]
) -> None:
    """With its handle, by a false alarm; also when the stolen key is only a fallback. Without one it is not believed."""
    forged = RefreshTokenSigner((SECRET_OF_ENGINES,)).mint(robbed.record.handle, robbed.born, None).raw
    with pytest.raises(TokenTheftError):
        an_engine(robbed.store, clock, secret_keys=secret_keys).refresh(RefreshRequest(forged))
    with pytest.raises(UnauthorisedError):
        an_engine(robbed.store, clock, secret_keys=("the new one",)).refresh(RefreshRequest(forged))


def private_halves(store: MemoryStore) -> dict[str, Any]:
    """What a thief of database and `SECRET_KEY` has."""
    opened = {key.kid: Sealer((SECRET,)).open(key.sealed_private) for key in store.keys()}
    return {kid: serialization.load_pem_private_key(pem, None) for kid, pem in opened.items() if pem is not None}


def test_nothing_counts_after_secret_key_and_database_were_stolen_and_replaced() -> None:
    """With another `SECRET_KEY` nothing counts that was or is made of them: not at the first request, not later, for no view."""
    store = MemoryStore()
    before = an_app(store)
    tokens = signed_in(before)
    state_of(before).engine.upkeep.published_keys()
    claims = {**jwt.decode(tokens.access_token, options={"verify_signature": False}), "sub": "admin", "auth_time": 1}
    stolen = private_halves(store)
    forged = [jwt.encode(claims, key, "ES256", {"kid": kid, "version": "5"}) for kid, key in stolen.items()]
    after = an_app(store, SECRET_KEY="a new secret of the tests")
    for _ in range(2):
        answers = [call(after, "GET", "/me", access=raw) for raw in [*forged, tokens.access_token]]
        assert [answer.status_code for answer in answers] == [401] * 3
        assert call(after, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 401
        published = call(after, "GET", "/.well-known/jwks.json").json or {}
        assert not {key["kid"] for key in published["keys"]} & stolen.keys()
        clock_of(after).wait(60_000)
        after.test_cli_runner().invoke(args=["supertokens", "rotate-keys", "--yes"])


def test_the_hash_of_the_current_refresh_token_would_open_the_session(robbed: Robbed) -> None:
    """With the hash of the current refresh token itself, which neither row nor access token holds."""
    signer = RefreshTokenSigner((SECRET_OF_ENGINES,))
    token = robbed.engine._refresh_tokens.read(refresh_token_of(robbed.grant))
    assert isinstance(token, RefreshToken)
    assert robbed.opens(minted(signer, robbed, token.parent_preimage))


def test_a_stolen_secret_key_signs_no_access_token(robbed: Robbed) -> None:
    """Private keys are in the database only: neither the secret nor a key of one's own is believed."""
    access = robbed.grant.access
    own = ec.generate_private_key(ec.SECP256R1())
    forged = [
        jwt.encode(access.claims, SECRET_OF_ENGINES.ljust(32), "HS256", headers={"kid": access.kid, "version": "5"}),
        jwt.encode(access.claims, own, "ES256", headers={"kid": access.kid, "version": "5"}),
    ]
    for raw in forged:
        token = robbed.engine.read_access_token(raw)
        assert token is None or not robbed.engine.is_genuine(token)


def test_a_stolen_database_alone_mints_nothing(robbed: Robbed) -> None:
    """Rows and sealed keys open no session: without the secret nothing is signed."""
    signer = RefreshTokenSigner((STRANGER,))
    assert [name for name, guess in guesses(robbed).items() if robbed.opens(minted(signer, robbed, guess))] == []
    assert not robbed.opens(robbed.record.line.current_fingerprint)
    [key] = robbed.store.keys()
    with pytest.raises(ValueError, match=r"PEM|deserialize"):
        serialization.load_pem_private_key(key.sealed_private.encode(), None)
    for secret in (key.public_pem, key.sealed_private):
        signature = hmac.digest(secret.encode(), robbed.grant.access.raw.rpartition(".")[0].encode(), hashlib.sha256)
        encoded = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
        token = robbed.engine.read_access_token(f"{robbed.grant.access.raw.rpartition('.')[0]}.{encoded}")
        assert token is not None
        assert not robbed.engine.is_genuine(token)


# -- the key table is damaged ------------------------------------------------------------------------------------------

DAMAGES: dict[str, dict[str, Any]] = {
    "a private half": {"sealed_private": "gAAAAA-nonsense"},
    "a private half that is empty": {"sealed_private": ""},
    "a public half": {"public_pem": "nonsense"},
    "a public half with NUL": {"public_pem": "-----BEGIN PUBLIC KEY-----\0"},
    "an algorithm": {"algorithm": "HS999"},
    "an algorithm of another kind": {"algorithm": "EdDSA"},
    "a time": {"created_at": -1},
    "a time in a thousand years": {"created_at": 33_000_000_000_000},
    "a name": {"kid": "nonsense"},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_sign_ins_and_tokens_work_in_spite_of_a_damaged_row_of_the_key_table(
    damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A new process answers every call: log-ins work, old access tokens are good or refreshed, keys are published."""
    store = MemoryStore()
    app = an_app(store)
    tokens = signed_in(app)
    store._keys = {kid: replace(key, **DAMAGES[damage]) for kid, key in store._keys.items()}
    store._keys = {key.kid: key for key in store._keys.values()}
    other = an_app(store)
    assert call(other, "GET", "/me", access=tokens.access_token).status_code in (200, 401)
    assert call(other, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200
    new = set_cookies(call(other, "POST", "/login"))
    assert call(other, "GET", "/me", access=new["sAccessToken"].value).status_code == 200
    assert call(other, "GET", "/.well-known/jwks.json").status_code == 200
    assert other.test_cli_runner().invoke(args=["supertokens", "status"]).exit_code in (0, 1)


def test_an_emptied_key_table_makes_everybody_refresh_and_signs_nobody_out(caplog: pytest.LogCaptureFixture) -> None:
    """Everybody refreshes once, nobody is logged out."""
    store = MemoryStore()
    tokens = signed_in(an_app(store))
    store._keys.clear()
    other = an_app(store)
    assert call(other, "GET", "/me", access=tokens.access_token).status_code == 401
    assert call(other, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200


# -- nothing is told ---------------------------------------------------------------------------------------------------


class Ears:
    """Everything that is logged, signalled, warned of, printed, raised or answered in a body."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog
        self.heard: list[str] = []
        self.secrets: set[str] = set()

    def listen(self, app: Flask) -> None:
        for name, signal in vars(signals).items():
            if not name.startswith("_") and hasattr(signal, "connect"):
                signal.connect(lambda sender, **about: self.heard.append(repr(about)), app, weak=False)

    def keep(self, *secrets: str | None) -> None:
        """Tokens whole and in parts: the signature is enough of one."""
        for secret in filter(None, secrets):
            self.secrets |= {part for part in (secret, secret.rpartition(".")[2]) if part}

    def told(self) -> list[str]:
        everything = "\n".join([*self.heard, self._caplog.text, *map(repr, self._caplog.records)])
        return [secret for secret in self.secrets if secret in everything]


@pytest.fixture
def ears(caplog: pytest.LogCaptureFixture) -> Iterator[Ears]:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = Ears(caplog)
        yield found
        found.heard += [str(warning.message) for warning in warned]


def life(app: Flask, ears: Ears, clock: Clock) -> None:
    """Log-in, use, refresh, change, theft, tampering, log-out; each token is kept, each body heard."""
    ears.listen(app)
    first = signed_in(app, anti_csrf=True)
    ears.keep(first.access_token, first.refresh_token, first.anti_csrf_token)
    with app.test_request_context("/", headers={"Cookie": f"sAccessToken={first.access_token}"}):
        session = get_session()
        assert session is not None
        session.merge_into_access_token_payload({"a": 1})
        ears.keep(session.tokens.access_token)
        state = state_of(app)
        things = [session, session.tokens, vars(session), state, state.engine, vars(state), vars(state.engine)]
        ears.heard += [repr(thing) for thing in things]
    answer = call(
        app, "POST", "/refresh", refresh=first.refresh_token, headers={"anti-csrf": first.anti_csrf_token or ""}
    )
    cookies = {name: cookie.value for name, cookie in set_cookies(answer).items()}
    ears.keep(*cookies.values(), answer.headers.get("anti-csrf"))
    clock.wait(HOUR)
    for path, method, access, refresh in (
        ("/me", "GET", cookies["sAccessToken"] + "x", None),
        ("/act", "POST", cookies["sAccessToken"], None),
        ("/refresh", "POST", None, cookies["sRefreshToken"] + "x"),
        ("/refresh", "POST", None, cookies["sRefreshToken"]),
        ("/refresh", "POST", None, first.refresh_token),
        ("/me", "GET", cookies["sAccessToken"], None),
        ("/signout", "POST", cookies["sAccessToken"], None),
    ):
        said = call(app, method, path, access=access, refresh=refresh)
        ears.keep(*(cookie.value for cookie in set_cookies(said).values()))
        ears.heard.append(said.text)


COMMANDS = (
    ["status"],
    ["sessions", "user-1"],
    ["cleanup"],
    ["rotate-keys", "--yes"],
    ["rotate-keys", "--reseal", "--yes"],
    ["rotate-keys", "--revoke-old", "--yes"],
    ["revoke", "--user", "user-1", "--yes"],
)


def test_no_secret_is_told_of_an_app_with_its_own_engine(ears: Ears) -> None:
    """Not by logs, signals, warnings, reprs, bodies and commands of an app with its own engine."""
    app = an_app(SUPERTOKENS_ANTI_CSRF="VIA_TOKEN")
    life(app, ears, clock_of(app))
    signed_in(app)
    for command in COMMANDS:
        for flags in ([], ["--json"]):
            ears.heard.append(app.test_cli_runner().invoke(args=["supertokens", *command, *flags]).output)
    engine = state_of(app).engine
    assert isinstance(engine, EmbeddedEngine)
    ears.keep(SECRET, *(key.sealed_private for key in engine.store.keys()))
    ears.heard += [repr(key) for key in engine.store.keys()]
    ears.secrets.add("PRIVATE KEY")
    assert len(ears.secrets) > 12
    assert len("".join(ears.heard)) > 2000
    assert ears.told() == []


def test_no_secret_is_told_of_an_app_on_a_core_nor_of_the_core(ears: Ears) -> None:
    """Nor by those of an app on a core, and of the core; the API key is one more."""
    clock = Clock()
    with serving(a_core(MemoryStore(), clock, api_keys=(API_KEY,))) as (uri, _):
        app = Flask("on a core")
        app.config.update(
            SECRET_KEY=SECRET,
            SUPERTOKENS_CONNECTION_URI=uri,
            SUPERTOKENS_API_KEY=API_KEY,
            SUPERTOKENS_ANTI_CSRF="VIA_TOKEN",
            SUPERTOKENS_COOKIE_SECURE=False,
        )
        SuperTokens(app)
        engine: Any = state_of(app).engine
        engine.clock = clock
        life(app, ears, clock)
        ears.heard.append(app.test_cli_runner().invoke(args=["supertokens", "status", "--json"]).output)
    ears.keep(API_KEY, SECRET)
    assert ears.told() == []


def test_no_secret_is_told_by_tracebacks(clock: Clock) -> None:
    """Of every error that tokens lead to, with its causes."""
    robbed = Robbed(clock)
    token = refresh_token_of(robbed.grant)
    told = ""
    for wrong in (token + "x", token[:-1], minted(RefreshTokenSigner((SECRET_OF_ENGINES,)), robbed, None)):
        try:
            robbed.engine.refresh(RefreshRequest(wrong))
        except SuperTokensError as error:
            told += "".join(traceback.format_exception(error)) + repr(error) + json.dumps(vars(error), default=repr)
    robbed.store.remove([robbed.record.handle])
    with pytest.raises(UnauthorisedError) as caught:
        robbed.engine.verify(present(robbed.engine, tokens_of(robbed.grant).access_token), check_database=True)
    told += "".join(traceback.format_exception(caught.value))
    assert len(told) > 1000
    secrets = filter(None, (token, *token.split("."), tokens_of(robbed.grant).access_token))
    assert [part for part in secrets if part in told] == []
    assert kids_of(robbed.store.keys())[0] not in told


def test_no_token_is_ever_logged_or_signalled(caplog: pytest.LogCaptureFixture) -> None:
    """A whole life, with a theft, and every record, repr and argument searched for every token."""
    caplog.set_level(logging.DEBUG)
    clock, seen = Clock(), []
    app = an_app(clock=clock)
    for name in vars(signals):
        if hasattr(getattr(signals, name), "connect") and not name.startswith("_"):
            getattr(signals, name).connect(lambda sender, **about: seen.append(repr(about)), app, weak=False)
    tokens = log_in(app)
    child = cookie_values(ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}"))
    ask(app, "GET", "/me", f"sAccessToken={child['sAccessToken']}")
    with app.test_request_context("/", headers={"Cookie": f"sAccessToken={child['sAccessToken']}"}):
        session = get_session()
        assert session is not None
        seen += [repr(session), repr(session.tokens), repr(vars(session))]
    clock.wait(60_000)
    ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
    everything = caplog.text + "".join(seen)
    secrets = [tokens.access, tokens.refresh, *child.values()]
    assert len(seen) >= 7
    assert not [secret for secret in secrets if secret in everything or secret.split(".")[-1] in everything]
