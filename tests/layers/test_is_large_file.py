from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hms_svc import PolicyRequest, Verdict
from hms_svc.core.config import Forward, Route
from hms_svc.core.model import NOBODY, Headers
from hms_svc.core.policy_loader import PolicyLoader, PolicyLoadError

FOLDER = Path(__file__).parent.parent.parent / "layers" / "policies"
ROUTE = Route(name="uploads", path="/uploads", action=Forward(()), auth=())
MB = 1024 * 1024
TOO_LARGE = Verdict.block("File exceeds 5 MB limit")


def verdict(body: bytes = b"", *headers: tuple[str, str], **options: Any) -> Verdict:
    loader = PolicyLoader(FOLDER)
    loader.install()
    policy = loader.build("is_large_file.LargeFileBlocker", options)
    shown = PolicyRequest("POST", "/uploads", {}, {}, Headers(headers), body, NOBODY, "192.0.2.7")
    return policy.check(shown, ROUTE)


def test_no_body_passes() -> None:
    assert verdict() == Verdict.pass_()


def test_up_to_5_mb_pass() -> None:
    assert verdict(b"x" * 5 * MB, ("Content-Length", str(5 * MB))) == Verdict.pass_()


def test_more_is_blocked_and_the_caller_reads_why() -> None:
    assert verdict(b"x" * (5 * MB + 1), ("Content-Length", str(5 * MB + 1))) == TOO_LARGE


def test_a_length_alone_is_enough() -> None:
    assert verdict(b"", ("content-length", str(6 * MB))) == TOO_LARGE


def test_a_body_that_came_in_chunks_does_not_slip_past() -> None:
    assert verdict(b"x" * 6 * MB, ("Transfer-Encoding", "chunked")) == TOO_LARGE


def test_the_limit_is_an_option() -> None:
    assert verdict(b"12345", max_bytes=4).allowed is False
    assert verdict(b"1234", max_bytes=4).allowed is True
    assert verdict(b"x" * MB, max_bytes=MB // 2).reason == "File exceeds 0.5 MB limit"


def test_an_option_that_is_no_number_is_a_load_error() -> None:
    with pytest.raises(PolicyLoadError, match=r"building is_large_file.LargeFileBlocker raised ValueError: .*'5MB'"):
        verdict(max_bytes="5MB")
