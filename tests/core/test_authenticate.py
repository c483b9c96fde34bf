from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes_credentials import (
    AGENCY,
    GOOD_CLAIMS,
    NOW_S,
    Desk,
    KeySet,
    b64,
    ec_jwk,
    ec_key,
    rsa_jwk,
    rsa_key,
    signed,
    token,
)
from fakes_introspection import Answers
from hypothesis import example, given
from hypothesis import strategies as st
from worlds import CountingRandomness, drive, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.config import CertificateRule, ClientCertificates, Config, Issuer, RevokedCertificate
from hms_svc.core.credentials.api_keys import issue
from hms_svc.core.errors import BadCredentials, Malformed, Refusal, Unavailable
from hms_svc.core.model import NOBODY, ClientCertificate
from hms_svc.core.ports import ApiKey

if TYPE_CHECKING:
    from collections.abc import Mapping

CERTIFICATE = ClientCertificate(
    "CN=batch,O=Agency",
    "0AF3",
    "CN=Agency CA",
    ("DNS:batch.agency.example",),
    not_before_s=NOW_S - 60,
    not_after_s=NOW_S + 60,
    for_clients=True,
)
ANY = ("oauth", "api_key", "mtls")


def new_key(desk: Desk, **changed: Any) -> str:
    """A key that the desk's store knows."""
    key, kept = issue(
        CountingRandomness(), name="batch", owner="batch-team", scopes=frozenset({"a"}), now_s=NOW_S, expires_s=None
    )
    desk.store.keys.append(replace(kept, **changed))
    return key


def refused(desk: Desk, *lines: tuple[str, str], **more: Any) -> BadCredentials:
    with pytest.raises(BadCredentials) as refusal:
        desk.identify(*lines, **more)
    return refusal.value


def cause_of(desk: Desk, text: str) -> str:
    return refused(desk, ("Authorization", f"Bearer {text}")).cause


def challenges(refusal: Refusal) -> list[str]:
    return [value for name, value in refusal.headers if name == "WWW-Authenticate"]


# Open routes, and nothing presented


def test_on_an_open_route_the_caller_is_nobody_whatever_is_presented() -> None:
    assert Desk().identify(("Authorization", "Bearer x"), ("Authorization", "Bearer y"), auth=()) is NOBODY


def test_nothing_presented_is_refused_with_a_challenge_for_each_way_in_the_routes_order() -> None:
    refusal = refused(Desk(), auth=("mtls", "oauth", "api_key"))
    assert challenges(refusal) == [
        'ClientCertificate realm="hms-svc"',
        'Bearer realm="hms-svc"',
        'ApiKey realm="hms-svc"',
    ]
    assert refusal.cause == "no client certificate; no bearer token; no API key"


def test_a_bad_token_is_told_from_none_in_the_challenge_only() -> None:
    without, bad = refused(Desk()), refused(Desk(), ("Authorization", "Bearer bad"))
    assert challenges(without) == ['Bearer realm="hms-svc"']
    assert challenges(bad) == ['Bearer realm="hms-svc", error="invalid_token"']
    assert without.answer("r").body == bad.answer("r").body


def test_several_authorization_fields_are_malformed() -> None:
    for auth in (("oauth",), ("api_key",), ("mtls",)):
        with pytest.raises(Malformed):
            Desk().identify(("Authorization", f"Bearer {token()}"), ("Authorization", "Basic x"), auth=auth)


def test_a_signature_of_the_services_own_goes_on_beside_a_certificate() -> None:
    signature = "AWS4-HMAC-SHA256 Credential=AKID/20260101/a/s3/aws4_request, SignedHeaders=host;date, Signature=fe5f"
    assert Desk().identify(("Authorization", signature), auth=("mtls",), certificate=CERTIFICATE).via == "mtls"


# Tokens


def test_a_good_token_names_its_caller() -> None:
    caller = Desk().bearer(token())
    assert (caller.name, caller.via, caller.credential_id, caller.issuer) == ("alice", "oauth", "t-1", AGENCY.issuer)
    assert caller.scopes == {"claims:read", "claims:write"}
    assert caller.claims["aud"] == "hms-api"
    assert len(caller.token_key) == 32


