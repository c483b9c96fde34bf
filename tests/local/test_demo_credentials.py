from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes_credentials import AGENCY, NOW_S, KeyBook, KeySet, ec_key, route, token
from fakes_introspection import Answers
from worlds import CountingRandomness, OwnedClock, drive, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.authorise import authorise
from hms_svc.core.config import Config, Requirements
from hms_svc.core.errors import BadCredentials, Forbidden
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.demo_credentials import DEMO_TOKENS, DemoIssuer, WithDemoIssuer
from hms_svc.local.system import SystemRandomness

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.model import Caller


def identify(demo: DemoIssuer, text: str) -> Caller:
    authenticator = Authenticator(
        clock=OwnedClock(NOW_S * 1_000_000_000),
        key_source=WithDemoIssuer(KeySet(), demo),
        key_store=KeyBook(),
        introspection=Answers(),
    )
    asked = request(headers=[("Authorization", f"Bearer {text}")])
    caller: Caller = drive(authenticator.identify(asked, route("oauth"), Config(issuers=(AGENCY, demo.issuer))))
    return caller


def mint(demo: DemoIssuer) -> str:
    return demo.mint(sub="alice", scopes=frozenset({"claims:read"}), now_s=NOW_S, lifetime_s=3600)


def test_the_demo_user_may_what_the_example_requires_and_the_guest_may_not() -> None:
    wanted = route("oauth", require=Requirements(frozenset({"claims:read"})))
    authorise(wanted, DEMO_TOKENS["demo-user-token"])
    with pytest.raises(Forbidden, match="claims:read"):
        authorise(wanted, DEMO_TOKENS["demo-guest-token"])


def test_a_token_of_the_demo_issuer_takes_the_ordinary_path(tmp_path: Path) -> None:
    demo = DemoIssuer(tmp_path, SystemRandomness())
    caller = identify(demo, mint(demo))
    assert (caller.name, caller.issuer) == ("alice", "https://demo.hms-svc.invalid/")
    assert caller.scopes == {"claims:read"}
    assert caller.credential_id


def test_a_token_made_by_one_process_is_believed_by_another(tmp_path: Path) -> None:
    gateway = DemoIssuer(tmp_path / "state", SystemRandomness())
    gateway.keys()
    assert identify(gateway, mint(DemoIssuer(tmp_path / "state", SystemRandomness()))).name == "alice"


def test_a_key_that_was_made_anew_is_found(tmp_path: Path) -> None:
    gateway = DemoIssuer(tmp_path, SystemRandomness())
    gateway.keys()
    (tmp_path / "demo-issuer.json").unlink()
    assert identify(gateway, mint(DemoIssuer(tmp_path, SystemRandomness()))).name == "alice"


def test_a_token_forged_in_the_demo_issuers_name_is_refused(tmp_path: Path) -> None:
    demo = DemoIssuer(tmp_path, SystemRandomness())
    kid = demo.keys()[0]["kid"]
    forged = token(
        algorithm="ES256", key=ec_key("attacker"), iss=demo.issuer.issuer, aud="hms-svc-demo", header={"kid": kid}
    )
    with pytest.raises(BadCredentials):
        identify(demo, forged)


def test_the_key_is_for_the_owner_only_and_nothing_private_is_handed_out(tmp_path: Path) -> None:
    demo = DemoIssuer(tmp_path / "state", SystemRandomness())
    assert set(demo.keys()[0]) == {"kty", "crv", "alg", "use", "kid", "x", "y"}
    file = tmp_path / "state" / "demo-issuer.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert "d" in json.loads(file.read_text())
    assert [path.name for path in file.parent.iterdir()] == ["demo-issuer.json"]


def test_other_issuers_are_asked_of_the_source_behind(tmp_path: Path) -> None:
    inner = KeySet()
    source = WithDemoIssuer(inner, DemoIssuer(tmp_path, CountingRandomness()))
    assert drive(source.keys(AGENCY)) is inner.members
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"kty":"EC"}'])
def test_a_key_file_that_is_none_is_unavailable(tmp_path: Path, content: str) -> None:
    (tmp_path / "demo-issuer.json").write_text(content)
    with pytest.raises(StoreUnavailable, match=r"demo-issuer\.json"):
        DemoIssuer(tmp_path, SystemRandomness()).keys()


def test_a_folder_that_cannot_be_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="cannot be"):
        DemoIssuer(tmp_path / "file", SystemRandomness()).keys()


def test_of_two_that_make_a_key_at_the_same_time_the_first_stays(tmp_path: Path) -> None:
    class Overtaken(SystemRandomness):
        """Lets another process be first, just before the key is written."""

        def hex(self, n_bytes: int) -> str:
            DemoIssuer(tmp_path, SystemRandomness()).keys()
            return super().hex(n_bytes)

    late = DemoIssuer(tmp_path, Overtaken())
    assert late.keys() == DemoIssuer(tmp_path, SystemRandomness()).keys()
    assert [path.name for path in tmp_path.iterdir()] == ["demo-issuer.json"]


def test_a_key_file_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "demo-issuer.json").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        DemoIssuer(tmp_path, SystemRandomness()).keys()
