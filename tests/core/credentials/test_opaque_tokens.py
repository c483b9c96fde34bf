"""Opaque tokens through the step that finds out who calls, with the issuer in the test's hands."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from fakes_credentials import AGENCY, NOW_S, Desk, b64, token
from fakes_introspection import ACTIVE, LEGACY
from hypothesis import given
from hypothesis import strategies as st

from hms_svc.core.config import IntrospectionEndpoint
from hms_svc.core.credentials.api_keys import make
from hms_svc.core.credentials.opaque_tokens import issuer_to_ask
from hms_svc.core.errors import BadCredentials, Malformed, Unavailable
from hms_svc.core.model import ClientCertificate
from hms_svc.local.system import SystemRandomness

BOTH = (AGENCY, LEGACY)


def cause_of(desk: Desk, text: str) -> str:
    with pytest.raises(BadCredentials) as refusal:
        desk.bearer(text)
    return refusal.value.cause


def jwt(**claims: object) -> str:
    return f"{b64(b'{}')}.{b64(json.dumps(claims).encode())}.{b64(b'x')}"


# Who is asked about what


def test_an_opaque_token_is_its_issuers_word() -> None:
    caller = Desk(issuers=BOTH).bearer("opaque")
    assert (caller.name, caller.issuer, len(caller.token_key)) == ("alice", LEGACY.issuer, 32)


def test_a_token_of_an_issuer_with_keys_is_verified_and_shown_to_nobody() -> None:
    desk = Desk(issuers=BOTH)
    assert desk.bearer(token()).issuer == AGENCY.issuer
    assert "the token has no exp" in cause_of(desk, token(exp=None))
    assert desk.introspection.asked == {}


def test_a_token_of_a_stranger_is_refused_and_shown_to_nobody() -> None:
    desk = Desk(issuers=BOTH)
    assert "unknown issuer" in cause_of(desk, token(iss="https://evil.example/"))
    assert desk.introspection.asked == {}


def test_a_jwt_of_the_issuer_that_is_asked_is_shown_to_it() -> None:
    desk = Desk(issuers=BOTH)
    text = token(iss=LEGACY.issuer)
    desk.introspection.by_token[text] = ACTIVE
    assert desk.bearer(text).issuer == LEGACY.issuer
    assert cause_of(desk, token(iss=LEGACY.issuer, jti="another")) == "the token is not active"


@pytest.mark.parametrize(
    "text", ["a", "a.b.c", "a.b.c.d.e", "v4.public.eyJpc3MiOiJ4In0", "....", jwt(iss=LEGACY.issuer)]
)
def test_what_is_no_jwt_is_shown_and_so_is_one_of_the_issuer(text: str) -> None:
    assert issuer_to_ask(text, BOTH) is LEGACY


@pytest.mark.parametrize(
    "text",
    [
        jwt(sub="nobody"),
        jwt(iss=1),
        token(iss=None),
        jwt(iss=AGENCY.issuer, number=10**30),
        jwt(iss=LEGACY.issuer, half="\ud800"),
        f"{b64(b' {}')}.{b64(b'not JSON')}.x",
        b64(b'{"alg":"dir","enc":"A256GCM"}') + "..aaaa.bbbb.cccc",
        f".{token()}",
        f"{token()}.",
        token().rpartition(".")[0],
        "x." + make(SystemRandomness()),
    ],
    ids=[
        *("no iss", "number as iss", "signed, no iss", "cannot be read", "half a pair", "no claims", "encrypted"),
        *("a dot before it", "a dot after it", "no signature", "an API key after a dot"),
    ],
)
def test_a_jwt_that_does_not_name_the_issuer_may_be_anybodys_and_is_not_shown(text: str) -> None:
    assert issuer_to_ask(text, BOTH) is None


def test_the_twin_of_an_elliptic_signature_is_the_same_token_to_the_limits() -> None:
    desk = Desk(issuers=BOTH)
    text = token(algorithm="ES256", iss=LEGACY.issuer)
    signing_input, _, signature = text.rpartition(".")
    twin = f"{signing_input}.{signature[::-1]}"
    desk.introspection.by_token |= {text: ACTIVE, twin: ACTIVE}
    assert desk.bearer(text).token_key == desk.bearer(twin).token_key


@pytest.mark.parametrize(
    "text",
    [
        jwt(iss=AGENCY.issuer),
        jwt(iss="https://evil.example/"),
        jwt(iss=""),
        f"!.{jwt(iss=AGENCY.issuer).split('.')[1]}.!",
        f".{jwt(iss=AGENCY.issuer).split('.')[1]}.",
        make(SystemRandomness()),
    ],
    ids=["an issuer with keys", "a stranger", "nobody", "broken around it", "nothing around it", "an API key"],
)
def test_what_names_another_issuer_is_not_shown_however_broken_it_is(text: str) -> None:
    assert issuer_to_ask(text, BOTH) is None


def test_an_api_key_in_the_wrong_place_is_shown_to_nobody() -> None:
    desk = Desk(issuers=BOTH)
    assert cause_of(desk, make(SystemRandomness())).startswith("it is no signed token")
    assert desk.introspection.asked == {}


def test_without_an_issuer_to_ask_an_opaque_token_is_refused() -> None:
    desk = Desk()
    assert cause_of(desk, "opaque") == "it is no signed token: it has 1 part, not 3"
    assert desk.introspection.asked == {}


# Tokens that are bound, or live too long


def test_a_bound_token_needs_its_certificate_each_time() -> None:
    desk = Desk(issuers=BOTH)
    desk.introspection.by_token["opaque"] = {**ACTIVE, "cnf": {"x5t#S256": "its thumbprint"}}
    own = ClientCertificate(
        "CN=a", "01", "CN=ca", thumbprint="its thumbprint", not_after_s=NOW_S + 60, for_clients=True
    )
    bearer = ("Authorization", "Bearer opaque")
    assert desk.identify(bearer, certificate=own).name == "alice"
    assert cause_of(desk, "opaque") == "the token is bound to a client certificate, and none came with it"
    with pytest.raises(BadCredentials):
        desk.identify(bearer, certificate=replace(own, thumbprint="another's"))
    assert desk.introspection.asked["opaque"] == 1


def test_an_issuer_whose_tokens_must_be_bound_is_held_to_that() -> None:
    desk = Desk(issuers=(replace(LEGACY, certificate_bound=True),))
    assert cause_of(desk, "opaque") == "the token is not bound to a client certificate"


def test_a_token_bound_in_another_way_is_refused() -> None:
    desk = Desk(issuers=BOTH)
    desk.introspection.by_token["opaque"] = {**ACTIVE, "cnf": {"jkt": "a"}}
    assert cause_of(desk, "opaque") == "the token is bound by jkt, which is not supported"


def test_an_issuers_settings_of_claims_count_for_its_answers() -> None:
    strict = replace(LEGACY, audience_claim="client_id", leeway_s=0, max_lifetime_s=3600)
    good = {**ACTIVE, "client_id": "hms-api", "iat": NOW_S}
    desk = Desk(issuers=(strict,))
    desk.introspection.by_token = {
        "good": good,
        "others": {**good, "client_id": "x"},
        "late": {**good, "exp": NOW_S},
        "long": {**good, "exp": NOW_S + 3601},
        "endless": {name: value for name, value in good.items() if name != "exp"},
    }
    assert desk.bearer("good").name == "alice"
    assert cause_of(desk, "others") == "the client_id is for others"
    assert cause_of(desk, "late") == "token expired 0 s ago"
    assert {cause_of(desk, "long"), cause_of(desk, "endless")} == {"the token lives longer than 3600 s"}


# For how long an answer is believed


def test_a_flood_of_one_token_is_one_question() -> None:
    desk = Desk(issuers=BOTH)
    assert len({id(desk.bearer("opaque")) for _ in range(200)}) == 1
    for _ in range(200):
        assert cause_of(desk, "made-up") == "the token is not active"
    assert desk.introspection.asked == {"opaque": 1, "made-up": 1}


def test_a_revoked_token_is_refused_once_the_cache_time_is_over() -> None:
    desk = Desk(issuers=BOTH)
    desk.bearer("opaque")
    desk.introspection.by_token.clear()
    desk.clock.advance(59.9)
    assert desk.bearer("opaque").name == "alice"
    desk.clock.advance(0.1)
    assert cause_of(desk, "opaque") == "the token is not active"


def test_a_token_that_was_not_active_yet_is_asked_about_again_soon() -> None:
    desk = Desk(issuers=BOTH)
    cause_of(desk, "new")
    desk.introspection.by_token["new"] = ACTIVE
    cause_of(desk, "new")
    desk.clock.advance(10)
    assert desk.bearer("new").name == "alice"


def test_an_answer_is_not_believed_past_exp() -> None:
    desk = Desk(issuers=BOTH)
    desk.introspection.by_token["opaque"] = {**ACTIVE, "exp": NOW_S + 5}
    desk.bearer("opaque")
    desk.clock.advance(5)
    desk.introspection.by_token.clear()
    assert cause_of(desk, "opaque") == "the token is not active"


def test_with_a_cache_of_0_each_call_asks() -> None:
    eager = replace(LEGACY, introspection=IntrospectionEndpoint("a", "file:a", cache_s=0))
    desk = Desk(issuers=(eager,))
    for _ in range(3):
        desk.bearer("opaque")
    assert desk.introspection.asked["opaque"] == 3


def test_an_answer_is_forgotten_when_the_issuer_is_configured_otherwise() -> None:
    desk = Desk(issuers=BOTH)
    desk.bearer("opaque")
    desk.issuers = (replace(LEGACY, audience=("another-api",)),)
    assert cause_of(desk, "opaque") == "the aud is for others"
    desk.issuers = (AGENCY,)
    assert cause_of(desk, "opaque").startswith("it is no signed token")


# When the issuer cannot be asked


def test_an_issuer_that_is_down_is_503_and_not_401() -> None:
    desk = Desk(issuers=BOTH)
    desk.introspection.down = True
    with pytest.raises(Unavailable) as refusal:
        desk.bearer("opaque")
    assert refusal.value.cause == "issuer legacy cannot be asked"
    assert "Retry-After" in dict(refusal.value.headers)
    desk.introspection.down = False
    assert desk.bearer("opaque").name == "alice"


def test_an_issuer_that_is_down_is_no_matter_for_tokens_of_others_and_those_it_vouched_for() -> None:
    desk = Desk(issuers=BOTH)
    desk.bearer("opaque")
    desk.introspection.down = True
    assert desk.bearer(token()).name == "alice"
    assert desk.bearer("opaque").name == "alice"
    desk.clock.advance(60)
    with pytest.raises(Unavailable):
        desk.bearer("opaque")


def test_an_answer_that_cannot_be_understood_is_503_and_not_kept() -> None:
    desk = Desk(issuers=BOTH)
    desk.introspection.by_token["opaque"] = b"<html>"
    for _ in range(2):
        with pytest.raises(Unavailable) as refusal:
            desk.bearer("opaque")
        assert refusal.value.cause == "the introspection by issuer legacy cannot be read: it is not JSON at character 0"
    desk.introspection.by_token["opaque"] = ACTIVE
    assert desk.bearer("opaque").name == "alice"


# Whatever comes


def test_the_record_never_holds_the_token() -> None:
    for text in ("s3cret-opaque", base64.b64encode(b"s3cret").decode()):
        assert text not in cause_of(Desk(issuers=BOTH), text)


@given(st.text('abcXYZ019-_.=+/~ ,"', max_size=120))
def test_any_bearer_token_is_400_or_401(text: str) -> None:
    with pytest.raises((BadCredentials, Malformed)):
        Desk(issuers=BOTH).bearer(text)
