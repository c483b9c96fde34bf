"""Project Wycheproof's 83 vectors for signed and encrypted tokens, at the gateway's door.

The payload of each is no JSON object, so at the door not even a genuine one names a caller: all are 401, and the record
says which were refused for their form, which for their signature, and which for their payload only. Which signatures
hold is tested on the verifier, in tests/core/credentials/test_tokens.py.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes_credentials import KeySet
from guarded import ALL, Guarded
from vectors import needed, read_json
from worlds import drive

from hms_svc.core.credentials.jws import TokenInvalid, parse
from hms_svc.core.credentials.tokens import SignatureVerifier
from hms_svc.core.ports import StoreUnavailable

VALID_AND_REFUSED = {
    1: "signed with HS256: a secret that both sides hold is no proof of who signed",
    48: "signed with HS256, by a key of a set that holds an asymmetric one too",
    50: "encrypted (A256KW): the gateway has no key to decrypt with",
    67: "encrypted (ECDH-ES+A128KW)",
}
"""Vectors that are valid and that the gateway refuses by design, by ``tcId``."""
VALID_AND_BELIEVED = {18, 33}
"""Vectors whose signature the verifier accepts: ES256 and RS256."""


def cases() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    groups = read_json("wycheproof/json_web_crypto_test.json").get("testGroups", [])
    return [(group.get("public") or group["private"], case) for group in groups for case in group["tests"]]


def text_of(case: dict[str, Any]) -> str:
    """The token; the general JSON form as the text of that JSON."""
    text = case.get("jws", case.get("jwe"))
    return text if isinstance(text, str) else json.dumps(text)


def verdict(key: dict[str, Any], case: dict[str, Any]) -> bool:
    """Whether the verifier accepts the signature."""
    try:
        drive(SignatureVerifier(KeySet(list(key.get("keys", [key])))).verify(parse(text_of(case)), ALL))
    except (TokenInvalid, StoreUnavailable):
        return False
    return True


@needed
def test_there_are_83() -> None:
    assert len(cases()) == 83


@needed
@pytest.mark.parametrize(("key", "case"), [pytest.param(*pair, id=str(pair[1]["tcId"])) for pair in cases()])
def test_at_the_door_each_is_a_401_with_its_cause_in_the_record(key: dict[str, Any], case: dict[str, Any]) -> None:
    guarded = Guarded(*key.get("keys", [key]))
    assert guarded.refuses(text_of(case))


@needed
def test_forged_ones_are_never_accepted() -> None:
    forged = [case["tcId"] for key, case in cases() if case["result"] != "valid" and verdict(key, case)]
    assert forged == []


@needed
def test_valid_ones_are_accepted_but_for_those_that_are_listed() -> None:
    valid = {case["tcId"] for _, case in cases() if case["result"] == "valid"}
    accepted = {case["tcId"] for key, case in cases() if verdict(key, case)}
    assert accepted == VALID_AND_BELIEVED
    assert valid - accepted == set(VALID_AND_REFUSED)


@needed
def test_no_vectors_token_stands_in_the_record_or_in_the_answer() -> None:
    for key, case in cases():
        outcome = Guarded(*key.get("keys", [key])).bearer(text_of(case), "/any")
        for part in text_of(case).split("."):
            if len(part) > 20:
                assert part.encode() not in outcome.record
                assert part not in str(outcome.response)