def test_two_tokens_of_one_caller_have_two_keys_for_limits() -> None:
    desk = Desk()
    assert desk.bearer(token(jti="1")).token_key != desk.bearer(token(jti="2")).token_key


def test_the_twin_of_an_elliptic_signature_does_not_get_a_second_bucket() -> None:
    """Who has (r, s) has (r, n - s) too, which is a good signature of the same token."""
    text = token(algorithm="ES256")
    unsigned, _, last = text.rpartition(".")
    pair = base64.urlsafe_b64decode(last + "==")
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    twin = f"{unsigned}.{b64(pair[:32] + (order - int.from_bytes(pair[32:], 'big')).to_bytes(32, 'big'))}"
    desk = Desk(ec_jwk(ec_key()))
    assert twin != text
    assert desk.bearer(twin).token_key == desk.bearer(text).token_key


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_has_no_case(scheme: str) -> None:
    assert Desk().identify(("authorization", f"{scheme} {token()}")).name == "alice"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (token(exp=NOW_S - 72), "token expired 72 s ago"),
        (token(exp=None), "the token has no exp"),
        (token(aud=None), "the token has no aud"),
        (token(aud="others"), "the aud is for others"),
        (token(sub=None), "the token has neither sub nor client_id"),
        (token(iss=None), "the token has no iss"),
        (token(iss="https://evil.example/"), "unknown issuer 'https://evil.example/'"),
        (token(key=rsa_key("attacker")), "the signature is wrong"),
        (token(header={"kid": "gone"}), "unknown kid 'gone': no key of the issuer's 1 can be used with RS256"),
        (token(header={"alg": "none"}), "the algorithm none is not one of the issuer's"),
        (token(header={"alg": "HS256"}), "the algorithm HS256 is not one of the issuer's"),
        (token(header={"crit": ["b64"]}), "the header has crit, which is not supported"),
        (token(header={"typ": "logout+jwt"}), "the typ is not that of a token for access"),
        ("opaque", "it is no signed token: it has 1 part, not 3"),
        ("a.b.c.d.e", "it is no signed token: it has 5 parts, not 3"),
        (token(key=rsa_key("attacker"), header={"jwk": rsa_jwk(rsa_key("attacker"))}), "the signature is wrong"),
        (signed('{"alg":"RS256","kid":"rsa-1"}', "[]", rsa_key(), "RS256"), "not a JSON object"),
        (signed('{"alg":"RS256","kid":"rsa-1"}', '{"exp":Infinity}', rsa_key(), "RS256"), "the value Infinity"),
        (signed('{"alg":"RS256","kid":"rsa-1"}', '{"exp":1e999}', rsa_key(), "RS256"), "a number out of range"),
        (signed('{"alg":"RS256","kid":"rsa-1"}', '{"sub":"a","sub":"b"}', rsa_key(), "RS256"), "a member twice"),
        (signed('{"alg":"RS256","kid":"rsa-1"}', '{"a":' + "[" * 2000, rsa_key(), "RS256"), "nested deeper than 16"),
        (signed('{"alg":"none","alg":"RS256"}', "{}", rsa_key(), "RS256"), "a member twice"),
    ],
    ids=lambda value: value[:40] if " " in value else "",
)
def test_forged_and_faulty_tokens_are_refused_and_the_record_says_why(text: str, cause: str) -> None:
    refusal = refused(Desk(), ("Authorization", f"Bearer {text}"))
    assert cause in refusal.cause
    assert (refusal.status, refusal.detail) == (401, "Bad credentials")


def test_the_record_never_holds_the_credential() -> None:
    for text in (token(exp=1), token(key=rsa_key("attacker")), "s3cret-opaque", "s3cret.s3cret.s3cret"):
        cause = cause_of(Desk(), text)
        assert not any(part in cause for part in text.split(".") if part)


