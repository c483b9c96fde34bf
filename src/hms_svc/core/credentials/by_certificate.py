"""Who calls, by the client certificate that the door's TLS has verified; never by what a header says.

The handshake may be long ago, or another's (API Gateway's): what can change since, or differ, is looked at again for
each request. TLS has verified the chain, and that the client has the key.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hms_svc.core.config import RevokedCertificate
from hms_svc.core.credentials.certificate_names import fits, own_name
from hms_svc.core.credentials.presented import KEY_DIGITS, CredentialInvalid, Presented
from hms_svc.core.model import Caller
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.config import CertificateRule, ClientCertificates
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Authorities, Clock, Revocations

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
"""What JSON can hold and no service can be told: a half of a surrogate pair is no text in UTF-8."""


class ByCertificate:
    """Names the caller by the certificate, as ``client_certificates`` of routes.yml says."""

    def __init__(self, clock: Clock, revocations: Revocations | None, authorities: Authorities | None) -> None:
        """``revocations`` None: nothing is asked for revoked certificates but the list in routes.yml.

        ``authorities`` None: who signed a certificate cannot be told, so nobody is the caller of a rule with an issuer.
        """
        self._clock = clock
        self._authorities = authorities
        self._revocations = revocations

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when there is no certificate. Raises `CredentialInvalid` and `StoreUnavailable`."""
        certificate = presented.request.certificate
        if certificate is None:
            return None
        _check(certificate, self._clock.wall_ns() // 1_000_000_000)
        settings = presented.config.client_certificates
        serial, issuer = certificate.serial, certificate.issuer
        if not settings.revoked.isdisjoint({RevokedCertificate(serial), RevokedCertificate(serial, issuer)}):
            raise CredentialInvalid(f"the client certificate {serial} is revoked in routes.yml")
        rule = await self._rule_for(certificate, settings)
        name, scopes = (rule.name, rule.scopes) if rule else (own_name(certificate, settings), frozenset())
        if not name or _HALF_A_PAIR.search(name):
            raise CredentialInvalid("the client certificate names nobody")
        if self._revocations is not None and await self._revocations.is_revoked(certificate):
            raise CredentialInvalid(f"the client certificate {serial} is revoked by an authority's list")
        unique = f"{issuer}\n{serial}"
        return Caller(
            name=name,
            via="mtls",
            credential_id=serial,
            issuer=issuer,
            scopes=scopes,
            token_key=hashlib.sha256(unique.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_DIGITS],
        )

    async def _rule_for(self, certificate: ClientCertificate, settings: ClientCertificates) -> CertificateRule | None:
        """The first that fits. Raises `StoreUnavailable` when it hangs on who has signed, and that cannot be told."""
        for rule in settings.callers:
            if fits(rule, certificate) and (not rule.issuer or await self._is_of_its_issuer(certificate)):
                return rule
        return None

    async def _is_of_its_issuer(self, certificate: ClientCertificate) -> bool:
        if self._authorities is None:
            raise StoreUnavailable("the authorities are not configured that tell who signed the client certificate")
        return await self._authorities.have_signed(certificate)


def _check(certificate: ClientCertificate, now_s: int) -> None:
    """Raises `CredentialInvalid` for one that is not valid now, or not for clients (RFC 5280, section 4.2.1.12)."""
    if certificate.fault:
        raise CredentialInvalid(f"the client certificate identifies nobody: {certificate.fault}")
    if now_s > certificate.not_after_s:
        raise CredentialInvalid(f"the client certificate expired {now_s - certificate.not_after_s} s ago")
    if now_s < certificate.not_before_s:
        raise CredentialInvalid(f"the client certificate is valid in {certificate.not_before_s - now_s} s")
    if not certificate.for_clients:
        raise CredentialInvalid("the client certificate is not for authenticating clients")
