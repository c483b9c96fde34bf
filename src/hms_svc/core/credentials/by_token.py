"""Who calls, by a bearer token of a configured issuer (RFC 6750)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from hms_svc.core.credentials.bound import bound_to
from hms_svc.core.credentials.claims import caller_of, check, check_type, issuer_named_by
from hms_svc.core.credentials.jws import parse
from hms_svc.core.credentials.opaque_tokens import OpaqueTokens, issuer_to_ask
from hms_svc.core.credentials.presented import KEY_DIGITS, CredentialInvalid, Presented
from hms_svc.core.credentials.token_cache import TokenCache, Verified
from hms_svc.core.credentials.tokens import SignatureVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.config import Issuer
    from hms_svc.core.credentials.certificate_checks import CertificateChecks
    from hms_svc.core.model import Caller
    from hms_svc.core.ports import Clock, Introspection, KeySource


class ByToken:
    """Verifies tokens; one that was verified a moment ago is known again without a signature check."""

    def __init__(
        self,
        clock: Clock,
        key_source: KeySource,
        introspection: Introspection,
        certificates: CertificateChecks,
        demo_tokens: Mapping[str, Caller],
    ) -> None:
        self._clock = clock
        self._certificates = certificates
        self._source = key_source
        self._demo_tokens = demo_tokens
        self._signatures = SignatureVerifier(key_source)
        self._verified = TokenCache()
        self._opaque = OpaqueTokens(clock, introspection)

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when there is no bearer token. Raises `CredentialInvalid` and `StoreUnavailable`."""
        authorization = presented.authorization
        if authorization is None or authorization.scheme != "bearer":
            return None
        if authorization.fault:
            raise CredentialInvalid(f"the bearer token cannot be read: {authorization.fault}")
        token = authorization.token
        demo = self._demo_tokens.get(token)
        if demo is not None:
            return demo
        asked = issuer_to_ask(token, presented.config.issuers)
        if asked is not None:
            caller, issuer = await self._opaque.identify(token, asked), asked
        else:
            verified = await self._by_jwt(token, presented.config.issuers)
            caller, issuer = verified.caller, verified.issuer
        certificate = bound_to(caller.claims, issuer, presented.request.certificate)
        if certificate is not None:  # it proves no more than it would by itself; whom it names is no matter
            self._certificates.check(certificate, presented.config.client_certificates)
            await self._certificates.check_lists(certificate)
        return caller

    async def _by_jwt(self, token: str, issuers: tuple[Issuer, ...]) -> Verified:
        sha256 = hashlib.sha256(token.encode("ascii")).hexdigest()
        known = self._verified.get(sha256, issuers, self._now_s())
        if known is not None:
            keys = await self._source.keys(known.issuer)
            if (keys is known.keys or keys == known.keys) and self._now_s() < known.expires_s:
                return known
            self._verified.drop(sha256)
        jws = parse(token)
        claims = jws.claims()
        issuer = issuer_named_by(claims, issuers)
        check_type(jws.typ, issuer)
        signing_keys = await self._signatures.verify(jws, issuer)
        expires_s = check(claims, issuer, self._now_s())  # now, as the keys may have been waited for
        signed = hashlib.sha256(jws.signing_input).hexdigest()  # not the signature: an elliptic one has a twin
        caller = caller_of(claims, issuer, signed[:KEY_DIGITS])
        verified = Verified(caller, issuer, signing_keys, expires_s, len(token))
        self._verified.put(sha256, verified)
        return verified

    def _now_s(self) -> float:
        return self._clock.wall_ns() / 1e9
