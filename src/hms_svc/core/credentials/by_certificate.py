"""Who calls, by the client certificate that the door's TLS has verified; never by what a header says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hms_svc.core.credentials.certificate_names import fits, own_name
from hms_svc.core.credentials.presented import KEY_DIGITS, Presented
from hms_svc.core.model import Caller
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from hms_svc.core.config import CertificateRule, ClientCertificates
    from hms_svc.core.credentials.certificate_checks import CertificateChecks
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Authorities


class ByCertificate:
    """Names the caller by the certificate, as ``client_certificates`` of routes.yml says."""

    def __init__(self, checks: CertificateChecks, authorities: Authorities | None) -> None:
        """``authorities`` None: who signed cannot be told, so nobody is the caller of a rule with an issuer."""
        self._checks = checks
        self._authorities = authorities

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when there is no certificate. Raises `CredentialInvalid` and `StoreUnavailable`."""
        certificate = presented.request.certificate
        if certificate is None:
            return None
        settings = presented.config.client_certificates
        self._checks.check(certificate, settings)
        serial, issuer = certificate.serial, certificate.issuer
        rule = await self._rule_for(certificate, settings)
        name, scopes = (rule.name, rule.scopes) if rule else (own_name(certificate, settings), frozenset())
        await self._checks.check_lists(certificate)
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