def test_a_token_of_each_of_two_issuers_is_believed_by_its_own_keys_only() -> None:
    other = Issuer("other", "https://other.example/", ("hms-api",), ("ES256",))
    desk = Desk(rsa_jwk(rsa_key()), ec_jwk(ec_key()), issuers=(AGENCY, other))
    assert desk.bearer(token()).issuer == AGENCY.issuer
    assert desk.bearer(token(iss=other.issuer, algorithm="ES256")).issuer == other.issuer
    assert "RS256 is not one" in cause_of(desk, token(iss=other.issuer))


def test_without_issuers_no_token_is_believed() -> None:
    assert "unknown issuer" in cause_of(Desk(issuers=()), token())


def test_when_the_keys_cannot_be_had_the_answer_is_503_and_not_401() -> None:
    desk = Desk()
    desk.source.down = True
    with pytest.raises(Unavailable) as refusal:
        desk.bearer(token())
    assert refusal.value.cause == "the keys of issuer agency cannot be had"
    assert "Retry-After" in dict(refusal.value.headers)


def test_what_needs_no_keys_is_refused_although_they_cannot_be_had() -> None:
    desk = Desk()
    desk.source.down = True
    assert cause_of(desk, "opaque").startswith("it is no signed token")
    assert cause_of(desk, token(iss="https://evil.example/")).startswith("unknown issuer")


# Tokens bound to a certificate (RFC 8705)


BOUND = token(cnf={"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"})
WITH_THUMBPRINT = replace(CERTIFICATE, thumbprint="bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2")


def test_a_bound_token_is_good_with_its_certificate_only() -> None:
    desk = Desk()
    line = ("Authorization", f"Bearer {BOUND}")
    for _ in range(2):  # the second time it is known already
        assert desk.identify(line, certificate=WITH_THUMBPRINT).via == "oauth"
        without, other = (
            refused(desk, line),
            refused(desk, line, certificate=replace(WITH_THUMBPRINT, thumbprint="A" * 43)),
        )
        assert without.cause == "the token is bound to a client certificate, and none came with it"
        assert other.cause == "the token is bound to another client certificate"


def test_a_certificate_whose_thumbprint_the_door_does_not_know_proves_nothing() -> None:
    refusal = refused(Desk(), ("Authorization", f"Bearer {BOUND}"), certificate=CERTIFICATE)
    assert refusal.cause == "the token is bound to a client certificate, and none came with it"


HELD: dict[str, tuple[dict[str, Any], str]] = {
    "over": ({"not_after_s": NOW_S - 1}, "the client certificate expired 1 s ago"),
    "not yet": ({"not_before_s": NOW_S + 1}, "the client certificate is valid in 1 s"),
    "not for clients": ({"for_clients": False}, "the client certificate is not for authenticating clients"),
    "revoked in the routes": ({"serial": "0B"}, "the client certificate 0B is revoked in routes.yml"),
    "revoked of one authority": ({"serial": "0C"}, "the client certificate 0C is revoked in routes.yml"),
    "revoked by a list": ({"serial": "0D"}, "the client certificate 0D is revoked by an authority's list"),
}


@pytest.mark.parametrize("case", HELD)
def test_a_bound_token_is_as_good_as_its_certificate(case: str) -> None:
    changed, cause = HELD[case]
    desk = Desk(issuers=(replace(AGENCY, certificate_bound=True),))
    desk.client_certificates = ClientCertificates(
        revoked=frozenset({RevokedCertificate("0B"), RevokedCertificate("0C", "CN=Agency CA")})
    )
    desk.revoked.serials = ("0D",)
    line = ("Authorization", f"Bearer {BOUND}")
    for _ in range(2):  # the second time it is known already
        assert desk.identify(line, certificate=WITH_THUMBPRINT).via == "oauth"
        assert refused(desk, line, certificate=replace(WITH_THUMBPRINT, **changed)).cause == cause


def test_a_bound_token_ends_with_its_certificate_on_a_connection_that_goes_on() -> None:
    desk, line = Desk(), ("Authorization", f"Bearer {BOUND}")
    assert desk.identify(line, certificate=WITH_THUMBPRINT).via == "oauth"
    desk.clock.advance(61)
    assert refused(desk, line, certificate=WITH_THUMBPRINT).cause == "the client certificate expired 1 s ago"


