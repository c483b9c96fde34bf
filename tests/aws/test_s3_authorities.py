"""The truststore in S3, by which the router tells whose a certificate is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from authority import Authority, certificate_pem
from aws.cloud import CONTEXT, Cloud, aws, event

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["aws"]
ROUTES = """
client_certificates:
  name: cn
  callers:
  - {cn: batch, issuer: "CN=Agency CA,O=Agency", name: batch-team, scopes: [claims:read]}
routes:
- {path: /a, redirect: {host: b.example}, auth: mtls, require: {scopes: [claims:read]}}
- {path: /b, redirect: {host: b.example}, auth: mtls}
"""


def test_a_rule_for_one_authority_is_for_what_that_one_has_signed(aws: Cloud, tmp_path: Path) -> None:
    aws.put_routes(ROUTES)
    agency, partner = Authority(tmp_path, "Agency CA"), Authority(tmp_path, "Partner")
    (tmp_path / "below").mkdir()
    namesake = Authority(tmp_path / "below", "Agency CA", above=partner)
    version = aws.put_object("pki", "trust.pem", agency.pem + partner.pem)
    aws.put_object("pki", "trust.pem", namesake.pem)
    trusted = {"HMS_SVC_CLIENT_CA": f"s3:pki/trust.pem?versionId={version}"}

    def status(by: Authority, path: str, common: str = "batch", **settings: str) -> int:
        asked = event(path=path)
        pem = certificate_pem(by.issue(common))
        asked["requestContext"]["identity"]["clientCert"] = {"subjectDN": "CN=batch", "clientCertPem": pem}
        return int(aws.router(**settings)(asked, CONTEXT)["statusCode"])

    assert status(agency, "/a", **trusted) == 302
    assert status(namesake, "/a", **trusted) == 403  # goes by its own name, without scopes
    for unknown in ({}, {"HMS_SVC_CLIENT_CA": "s3:pki/nothing.pem"}):
        assert status(agency, "/a", **unknown) == 503
        assert status(agency, "/b", "other", **unknown) == 302
