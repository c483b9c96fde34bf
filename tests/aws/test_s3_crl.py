"""Revocation lists in S3, asked by the router over moto and over a bucket in the test's hands."""

from __future__ import annotations

import datetime as dt
import io
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority, certificate_pem
from aws.cloud import CONTEXT, Cloud, aws, event
from botocore.exceptions import ClientError, ConnectTimeoutError
from worlds import OwnedClock, drive

from hms_svc.aws.s3_crl import S3Crl
from hms_svc.aws.s3_objects import objects_client
from hms_svc.aws.settings import RouterSettingInvalid, RouterSettings
from hms_svc.core.credentials.x509 import from_pem
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["aws"]
ROUTES = "- {path: /a, redirect: {host: b.example}, auth: mtls}"


class Bucket:
    """An S3 client that gives what it has, or fails."""

    def __init__(self, authority: Authority) -> None:
        self.objects = {"trust.pem": authority.pem}
        self.error: Exception | None = None
        self.asked: list[dict[str, str]] = []

    def get_object(self, **asked: str) -> dict[str, Any]:
        self.asked.append(asked)
        if self.error is not None:
            raise self.error
        if asked["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[asked["Key"]])}


class Desk:
    """An authority, one certificate, a bucket, a clock that begins now."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.certificate = from_pem(certificate_pem(self.authority.issue("batch", serial=7)))
        self.clock = OwnedClock(int(dt.datetime.now(dt.UTC).timestamp() * 1e9))
        self.bucket = Bucket(self.authority)
        make: Any = lambda: self.bucket  # noqa: E731
        self.lists = S3Crl("pki/lists.pem", "pki/trust.pem?versionId=3Lg", make, self.clock)

    def is_revoked(self) -> bool:
        return bool(drive(self.lists.is_revoked(self.certificate)))

    def fault(self) -> str:
        with pytest.raises(StoreUnavailable) as error:
            self.is_revoked()
        return str(error.value)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_lists_are_kept_for_five_minutes(desk: Desk) -> None:
    desk.bucket.objects["lists.pem"] = desk.authority.crl()
    assert not desk.is_revoked()
    desk.bucket.objects["lists.pem"] = desk.authority.crl(7)
    desk.clock.advance(299)
    assert not desk.is_revoked()
    desk.clock.advance(1)
    assert desk.is_revoked()
    assert desk.bucket.asked == [
        {"Bucket": "pki", "Key": "lists.pem"},
        {"Bucket": "pki", "Key": "trust.pem", "VersionId": "3Lg"},
    ] * 2  # fmt: skip


def test_while_s3_is_down_the_last_lists_count_until_the_next_are_due(desk: Desk) -> None:
    desk.bucket.objects["lists.pem"] = desk.authority.crl(ends=dt.timedelta(hours=1))
    assert not desk.is_revoked()
    desk.bucket.error = ConnectTimeoutError(endpoint_url="https://s3")
    desk.clock.advance(3_500)
    assert not desk.is_revoked()
    desk.clock.advance(200)
    assert "out of date" in desk.fault()


def test_lists_that_never_came_let_nobody_in_and_are_asked_for_again_after_a_while(desk: Desk) -> None:
    assert desk.fault() == "S3 has no s3://pki/lists.pem for us: NoSuchKey"
    desk.bucket.objects["lists.pem"] = desk.authority.crl()
    desk.clock.advance(29)
    assert desk.fault()
    assert len(desk.bucket.asked) == 1
    desk.clock.advance(1)
    assert not desk.is_revoked()


def test_what_s3_refuses_is_told(desk: Desk) -> None:
    desk.bucket.error = ClientError({"Error": {"Code": "AccessDenied"}}, "GetObject")
    assert desk.fault().startswith("AWS denies GetObject on s3://pki/lists.pem")


def test_lists_that_are_no_good_let_nobody_in_at_once(desk: Desk, tmp_path: Path) -> None:
    desk.bucket.objects["lists.pem"] = desk.authority.crl()
    assert not desk.is_revoked()
    (tmp_path / "evil").mkdir()
    evil = Authority(tmp_path / "evil")
    desk.bucket.objects["lists.pem"] = evil.crl() + evil.pem
    desk.clock.advance(300)
    told = "the revocation list of CN=Test CA,O=Agency is not signed by an authority of the bundle"
    assert desk.fault() == f"pki/lists.pem: {told}"


def test_the_router_asks_the_lists_and_pins_the_truststores_version(aws: Cloud, tmp_path: Path) -> None:
    aws.put_routes(ROUTES)
    authority = Authority(tmp_path)
    pem = certificate_pem(authority.issue("batch", serial=7))
    version = aws.put_object("pki", "trust.pem", authority.pem)
    aws.put_object("pki", "trust.pem", Authority(tmp_path, "Other").pem)
    settings = {"HMS_SVC_CRL": "s3:pki/lists.pem", "HMS_SVC_CLIENT_CA": f"s3:pki/trust.pem?versionId={version}"}

    def status() -> int:
        asked = event(path="/a")
        asked["requestContext"]["identity"]["clientCert"] = {"subjectDN": "CN=batch", "clientCertPem": pem}
        return int(aws.router(**settings)(asked, CONTEXT)["statusCode"])

    assert status() == 503
    aws.put_object("pki", "lists.pem", authority.crl())
    assert status() == 302
    aws.put_object("pki", "lists.pem", authority.crl(7))
    assert status() == 401


def test_a_client_is_made_for_the_region_of_the_function(aws: Cloud) -> None:
    assert objects_client().meta.region_name == "us-east-1"


WHOLE = {"HMS_SVC_ROUTES": "ssm:/r", "HMS_SVC_LIMITS": "memory:", "HMS_SVC_AUDIT": "log:"}


def test_the_lists_need_the_authorities_that_sign_them() -> None:
    ca = {"HMS_SVC_CLIENT_CA": "s3:pki/trust.pem?versionId=3Lg"}
    settings = RouterSettings.from_environment(WHOLE | ca | {"HMS_SVC_CRL": "s3:pki/a/lists.pem"})
    assert (settings.crl, settings.client_ca) == ("pki/a/lists.pem", "pki/trust.pem?versionId=3Lg")
    for crl, told in (
        ("s3:pki/lists.pem", "HMS_SVC_CRL needs HMS_SVC_CLIENT_CA, the authorities that sign the lists"),
        ("file:lists.pem", "HMS_SVC_CRL is not file:lists.pem; write s3:BUCKET/KEY"),
        ("s3:pki", "HMS_SVC_CRL is not s3:pki; write s3:BUCKET/KEY"),
    ):
        with pytest.raises(RouterSettingInvalid) as error:
            RouterSettings.from_environment(WHOLE | {"HMS_SVC_CRL": crl})
        assert str(error.value) == told