def test_while_the_lists_cannot_be_had_no_bound_token_is_believed() -> None:
    desk = Desk()
    desk.revoked.down = True
    line = ("Authorization", f"Bearer {BOUND}")
    with pytest.raises(Unavailable) as refusal:
        desk.identify(line, certificate=WITH_THUMBPRINT)
    assert refusal.value.cause == "no list"
    anothers = refused(desk, line, certificate=replace(WITH_THUMBPRINT, thumbprint="A" * 43))
    assert anothers.cause == "the token is bound to another client certificate"
    assert desk.bearer(token()).name == "alice"  # is bound to nothing
    assert desk.identify(("Authorization", f"Bearer {token()}"), certificate=WITH_THUMBPRINT).name == "alice"
    assert desk.revoked.asked == 1


def test_whom_the_certificate_of_a_bound_token_names_is_no_matter() -> None:
    desk = Desk()
    desk.client_certificates = ClientCertificates(callers=(CertificateRule("cn", "other", "other"),))
    nameless = replace(WITH_THUMBPRINT, subject="", sans=())
    assert desk.identify(("Authorization", f"Bearer {BOUND}"), certificate=nameless).name == "alice"


def test_an_issuer_may_be_held_to_bound_tokens() -> None:
    desk = Desk(issuers=(replace(AGENCY, certificate_bound=True),))
    assert desk.identify(("Authorization", f"Bearer {BOUND}"), certificate=WITH_THUMBPRINT).name == "alice"
    refusal = refused(desk, ("Authorization", f"Bearer {token()}"), certificate=WITH_THUMBPRINT)
    assert refusal.cause == "the token is not bound to a client certificate"


@pytest.mark.parametrize(
    ("cnf", "cause"),
    [
        ({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "the token is bound by jkt, which is not supported"),
        ({"x5t#S256": "A" * 43, "jwk": {}}, "the token is bound by jwk, which is not supported"),
        ({"x5t#S256": None}, "the token is not bound to a client certificate"),
        ({"x5t#S256": ["A" * 43]}, "the x5t#S256 is no text"),
        ({"x5t#S256": "é"}, "the token is bound to another client certificate"),
        ([], "the cnf is no object"),
        ("x", "the cnf is no object"),
    ],
)
def test_a_binding_that_cannot_be_checked_is_refused(cnf: Any, cause: str) -> None:
    refusal = refused(Desk(), ("Authorization", f"Bearer {token(cnf=cnf)}"), certificate=WITH_THUMBPRINT)
    assert refusal.cause == cause


def test_a_confirmation_that_nobody_knows_is_ignored() -> None:
    assert Desk().bearer(token(cnf={"osc": {}})).name == "alice"


# Tokens that were verified before


def test_a_token_verified_before_is_known_again_and_still_expires() -> None:
    desk = Desk()
    text = token()
    assert desk.bearer(text) is desk.bearer(text)
    desk.clock.advance(600 + 59)
    assert desk.bearer(text).name == "alice"
    desk.clock.advance(1)
    assert cause_of(desk, text) == "token expired 60 s ago"


def test_a_token_that_expires_while_its_keys_are_waited_for_is_expired() -> None:
    class Slow(KeySet):
        async def keys(self, *args: Any, **more: Any) -> list[Mapping[str, Any]]:
            desk.clock.advance(8)
            return await super().keys(*args, **more)

    desk = Desk(issuers=(replace(AGENCY, leeway_s=0),))
    desk.authenticator = Authenticator(
        clock=desk.clock, key_source=Slow(), key_store=desk.store, introspection=desk.introspection
    )
    assert desk.bearer(token(exp=NOW_S + 15)).name == "alice"
    assert cause_of(desk, token(exp=NOW_S + 15)) == "token expired 9 s ago"
    assert cause_of(desk, token(exp=NOW_S + 30)) == "token expired 2 s ago"


def test_a_token_verified_before_is_refused_once_its_key_is_withdrawn() -> None:
    desk = Desk()
    text = token()
    desk.bearer(text)
    desk.source.members = [rsa_jwk(rsa_key("new"), "new")]
    assert "unknown kid 'rsa-1'" in cause_of(desk, text)


def test_a_token_verified_before_is_refused_once_the_issuer_is_configured_otherwise() -> None:
    desk = Desk()
    text = token()
    desk.bearer(text)
    desk.issuers = (Issuer("agency", AGENCY.issuer, ("another-api",)),)
    assert cause_of(desk, text) == "the aud is for others"
    desk.issuers = ()
    assert "unknown issuer" in cause_of(desk, text)


def test_a_token_verified_before_does_not_outlive_the_keys() -> None:
    desk = Desk()
    text = token()
    desk.bearer(text)
    desk.source.down = True
    with pytest.raises(Unavailable):
        desk.bearer(text)


def test_a_token_that_differs_in_its_signature_only_is_another() -> None:
    desk = Desk()
    text = token()
    desk.bearer(text)
    changed = text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:]
    assert cause_of(desk, changed) == "the signature is wrong"


