"""What is inside access tokens, refresh tokens and front-tokens: built byte by byte, judged condition by condition."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_supertokens.protocol.model import Marks
from flask_supertokens.protocol.payloads import (
    OWN_NAMES,
    check_tenant_id,
    check_user_id,
    drop_protected_names,
    drop_times,
    merge,
    to_json_object,
)
from flask_supertokens.protocol.tokens import (
    LEGACY_HEADERS,
    MAX_TOKEN_LENGTH,
    access_token_claims,
    fingerprint,
    front_token,
    header_names,
    is_dynamic,
    is_legacy,
    marks_of,
    parse_access_token,
    placeholder_front_token,
    preimage,
    read_refresh_token,
    refresh_token_content,
    same_secret,
)

from ..support.names import spell
from ..support.records import RECORD
from ..support.wire import CLAIMS, HEADER, encode_part, forge, without

OURS = frozenset({"ES256"})
V3 = without(without(CLAIMS, "tId"), "rsub")
V4 = without(CLAIMS, "rsub")
PROTECTED = [
    *["sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken", "tId"],
    *["rsub", "stt", "auth_time", "aud", "nbf", "jti", "iss"],
]


# -- hashes ------------------------------------------------------------------------------------------------------------


def test_a_refresh_token_is_hashed_once_to_its_preimage_and_twice_to_its_fingerprint() -> None:
    """The preimage is the hex SHA-256 of the token, the fingerprint that of the preimage."""
    assert preimage("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(preimage("abc")) == "dfe7a23fefeea519e9bbfdd1a6be94c4b2e4529dd6b7cbea83f9959c2621b13c"


# -- refresh tokens ----------------------------------------------------------------------------------------------------


def test_session_birth_and_parent_of_a_refresh_token_are_read_as_they_were_written() -> None:
    """What is written is what is read."""
    token = read_refresh_token("raw", refresh_token_content("h", 5, "nonce", preimage("parent")))
    assert token is not None
    assert (token.handle, token.born, token.fingerprint) == ("h", 5, fingerprint(preimage("raw")))
    assert (token.parent_preimage, token.parent_fingerprint) == (preimage("parent"), fingerprint(preimage("parent")))


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        "text",
        [2, "h", 5, "n", None],
        [1, 5, 5, "n", None],
        [1, "h", "5", "n", None],
        [1, "h", True, "n", None],
        [1, "h", 5.0, "n", None],
        [1, "h", 5, None, None],
        [1, "h", 5, "n", "short"],
        [1, "h", 5, "n", "A" * 64],
        [1, "h", 5, "n", 5],
        [1, "h", 5, "n"],
        [1, "h", 5, "n", None, None],
    ],
    ids=spell,
)
def test_signed_content_that_has_not_our_form_is_no_refresh_token(content: Any) -> None:
    """It is no refresh token of ours, whoever signed it."""
    assert read_refresh_token("raw", content) is None


# -- what an access token says -----------------------------------------------------------------------------------------


def claims_of_a_record(**changes: Any) -> dict[str, Any]:
    return access_token_claims(
        replace(RECORD, **changes),
        token_fingerprint="t",
        parent_fingerprint="p",
        issued_at=1_795_364_355_999,
        expires_at=1_795_367_955_999,
        extra={"iss": "https://api.example.com/auth"},
    )


def test_an_access_token_has_the_claims_of_version_5() -> None:
    """Its claims are those of the protocol, the payload at the root, times cut to seconds."""
    assert claims_of_a_record() == {
        "role": "admin",
        "iss": "https://api.example.com/auth",
        "iat": 1_795_364_355,
        "exp": 1_795_367_955,
        "sub": "user-1",
        "tId": "public",
        "rsub": "recipe-user-1",
        "sessionHandle": "handle-1",
        "refreshTokenHash1": "t",
        "parentRefreshTokenHash1": "p",
        "antiCsrfToken": "anti-csrf-1",
    }


@pytest.mark.parametrize("name", sorted(OWN_NAMES))
def test_names_of_ours_in_a_stored_payload_do_not_get_into_a_token(name: str) -> None:
    """It does not get into a token's payload; the user's names beside it do."""
    assert claims_of_a_record(payload=json.dumps({name: True, "role": "admin"})) == claims_of_a_record()


@pytest.mark.parametrize(
    ("stored", "remember"),
    [({}, True), ({"st-remember": False}, False), ({"st-remember": None}, True), ({"a": {"st-remember": False}}, True)],
    ids=spell,
)
def test_only_its_own_note_says_that_a_row_s_cookies_end_with_the_browser(
    stored: dict[str, Any], remember: bool
) -> None:
    """Only its own note counts, not a word of that name somewhere in what the user has there."""
    for born in (None, 7):
        assert marks_of(replace(RECORD, payload=json.dumps(stored)), born) == Marks(born, remember)


@pytest.mark.parametrize("name", ["sub", "exp", "sessionHandle", "tId", "rsub", "antiCsrfToken", "iss"])
def test_a_protected_name_in_a_stored_payload_loses_to_the_protocol_s_value(name: str) -> None:
    """The protocol's own value wins."""
    assert claims_of_a_record(payload=json.dumps({name: "mine"}))[name] == claims_of_a_record()[name]


