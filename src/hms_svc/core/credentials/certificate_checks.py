"""Whether a client certificate is good now, whomever it names: for callers by certificate and for bound tokens alike.

The handshake may be long ago, or another's (API Gateway's): what can change since, or differ, is looked at again for
each request. TLS has verified the chain, and that the client has the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.core.config import RevokedCertificate
from hms_svc.core.credentials.presented import CredentialInvalid

if TYPE_CHECKING:
    from hms_svc.core.config import ClientCertificates
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock, Revocations


class CertificateChecks:
    """What every certificate is held to."""

    def __init__(self, clock: Clock, revocations: Revocations | None) -> None:
        """``revocations`` None: nothing is asked for revoked certificates but the list in routes.yml."""
        self._clock = clock
        self._revocations = revocations

    def check(self, certificate: ClientCertificate, settings: ClientCertificates) -> None:
        """All that is known without asking. Raises `CredentialInvalid` for one that is no good."""
        _check_itself(certificate, self._clock.wall_ns() // 1_000_000_000)
        serial, issuer = certificate.serial, certificate.issuer
        if not settings.revoked.isdisjoint({RevokedCertificate(serial), RevokedCertificate(serial, issuer)}):
            raise CredentialInvalid(f"the client certificate {serial} is revoked in routes.yml")

    async def check_lists(self, certificate: ClientCertificate) -> None:
        """Raises `CredentialInvalid` for one on an authority's list, `StoreUnavailable` when that cannot be told."""
        if self._revocations is not None and await self._revocations.is_revoked(certificate):
            raise CredentialInvalid(f"the client certificate {certificate.serial} is revoked by an authority's list")


def _check_itself(certificate: ClientCertificate, now_s: int) -> None:
    """Raises `CredentialInvalid` for one that is not valid now, or not for clients (RFC 5280, section 4.2.1.12)."""
    if certificate.fault:
        raise CredentialInvalid(f"the client certificate identifies nobody: {certificate.fault}")
    if now_s > certificate.not_after_s:
        raise CredentialInvalid(f"the client certificate expired {now_s - certificate.not_after_s} s ago")
    if now_s < certificate.not_before_s:
        raise CredentialInvalid(f"the client certificate is valid in {certificate.not_before_s - now_s} s")
    if not certificate.for_clients:
        raise CredentialInvalid("the client certificate is not for authenticating clients")