# Demo tokens


def test_a_demo_token_is_believed_where_it_was_given() -> None:
    assert Desk().bearer("demo-user-token").name == "demo-user"
    without = Authenticator(clock=Desk().clock, key_source=KeySet(), key_store=Desk().store, introspection=Answers())
    desk = Desk()
    desk.authenticator = without
    assert cause_of(desk, "demo-user-token") == "it is no signed token: it has 1 part, not 3"


# API keys


def by_key(key: str) -> tuple[str, str]:
    return ("X-API-Key", key)


@pytest.mark.parametrize(
    "form", ["X-API-Key: {}", "x-api-key: {}", "Authorization: ApiKey {}", "Authorization: apikey {}"]
)
def test_a_good_key_names_its_owner(form: str) -> None:
    desk = Desk()
    name, _, value = form.format(new_key(desk)).partition(": ")
    caller = desk.identify((name, value), auth=("api_key",))
    assert (caller.name, caller.via) == ("batch-team", "api_key")
    assert caller.scopes == {"a"}
    assert caller.credential_id == desk.store.keys[0].id
    assert caller.token_key == desk.store.keys[0].sha256[:32]


def test_a_keys_plan_is_a_claim_of_its_caller() -> None:
    desk = Desk()
    assert desk.identify(by_key(new_key(desk, plan="gold")), auth=("api_key",)).claims == {"plan": "gold"}
    desk = Desk()
    assert desk.identify(by_key(new_key(desk)), auth=("api_key",)).claims == {}


def test_a_key_in_two_places_is_malformed() -> None:
    desk = Desk()
    key = new_key(desk)
    with pytest.raises(Malformed):
        desk.identify(by_key(key), ("Authorization", f"ApiKey {key}"), auth=("api_key",))


def test_a_mistyped_key_is_refused_without_asking_the_store() -> None:
    desk = Desk()
    key = new_key(desk)
    swapped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
    refusal = refused(desk, by_key(swapped), auth=("api_key",))
    assert refusal.cause == "the checksum of the API key is wrong: it is mistyped or made up"
    assert desk.store.asked == 0


def test_an_unknown_key_is_refused() -> None:
    desk = Desk()
    key = new_key(desk)
    desk.store.keys.clear()
    assert refused(desk, by_key(key), auth=("api_key",)).cause == "unknown API key"


def test_a_key_works_until_the_second_it_expires() -> None:
    desk = Desk()
    key = new_key(desk, expires_s=NOW_S + 10)
    desk.clock.advance(9.9)
    assert desk.identify(by_key(key), auth=("api_key",)).name == "batch-team"
    desk.clock.advance(0.1)
    refusal = refused(desk, by_key(key), auth=("api_key",))
    assert refusal.cause == f"API key {desk.store.keys[0].id} expired 0 s ago"