# -- ours or foreign ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "claims", "version"),
    [
        (HEADER, CLAIMS, 5),
        ({**HEADER, "version": "4"}, V4, 4),
        ({**HEADER, "version": "3"}, V3, 3),
        (without(HEADER, "version"), V3, 3),
        ({**HEADER, "version": "6"}, CLAIMS, 6),
        ({**HEADER, "version": "0005"}, CLAIMS, 5),
        ({**HEADER, "kid": "s-0a1b"}, CLAIMS, 5),
        ({**HEADER, "more": [1]}, CLAIMS, 5),
        (HEADER, {**CLAIMS, "stt": 0}, 5),
        (HEADER, {**CLAIMS, "exp": 1.5, "iat": -1}, 5),
        (HEADER, {**CLAIMS, "nbf": 5}, 5),
        (HEADER, without(without(CLAIMS, "antiCsrfToken"), "parentRefreshTokenHash1"), 5),
        ({**HEADER, "version": "3"}, {**V3, "tId": 5, "rsub": 5}, 3),
    ],
)
def test_the_structure_of_each_known_version_passes(
    header: dict[str, Any], claims: dict[str, Any], version: int
) -> None:
    """Versions 3, 4, 5 and later pass, each by its own rules; the signature is not looked at."""
    token = parse_access_token(forge(claims, header), OURS)
    assert token is not None
    assert (token.kid, token.version, token.claims) == (header["kid"], version, claims)


@pytest.mark.parametrize(
    "header",
    [
        *[without(HEADER, name) for name in ("kid", "typ", "alg")],
        *[{**HEADER, "typ": typ} for typ in ("jwt", "at+jwt", None, 5)],
        *[{**HEADER, "alg": alg} for alg in ("none", "None", "HS256", "RS256", "", None, ["ES256"], {"ES256": 1})],
        *[
            {**HEADER, "kid": kid}
            for kid in ("x-1", "d", "d-", "", None, 5, ["d-1"], "d-../../x", "d-" + "1" * 65, "d-1\n")
        ],
        *[
            {**HEADER, "version": version}
            for version in ("2", "1", "0", "", "five", "5.0", "-5", "٥", 5, None, [], "55555")
        ],
        {**HEADER, "crit": ["b64"]},
        [],
        "text",
        None,
        5,
    ],
    ids=spell,
)
def test_a_header_that_breaks_one_condition_is_foreign(header: Any) -> None:
    """One condition of the structure test on the header fails: not ours."""
    assert parse_access_token(forge(CLAIMS, header), OURS) is None


@pytest.mark.parametrize(
    "claims",
    [
        *[without(CLAIMS, name) for name in ("sub", "sessionHandle", "refreshTokenHash1", "exp", "iat", "tId", "rsub")],
        *[{**CLAIMS, name: 5} for name in ("sub", "sessionHandle", "refreshTokenHash1", "tId", "rsub")],
        *[
            {**CLAIMS, name: None}
            for name in ("sub", "sessionHandle", "refreshTokenHash1", "tId", "rsub", "exp", "iat")
        ],
        *[{**CLAIMS, name: value} for name in ("exp", "iat", "nbf") for value in (True, "1", [], {}, 2**53, -(2**53))],
        *[{**CLAIMS, name: value} for name in ("parentRefreshTokenHash1", "antiCsrfToken") for value in (5, [], True)],
        *[{**CLAIMS, "stt": value} for value in (1, 2, "0", True, False, [], {})],
        [],
        "text",
        None,
    ],
    ids=spell,
)
def test_claims_that_break_one_condition_are_foreign(claims: Any) -> None:
    """One condition of the structure test on the claims fails: not ours."""
    assert parse_access_token(forge(claims), OURS) is None


