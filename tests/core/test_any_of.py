"""Routes that accept any of several credentials: what the answer depends on, and what it does not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from doors import Door
from fakes_credentials import AGENCY, NOW_S, Desk, rsa_key, token
from guarded import GOOD_KEY, KEPT
from hypothesis import given
from hypothesis import strategies as st
from worlds import request

from hms_svc.core.config import Forward, Route, Target
from hms_svc.core.model import ClientCertificate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.model import Response

KINDS = ("oauth", "api_key", "mtls")
GOOD_TOKEN = token()
GOOD_CERTIFICATE = ClientCertificate("CN=batch", "01", "CN=CA", not_after_s=2 * NOW_S, for_clients=True)
BAD_TOKENS = (
    token(exp=NOW_S - 3_600),
    token(aud="others"),
    token(iss="https://evil.example/"),
    token(key=rsa_key("stranger")),
    token(header={"kid": "unknown"}),
    token(header={"alg": "none"}),
    token(header={"crit": ["x"]}),
    "opaque",
    "a.b.c.d.e",
    "a" * 9_000,
    "",
)
BAD_KEYS = ("", "hms_", "hms_" + "0" * 49, GOOD_KEY[:-1], GOOD_KEY + " ", GOOD_KEY.lower())
BAD_CERTIFICATES = (
    replace(GOOD_CERTIFICATE, subject=""),
    replace(GOOD_CERTIFICATE, subject="\ud800"),
    replace(GOOD_CERTIFICATE, not_after_s=NOW_S - 1),
    replace(GOOD_CERTIFICATE, for_clients=False),
)

AUTH = st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(tuple)
CREDENTIALS = st.fixed_dictionaries(
    {},
    optional={
        "oauth": st.sampled_from([GOOD_TOKEN, *BAD_TOKENS]),
        "api_key": st.sampled_from([GOOD_KEY, *BAD_KEYS]),
        "mtls": st.sampled_from([GOOD_CERTIFICATE, *BAD_CERTIFICATES]),
    },
)
"""What a request brings: of each kind a good one, a bad one or none."""
GOOD: Mapping[str, object] = {"oauth": GOOD_TOKEN, "api_key": GOOD_KEY, "mtls": GOOD_CERTIFICATE}


class Served:
    """What came of one request."""

    def __init__(self, auth: tuple[str, ...], credentials: Mapping[str, object]) -> None:
        desk = Desk(issuers=(AGENCY,))
        desk.store.keys.append(KEPT)
        action = Forward((Target("http", "svc", 80),))
        route = Route(name="r", path="/r", action=action, auth=auth)
        door = Door(route, authenticator=desk.authenticator, issuers=desk.issuers)
        lines = [("Host", "a")]
        if "oauth" in credentials:
            lines.append(("Authorization", f"Bearer {credentials['oauth']}"))
        if "api_key" in credentials:
            lines.append(("X-API-Key", str(credentials["api_key"])))
        certificate = credentials.get("mtls")
        assert certificate is None or isinstance(certificate, ClientCertificate)
        self.response: Response = door.ask(request(path="/r", headers=lines, certificate=certificate))
        self.via = door.upstream.seen[0].headers["X-HMS-Auth"] if door.upstream.seen else None

    def body(self) -> bytes:
        """Without the request's id."""
        assert isinstance(self.response.body, bytes)
        return re.sub(rb'"request_id": "[0-9a-f]{32}"', b"", self.response.body)

    def challenges(self) -> list[str]:
        return self.response.headers.all("WWW-Authenticate")


@given(AUTH, CREDENTIALS)
def test_the_first_good_one_that_the_route_accepts_decides(
    auth: tuple[str, ...], credentials: dict[str, object]
) -> None:
    expected = next((kind for kind in auth if credentials.get(kind) == GOOD[kind]), None)
    served = Served(auth, credentials)
    assert served.via == expected
    assert served.response.status == (200 if expected else 401)


@given(AUTH, CREDENTIALS, CREDENTIALS)
def test_what_the_route_does_not_accept_changes_nothing(
    auth: tuple[str, ...], credentials: dict[str, object], others: dict[str, object]
) -> None:
    accepted = {kind: value for kind, value in credentials.items() if kind in auth}
    besides = {kind: value for kind, value in others.items() if kind not in auth}
    alone, together = Served(auth, accepted), Served(auth, accepted | besides)
    assert (alone.via, alone.response.status, alone.body()) == (
        together.via,
        together.response.status,
        together.body(),
    )


def is_refused(credentials: dict[str, object]) -> bool:
    return not any(value == GOOD[kind] for kind, value in credentials.items())


@given(AUTH, CREDENTIALS.filter(is_refused), CREDENTIALS.filter(is_refused))
def test_the_refusal_is_the_same_whatever_the_reason(
    auth: tuple[str, ...], one: dict[str, object], other: dict[str, object]
) -> None:
    first, second = Served(auth, one), Served(auth, other)
    assert first.response.status == second.response.status == 401
    assert first.body() == second.body()
    assert len(first.response.headers.lines) == len(second.response.headers.lines)
    with_a_token = [challenge.replace(', error="invalid_token"', "") for challenge in first.challenges()]
    assert with_a_token == [challenge.replace(', error="invalid_token"', "") for challenge in second.challenges()]


@given(AUTH, CREDENTIALS.filter(is_refused))
def test_only_whether_a_token_came_shows_in_the_challenge(auth: tuple[str, ...], bad: dict[str, object]) -> None:
    said = any("invalid_token" in challenge for challenge in Served(auth, bad).challenges())
    assert said is ("oauth" in auth and "oauth" in bad)