@pytest.mark.parametrize("revoked_s", [0, NOW_S, NOW_S + 1000])
def test_a_revoked_key_is_refused_whatever_the_clock_says(revoked_s: int) -> None:
    desk = Desk()
    key = new_key(desk, revoked_s=revoked_s)
    assert refused(desk, by_key(key), auth=("api_key",)).cause == f"API key {desk.store.keys[0].id} is revoked"


def test_a_store_that_finds_another_key_is_not_believed() -> None:
    class Careless:
        async def find(self, sha256: str) -> ApiKey | None:
            return ApiKey("key-1", "somebody", "0" * 64)

    desk = Desk()
    key = new_key(desk)
    desk.authenticator = Authenticator(
        clock=desk.clock, key_source=desk.source, key_store=Careless(), introspection=Answers()
    )
    assert refused(desk, by_key(key), auth=("api_key",)).cause == "unknown API key"


def test_when_the_key_store_is_down_the_answer_is_503() -> None:
    desk = Desk()
    key = new_key(desk)
    desk.store.down = True
    with pytest.raises(Unavailable):
        desk.identify(by_key(key), auth=("api_key",))


def test_a_key_in_the_query_or_as_a_bearer_token_is_none() -> None:
    desk = Desk()
    key = new_key(desk)
    assert refused(desk, ("Authorization", f"Bearer {key}"), auth=("api_key",)).cause == "no API key"


# Client certificates


def test_a_verified_certificate_names_its_subject() -> None:
    caller = Desk().identify(auth=("mtls",), certificate=CERTIFICATE)
    assert (caller.name, caller.via, caller.credential_id, caller.issuer) == (
        "CN=batch,O=Agency", "mtls", "0AF3", "CN=Agency CA",
    )  # fmt: skip
    assert len(caller.token_key) == 32


def test_the_same_serial_of_two_authorities_is_two_credentials() -> None:
    one = Desk().identify(auth=("mtls",), certificate=CERTIFICATE)
    two = Desk().identify(auth=("mtls",), certificate=replace(CERTIFICATE, issuer="CN=Other CA"))
    assert one.token_key != two.token_key


def test_a_certificate_without_subject_is_named_by_its_only_alternative_name() -> None:
    caller = Desk().identify(auth=("mtls",), certificate=replace(CERTIFICATE, subject=""))
    assert caller.name == "DNS:batch.agency.example"
    refusal = refused(Desk(), auth=("mtls",), certificate=replace(CERTIFICATE, subject="", sans=()))
    assert refusal.cause == "the client certificate has no name to go by"


@pytest.mark.parametrize("name", ["X-Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert", "Client-Cert"])
def test_a_field_that_speaks_of_a_certificate_is_not_believed(name: str) -> None:
    assert refused(Desk(), (name, "CN=batch,O=Agency"), auth=("mtls",)).cause == "no client certificate"


@pytest.mark.parametrize("subject", ["CN=\ud800", "CN=a\u202eb", ""])
def test_a_certificate_whose_name_is_no_text_names_nobody(subject: str) -> None:
    """Half a surrogate pair, which JSON can hold: what cannot be written on the wire ended in a 500."""
    odd = replace(CERTIFICATE, subject=subject, sans=("DNS:\udfff",))
    assert (
        refused(Desk(), auth=("mtls",), certificate=odd).cause
        == "the client certificate names nobody in printable text"
    )


def test_a_certificate_whose_only_name_is_empty_names_nobody() -> None:
    odd = replace(CERTIFICATE, subject="", sans=("",))
    assert (
        refused(Desk(), auth=("mtls",), certificate=odd).cause
        == "the client certificate names nobody in printable text"
    )


# Any of several


def test_the_first_good_one_in_the_routes_order_wins() -> None:
    desk = Desk()
    lines = (("Authorization", f"Bearer {token()}"), by_key(new_key(desk)))
    asked = request(headers=list(lines), certificate=CERTIFICATE)
    for auth, via in ((ANY, "oauth"), (("api_key", "oauth"), "api_key"), (("mtls", "oauth"), "mtls")):
        assert desk.identify(*lines, auth=auth, certificate=CERTIFICATE).via == via
    assert asked.certificate is CERTIFICATE