def test_a_missing_tenant_is_foreign_in_version_4_and_passes_in_3() -> None:
    """``tId`` is required in 4 and 5, ignored in 3."""
    assert parse_access_token(forge(V3, {**HEADER, "version": "4"}), OURS) is None


@pytest.mark.parametrize(
    "raw",
    [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        f"{encode_part(HEADER)}.{encode_part(CLAIMS)}",
        f"{encode_part(HEADER)}.{encode_part(CLAIMS)}.s.t",
        f"ä{encode_part(HEADER)}.{encode_part(CLAIMS)}.s",
        f"{encode_part(HEADER)} .{encode_part(CLAIMS)}.s",
        f"{encode_part(HEADER)[:-3]}.{encode_part(CLAIMS)}.s",
        f"{encode_part(HEADER)}.{encode_part(CLAIMS)[:-3]}.s",
        f"{encode_part(b'nonsense')}.{encode_part(CLAIMS)}.s",
        f"{encode_part(HEADER)}.{encode_part(b'{}{}')}.s",
        forge(json.dumps(CLAIMS).encode("utf-16")),
        forge({**CLAIMS, "x": "\ud800"}),
        forge(json.dumps({**CLAIMS, "x": "\ud800"}).encode("utf-16-le")),
        forge(b"\xff\xfe" + json.dumps(CLAIMS).encode()),
        "\ud800.\ud800.\ud800",
    ],
)
def test_a_malformed_token_is_foreign_and_raises_nothing(raw: str) -> None:
    """It is not ours, and nothing is raised."""
    assert parse_access_token(raw, OURS) is None


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "-Infinity", "1" * 5000])
def test_a_claim_with_a_number_that_json_has_not_is_foreign(number: str) -> None:
    """Infinity, NaN and digits without end are refused in any claim, not only in times."""
    text = json.dumps(CLAIMS)[:-1]
    assert parse_access_token(forge(f'{text}, "x": {number}}}'.encode()), OURS) is None
    assert parse_access_token(forge(text.replace("1700003600", number).encode() + b"}"), OURS) is None


@pytest.mark.parametrize("part", [0, 1])
def test_a_deeply_nested_part_is_foreign(part: int) -> None:
    """Nesting that no parser survives is foreign."""
    parts = [json.dumps(content)[:-1] + ', "x": ' + "[" * 6000 for content in (HEADER, CLAIMS)]
    parts[1 - part] = json.dumps([HEADER, CLAIMS][1 - part])
    assert parse_access_token(forge(parts[1].encode(), parts[0].encode()), OURS) is None


def test_a_token_longer_than_any_of_ours_is_not_parsed() -> None:
    """Beyond the cap nothing is parsed."""
    fitting = forge(signature="s" * (MAX_TOKEN_LENGTH - len(forge(signature=""))))
    assert parse_access_token(fitting, OURS) is not None
    assert parse_access_token(fitting + "s", OURS) is None


