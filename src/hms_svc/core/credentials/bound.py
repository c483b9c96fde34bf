"""Tokens bound to the client certificate they come with, so that a stolen one is of no use (RFC 8705, section 3).

A token that says it is bound is held to it whoever issued it; an issuer may be held to binding all of its tokens.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hms_svc.core.credentials.jws import TokenInvalid

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.model import ClientCertificate

THUMBPRINT = "x5t#S256"
_OTHER_PROOFS = ("jkt", "jwk", "jwe", "jku", "kid")
"""Proofs that are not supported (RFC 7800, section 3; RFC 9449, section 6.1): a token that asks for one is no bearer
token. Members that nobody knows are ignored, as RFC 7800 wants."""


def bound_to(
    claims: Mapping[str, Any], issuer: Issuer, certificate: ClientCertificate | None
) -> ClientCertificate | None:
    """The certificate that was presented, if the token is bound to it, and None if it is bound to none.

    Whether the certificate itself is good is not looked at. Raises `TokenInvalid` when the token is bound to another.
    """
    confirmation = claims.get("cnf", {})
    if not isinstance(confirmation, Mapping):
        raise TokenInvalid("the cnf is no object")
    for name in _OTHER_PROOFS:
        if name in confirmation:
            raise TokenInvalid(f"the token is bound by {name}, which is not supported")
    thumbprint = confirmation.get(THUMBPRINT)
    if thumbprint is None:
        if THUMBPRINT in confirmation or issuer.certificate_bound:
            raise TokenInvalid("the token is not bound to a client certificate")
        return None
    if not isinstance(thumbprint, str):
        raise TokenInvalid(f"the {THUMBPRINT} is no text")
    if certificate is None or not certificate.thumbprint:
        raise TokenInvalid("the token is bound to a client certificate, and none came with it")
    if not hmac.compare_digest(thumbprint.encode("utf-8"), certificate.thumbprint.encode("ascii")):
        raise TokenInvalid("the token is bound to another client certificate")
    return certificate
