"""The step that finds out who calls: a token, an API key or a client certificate, whichever the route accepts.

The credentials that a route accepts are tried in the order of its list, and the first good one wins. The caller is
never told why a credential is refused; the record is.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.core.credentials.api_keys import ApiKeyInvalid, sha256_of
from hms_svc.core.credentials.bearer import Authorization, read_authorization
from hms_svc.core.credentials.claims import caller_of, check, issuer_named_by
from hms_svc.core.credentials.jws import TokenInvalid, parse
from hms_svc.core.credentials.token_cache import TokenCache, Verified
from hms_svc.core.credentials.tokens import SignatureVerifier
from hms_svc.core.errors import BadCredentials, Malformed, Unavailable
from hms_svc.core.model import EMPTY, NOBODY, Caller
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.model import Issuer, Request, Route
    from hms_svc.core.ports import Clock, KeySource, KeyStore

API_KEY_HEADER = "x-api-key"
_CHALLENGES = {
    "oauth": 'Bearer realm="hms-svc"',
    "api_key": 'ApiKey realm="hms-svc"',
    "mtls": 'ClientCertificate realm="hms-svc"',
}
"""RFC 9110, section 11.6.1, wants a challenge with every 401. Only ``Bearer`` is registered (RFC 6750); for keys and
certificates there is no registered scheme, so the other two are our own."""
_NOT_PRESENTED = {"oauth": "no bearer token", "api_key": "no API key", "mtls": "no client certificate"}
_KEY_DIGITS = 32
"""Hexadecimal digits of a credential's SHA-256 that tell buckets apart."""


class CredentialInvalid(Exception):  # noqa: N818  (named for what it means)
    """A credential that is there and no good. The message is for the record."""


class _Presented(NamedTuple):
    """What one request brings."""

    request: Request
    authorization: Authorization | None
    issuers: tuple[Issuer, ...]


class Authenticator:
    """Finds out who calls. One object serves all requests."""

    def __init__(
        self, *, clock: Clock, key_source: KeySource, key_store: KeyStore, demo_tokens: Mapping[str, Caller] = EMPTY
    ) -> None:
        """Over its ports. ``demo_tokens`` are believed as they are, so it is empty but for demonstrations."""
        self._clock = clock
        self._source = key_source
        self._store = key_store
        self._demo_tokens = demo_tokens
        self._signatures = SignatureVerifier(key_source)
        self._verified = TokenCache()
        self._schemes = {"oauth": self._by_token, "api_key": self._by_key, "mtls": self._by_certificate}

    async def identify(self, request: Request, route: Route, issuers: tuple[Issuer, ...]) -> Caller:
        """Who calls; `NOBODY` on an open route.

        Raises `BadCredentials` when nothing that the route accepts was presented or none of it is good, `Unavailable`
        when that could not be found out, `Malformed` when there are several ``Authorization`` fields.
        """
        if not route.auth:
            return NOBODY
        presented = _Presented(request, read_authorization(request.headers), issuers)
        findings: list[str] = []
        is_down = False
        for scheme in route.auth:
            try:
                caller = await self._schemes[scheme](presented)
            except (CredentialInvalid, TokenInvalid, ApiKeyInvalid) as invalid:
                findings.append(str(invalid))
            except StoreUnavailable as error:
                findings.append(str(error))
                is_down = True
            else:
                if caller is not None:
                    return caller
                findings.append(_NOT_PRESENTED[scheme])
        cause = "; ".join(findings)
        if is_down:
            raise Unavailable(cause=cause)
        raise BadCredentials(cause=cause, challenges=_challenges(route, presented.authorization))

    async def _by_token(self, presented: _Presented) -> Caller | None:
        authorization = presented.authorization
        if authorization is None or authorization.scheme != "bearer":
            return None
        if authorization.fault:
            raise CredentialInvalid(f"the bearer token cannot be read: {authorization.fault}")
        token = authorization.token
        demo = self._demo_tokens.get(token)
        if demo is not None:
            return demo
        return await self._by_jwt(token, presented.issuers)

    async def _by_jwt(self, token: str, issuers: tuple[Issuer, ...]) -> Caller:
        sha256 = hashlib.sha256(token.encode("ascii")).hexdigest()
        now_s = self._clock.wall_ns() / 1e9
        known = self._verified.get(sha256, issuers, now_s)
        if known is not None:
            keys = await self._source.keys(known.issuer)
            if keys is known.keys or keys == known.keys:
                return known.caller
            self._verified.drop(sha256)
        jws = parse(token)
        claims = jws.claims()
        issuer = issuer_named_by(claims, issuers)
        signing_keys = await self._signatures.verify(jws, issuer)
        expires_s = check(claims, issuer, now_s)
        caller = caller_of(claims, issuer, sha256[:_KEY_DIGITS])
        self._verified.put(sha256, Verified(caller, issuer, signing_keys, expires_s))
        return caller

    async def _by_key(self, presented: _Presented) -> Caller | None:
        key = _api_key(presented)
        if key is None:
            return None
        sha256 = sha256_of(key)
        found = await self._store.find(sha256)
        if found is None or not hmac.compare_digest(found.sha256, sha256):
            raise CredentialInvalid("unknown API key")
        if found.revoked_s is not None:
            raise CredentialInvalid(f"API key {found.id} is revoked")
        now_s = self._clock.wall_ns() // 1_000_000_000
        if found.expires_s is not None and now_s >= found.expires_s:
            raise CredentialInvalid(f"API key {found.id} expired {now_s - found.expires_s} s ago")
        return Caller(
            name=found.owner,
            via="api_key",
            credential_id=found.id,
            scopes=found.scopes,
            token_key=sha256[:_KEY_DIGITS],
        )

    async def _by_certificate(self, presented: _Presented) -> Caller | None:
        """The certificate that the door's TLS verified; a field that speaks of one is never read."""
        certificate = presented.request.certificate
        if certificate is None:
            return None
        name = certificate.subject or next(iter(certificate.sans), "")
        if not name:
            raise CredentialInvalid("the client certificate names nobody")
        unique = f"{certificate.issuer}\n{certificate.serial}"
        return Caller(
            name=name,
            via="mtls",
            credential_id=certificate.serial,
            issuer=certificate.issuer,
            token_key=hashlib.sha256(unique.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_DIGITS],
        )


def _api_key(presented: _Presented) -> str | None:
    """The key in ``X-API-Key`` or in ``Authorization: ApiKey …``; in both, it is not clear which one counts."""
    key: str | None = presented.request.headers.get(API_KEY_HEADER)
    authorization = presented.authorization
    if authorization is None or authorization.scheme != "apikey":
        return key
    if key is not None:
        raise Malformed("There is an API key both in X-API-Key and in Authorization")
    if authorization.fault:
        raise CredentialInvalid(f"the API key cannot be read: {authorization.fault}")
    return authorization.token


def _challenges(route: Route, authorization: Authorization | None) -> tuple[str, ...]:
    """How a caller may prove who it is, in the route's order (RFC 6750, section 3)."""
    has_token = authorization is not None and authorization.scheme == "bearer"
    return tuple(
        f'{_CHALLENGES[scheme]}, error="invalid_token"' if scheme == "oauth" and has_token else _CHALLENGES[scheme]
        for scheme in route.auth
    )