def test_a_bad_one_does_not_spoil_a_good_one() -> None:
    desk = Desk()
    caller = desk.identify(("Authorization", "Bearer bad"), by_key(new_key(desk)), auth=ANY)
    assert caller.via == "api_key"


def test_a_good_one_counts_although_another_store_is_down() -> None:
    desk = Desk()
    desk.source.down = True
    lines = (("Authorization", f"Bearer {token()}"), by_key(new_key(desk)))
    assert desk.identify(*lines, auth=ANY).via == "api_key"


def test_a_store_that_is_down_is_503_also_when_another_credential_is_bad() -> None:
    desk = Desk()
    desk.source.down = True
    with pytest.raises(Unavailable) as refusal:
        desk.identify(("Authorization", f"Bearer {token()}"), by_key("hms_bad"), auth=ANY)
    assert "form of an API key" in refusal.value.cause


def test_a_store_that_is_down_and_not_needed_is_no_matter() -> None:
    desk = Desk()
    desk.source.down = desk.store.down = True
    assert refused(desk, auth=ANY).status == 401


def test_what_the_route_does_not_accept_is_not_looked_at() -> None:
    desk = Desk()
    assert refused(desk, by_key(new_key(desk)), auth=("oauth",)).cause == "no bearer token"
    assert refused(desk, auth=("oauth",), certificate=CERTIFICATE).cause == "no bearer token"


# Whatever bytes come


def is_refused_properly(desk: Desk, *lines: tuple[str, str]) -> None:
    with pytest.raises((BadCredentials, Malformed)):
        desk.identify(*lines, auth=ANY)


LATIN = st.text(st.characters(max_codepoint=255), max_size=120)
TOKENISH = st.text('abcXYZ019-_.=+/~ ,"', max_size=120)


@given(
    LATIN
    | TOKENISH
    | st.builds("{} {}".format, st.sampled_from(["Bearer", "bearer", "ApiKey", "Basic"]), LATIN | TOKENISH)
)
@example("Bearer " + "." * 8192)
@example("Bearer " + "a." * 4000)
@example("Bearer " + "=" * 9000)
@example("ApiKey hms_" + "0" * 49)
def test_any_authorization_is_400_or_401(text: str) -> None:
    is_refused_properly(Desk(), ("Authorization", text))


@given(LATIN | st.builds("hms_{}".format, st.text("abcXYZ019", min_size=40, max_size=60)))
def test_any_api_key_is_400_or_401(text: str) -> None:
    is_refused_properly(Desk(), ("X-API-Key", text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
HEADER_NAMES = ["alg", "kid", "typ", "crit", "jwk", "jku", "x5c", "b64", "cty", "zip"]


@given(st.dictionaries(st.sampled_from(HEADER_NAMES), JSON | st.sampled_from(["RS256", "ES256", "rsa-1", "none"])))
def test_any_header_is_400_or_401_or_a_genuine_tokens(changed: dict[str, Any]) -> None:
    header = json.dumps({"alg": "RS256", "kid": "rsa-1", **changed})
    is_refused_properly(
        Desk(), ("Authorization", f"Bearer {signed(header, json.dumps({**GOOD_CLAIMS}), rsa_key('x'), 'RS256')}")
    )


@given(st.dictionaries(st.sampled_from(sorted(GOOD_CLAIMS)), JSON))
def test_any_claims_of_a_genuine_issuer_are_a_caller_or_401(changed: dict[str, Any]) -> None:
    text = signed('{"alg":"RS256","kid":"rsa-1"}', json.dumps({**GOOD_CLAIMS, **changed}), rsa_key(), "RS256")
    try:
        assert Desk().bearer(text).name
    except BadCredentials as refusal:
        assert refusal.status == 401  # noqa: PT017  (either is right)


def test_it_needs_no_event_loop() -> None:
    desk = Desk()
    asked = request(headers=[("Authorization", f"Bearer {token()}")])
    from fakes_credentials import route

    assert drive(desk.authenticator.identify(asked, route("oauth"), Config(issuers=desk.issuers))).name == "alice"
