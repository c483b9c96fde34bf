"""Who calls, by the client certificate that the door's TLS verified; a field that speaks of one is never read."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from hms_svc.core.credentials.presented import KEY_DIGITS, CredentialInvalid
from hms_svc.core.model import Caller

if TYPE_CHECKING:
    from hms_svc.core.credentials.presented import Presented

_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
"""What JSON can hold and no service can be told: a half of a surrogate pair is no text in UTF-8."""


class ByCertificate:
    """Names the caller by the certificate's subject."""

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when no certificate came. Raises `CredentialInvalid`."""
        certificate = presented.request.certificate
        if certificate is None:
            return None
        name = certificate.subject or next(iter(certificate.sans), "")
        if not name or _HALF_A_PAIR.search(name):
            raise CredentialInvalid("the client certificate names nobody")
        unique = f"{certificate.issuer}\n{certificate.serial}"
        return Caller(
            name=name,
            via="mtls",
            credential_id=certificate.serial,
            issuer=certificate.issuer,
            token_key=hashlib.sha256(unique.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_DIGITS],
        )