@given(st.text() | st.tuples(st.text(), st.text(), st.text()).map(".".join))
def test_any_text_is_judged_without_raising(raw: str) -> None:
    """No text raises."""
    parse_access_token(raw, OURS)
    is_legacy(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


OWN = sorted(OWN_NAMES)


@given(
    st.dictionaries(st.sampled_from(sorted([*HEADER, *OWN])), JSON),
    st.dictionaries(st.sampled_from(sorted([*CLAIMS, *OWN])), JSON),
)
def test_any_content_is_judged_without_raising_and_can_be_shown_if_it_passes(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Claims of any type do not raise, and what passes can be shown to a script."""
    token = parse_access_token(forge({**CLAIMS, **claims}, {**HEADER, **header}), OURS)
    if token is not None:
        front_token(token.claims)
        assert isinstance(token.expires_at, int)
        assert isinstance(token.born, int)
        assert not OWN_NAMES & token.claims.keys()


@pytest.mark.parametrize(
    ("header", "claims", "marks"),
    [
        ({}, {}, Marks()),
        ({"st-born": 7}, {}, Marks(7)),
        ({"st-born": 7.5}, {}, Marks(7)),
        ({}, {"st-born": 5}, Marks(5)),
        ({"st-born": 7}, {"st-born": 5}, Marks(7)),
        ({"st-remember": False}, {}, Marks(remember=False)),
        ({}, {"st-remember": False}, Marks(remember=False)),
        ({"st-remember": True}, {"st-remember": False}, Marks(remember=False)),
        ({"st-remember": "odd"}, {"st-remember": 0}, Marks()),
        ({}, {"st-static": True}, Marks()),
    ],
    ids=spell,
)
def test_the_engine_s_notes_are_read_from_header_or_payload_and_taken_out(
    header: dict[str, Any], claims: dict[str, Any], marks: Marks
) -> None:
    """In the header; where it stands in the payload, as it did once, it is read and taken out."""
    token = parse_access_token(forge({**CLAIMS, **claims}, {**HEADER, **header}), OURS)
    assert token is not None
    assert (token.marks, token.claims) == (marks, CLAIMS)
    assert token.born == (CLAIMS["iat"] * 1000 if marks.born is None else marks.born)


@pytest.mark.parametrize("born", [None, "7", True, [7], 2**60, -(2**60)], ids=spell)
def test_a_token_whose_birth_is_no_time_is_foreign(born: Any) -> None:
    """A token whose header or payload says so is not ours."""
    assert parse_access_token(forge(CLAIMS, {**HEADER, "st-born": born}), OURS) is None
    assert parse_access_token(forge({**CLAIMS, "st-born": born}), OURS) is None


@pytest.mark.parametrize("marks", [Marks(), Marks(7), Marks(remember=False), Marks(7, remember=False)], ids=repr)
def test_marks_come_back_as_written_and_only_unusual_ones_are_in_the_header(marks: Marks) -> None:
    """A header says of them what is not usual, and nothing else."""
    token = parse_access_token(forge(CLAIMS, {**HEADER, **header_names(marks)}), OURS)
    assert token is not None
    assert token.marks == marks
    assert len(header_names(marks)) == (marks.born is not None) + (not marks.remember)


@pytest.mark.parametrize("header", LEGACY_HEADERS)
def test_a_token_of_version_1_or_2_is_an_old_session_and_not_foreign(header: str) -> None:
    """It is an old session, not a foreign token."""
    assert is_legacy(f"{header}.eyJ.sig")
    assert json.loads(base64.b64decode(header))["version"] in ("1", "2")
    assert not is_legacy(forge())


def test_a_kid_tells_the_kind_of_key() -> None:
    """``d-`` is dynamic, ``s-`` static."""
    assert is_dynamic("d-1795363746113")
    assert not is_dynamic("s-0a1b")


# -- payloads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROTECTED)
def test_a_protected_name_in_a_payload_is_refused_unless_it_repeats_the_present_value(name: str) -> None:
    """A ValueError, unless it says what one of the present payloads says: it is dropped then. What was passed stays as it was."""
    payload = {name: "mine", "role": "admin"}
    with pytest.raises(ValueError, match=f"the update sets .* itself: {name}[.]"):
        drop_protected_names(payload, "the update", {}, {name: None})
    assert drop_protected_names(payload, "the update", {}, {name: "mine"}) == {"role": "admin"}
    assert name in payload


@pytest.mark.parametrize(
    ("update", "result"),
    [
        ({}, {"a": {"x": 1}, "b": None}),
        ({"a": {"y": 2}}, {"a": {"y": 2}, "b": None}),
        ({"a": None}, {"b": None}),
        ({"missing": None}, {"a": {"x": 1}, "b": None}),
        ({"a": {"x": None}}, {"a": {"x": None}, "b": None}),
        ({"c": [None]}, {"a": {"x": 1}, "b": None, "c": [None]}),
    ],
)
def test_a_merge_is_shallow_and_none_deletes_a_key(update: dict[str, Any], result: dict[str, Any]) -> None:
    """The merge is shallow; ``None`` deletes a key, nested ``None`` is a value."""
    payload = {"a": {"x": 1}, "b": None}
    assert merge(payload, update) == result
    assert payload == {"a": {"x": 1}, "b": None}


def endless() -> dict[str, Any]:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    return loop


@pytest.mark.parametrize(
    "value",
    [
        [],
        "text",
        5,
        {"x": {1}},
        {"x": b"1"},
        {"x": float("inf")},
        {"x": float("nan")},
        {"x": "\ud800"},
        {"\ud800": 1},
        endless(),
    ],
    ids=lambda value: str(value).encode("ascii", "replace").decode(),
)
def test_what_is_not_json_is_refused_by_name(value: Any) -> None:
    """A ValueError says of what."""
    with pytest.raises(ValueError, match="session_data must be"):
        to_json_object(value, "session_data")


def test_json_is_kept_in_ascii_with_big_integers_nulls_and_emoji_intact() -> None:
    """Big integers, nested nulls and emoji survive in a text that every database keeps."""
    text = to_json_object({"n": 10**40, "x": [None, {"y": None}], "e": "😀"}, "payload")
    assert text.isascii()
    assert json.loads(text) == {"n": 10**40, "x": [None, {"y": None}], "e": "😀"}


def test_only_the_session_s_payload_is_left_of_a_token_s_claims() -> None:
    """Its times, which end with it, go."""
    claims = claims_of_a_record()
    assert drop_times(claims) == {name: claims[name] for name in claims.keys() - {"iat", "exp"}}


# -- front-token -------------------------------------------------------------------------------------------------------


def test_a_front_token_equals_the_protocol_s_example_byte_by_byte() -> None:
    """The example of the protocol, byte by byte."""
    assert front_token({"exp": 1795367955, "iat": 1795364355, "sub": "u1"}) == (
        "eyJhdGUiOjE3OTUzNjc5NTUwMDAsInVpZCI6InUxIiwidXAiOnsiZXhwIjoxNzk1MzY3OTU1LCJpYXQiOjE3OTUzNjQzNTUsInN1YiI6InUxIn19"
    )


def test_the_sign_in_s_time_and_the_engine_s_notes_are_kept_from_scripts() -> None:
    """When the user logged in, and what the engine notes for itself, is in neither kind of front-token; the rest is in both."""
    claims = {**CLAIMS, "auth_time": 1, "st-born": 2, "st-remember": False, "st-static": True, "cart": {"st-born": 3}}
    for token in (front_token(claims), placeholder_front_token(claims, CLAIMS["iat"] * 1000)):
        assert json.loads(base64.b64decode(token))["up"] == {**CLAIMS, "cart": {"st-born": 3}}


@pytest.mark.parametrize("user_id", ["漢" * 255, "😀" * 255, "??>>~~ÿÿ"])
def test_a_front_token_holds_any_user_id(user_id: str) -> None:
    """Standard alphabet with padding, JSON in UTF-8."""
    token = front_token({**CLAIMS, "sub": user_id})
    content = json.loads(base64.b64decode(token, validate=True))
    assert (content["uid"], content["up"]["sub"], content["ate"]) == (user_id, user_id, CLAIMS["exp"] * 1000)


@pytest.mark.parametrize(
    ("claims", "content"),
    [
        (None, {"ate": 0, "uid": "", "up": {}}),
        (CLAIMS, {"ate": 0, "uid": "user-1", "up": {**CLAIMS, "iat": 1_700_000_009}}),
    ],
)
def test_a_placeholder_front_token_has_expired_and_says_what_time_it_is(
    claims: dict[str, Any] | None, content: dict[str, Any]
) -> None:
    """The placeholder has expired and says what time it is; the payload is that of the token in the request."""
    assert json.loads(base64.b64decode(placeholder_front_token(claims, 1_700_000_009_999))) == content


# -- what users pass ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", ["u", "漢" * 255, "😀" * 255, " ", "a\nb", '"\\;,='], ids=ascii)
def test_a_user_id_of_1_to_255_characters_is_accepted(user_id: str) -> None:
    """1 to 255 characters of any script."""
    assert check_user_id(user_id) == user_id


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\0b", "\ud800", 5, None, b"u", ["u"]], ids=ascii)
def test_a_user_id_that_is_empty_too_long_or_unwritable_is_refused(user_id: Any) -> None:
    """Empty, too long, with NUL or a lone surrogate, or no string."""
    with pytest.raises(ValueError, match="recipe_user_id must"):
        check_user_id(user_id, "recipe_user_id")


@pytest.mark.parametrize("tenant_id", ["", "A", "a_b", "a" * 65, "ä", "a\n", 5, None], ids=ascii)
def test_a_tenant_id_that_is_not_1_to_64_of_a_z_0_9_and_hyphen_is_refused(tenant_id: Any) -> None:
    """1 to 64 of a-z, 0-9 and -."""
    assert check_tenant_id("tenant-1") == "tenant-1"
    with pytest.raises(ValueError, match="tenant_id must be"):
        check_tenant_id(tenant_id)


@pytest.mark.parametrize(
    ("expected", "given", "same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("ä", "ä", True),
        (None, None, False),
        ("a", None, False),
        (None, "a", False),
    ],
)
def test_equal_secrets_are_the_same_and_two_absent_ones_are_not(
    expected: str | None, given: str | None, same: bool
) -> None:
    """Two absent values are not the same."""
    assert same_secret(expected, given) is same
