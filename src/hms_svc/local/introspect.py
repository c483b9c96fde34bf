"""One question to an issuer about a token (RFC 7662, section 2.1), over the `Upstream` of wherever the gateway runs.

So nothing of the environment is sent, no redirect is followed, and everything is bounded. A question changes nothing,
so it may be asked again when a kept connection was lost under it. Never suspends where its ports do not.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote_plus, urlencode, urlsplit

from hms_svc.core.config import Target
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.model import Headers
from hms_svc.core.ports import (
    StoreUnavailable,
    UpstreamBroken,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from hms_svc.local.bounded_get import is_allowed, is_as_safe

if TYPE_CHECKING:
    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import Clock, Upstream
    from hms_svc.local.secrets import SecretSource

MAX_BYTES = 65_536
"""Of an answer."""
BUDGET_S = 5
"""For one question, with all that belongs to it but the secret."""
REST_S = 5
"""How long an issuer that did not answer, or did not believe who asks, is left alone."""
DISCOVERED_S = 300
"""How long a discovered address is kept."""
_OK, _UNAUTHORIZED, _FORBIDDEN = 200, 401, 403
_PORTS = {"http": 80, "https": 443}
_S = 1_000_000_000


class _NoAnswer(Exception):  # noqa: N818  (named for what it means)
    """The issuer cannot be asked now; the next question would take as long to find that out."""


class Introspector:
    """Asks issuers about tokens: an `Introspection`."""

    def __init__(self, upstream: Upstream, secrets: SecretSource, clock: Clock) -> None:
        self._upstream = upstream
        self._secrets = secrets
        self._clock = clock
        self._discovered: tuple[Issuer, str, int] | None = None
        """Of the one issuer that is asked: where, and until when that is kept."""
        self._rest: tuple[Issuer, str, int] | None = None
        """The issuer that is left alone, why and until when."""

    async def introspect(self, issuer: Issuer, token: str) -> bytes:
        """The answer. Raises `StoreUnavailable`."""
        rest = self._rest
        if rest is not None and rest[0] == issuer and self._clock.monotonic_ns() < rest[2]:
            raise StoreUnavailable(f"issuer {issuer.name} cannot be asked: {rest[1]}")
        try:
            return await self._asked(issuer, token)
        except _NoAnswer as error:
            self.leave_alone(issuer, str(error))
            raise StoreUnavailable(f"issuer {issuer.name} cannot be asked: {error}") from None

    def leave_alone(self, issuer: Issuer, fault: str) -> None:
        """For `REST_S` the issuer is not asked again, for the reason ``fault``; its address is discovered anew."""
        self._discovered = None
        self._rest = (issuer, fault, self._clock.monotonic_ns() + REST_S * _S)

    async def _asked(self, issuer: Issuer, token: str) -> bytes:
        endpoint = issuer.introspection
        if endpoint is None:
            raise StoreUnavailable(f"issuer {issuer.name} has no introspection endpoint")
        secret = await self._secret(endpoint.client_secret)
        deadline_ns = self._clock.monotonic_ns() + BUDGET_S * _S
        url = endpoint.url or await self._discover(issuer, deadline_ns)
        form = urlencode({"token": token, "token_type_hint": "access_token"}).encode("ascii")
        status, answer = await self._send("POST", url, deadline_ns, form, basic(endpoint.client_id, secret))
        if status == _UNAUTHORIZED:
            changed = await self._secret(endpoint.client_secret, again=True)
            if changed != secret:
                deadline_ns = self._clock.monotonic_ns() + BUDGET_S * _S
                status, answer = await self._send("POST", url, deadline_ns, form, basic(endpoint.client_id, changed))
        if status == _UNAUTHORIZED:
            raise _NoAnswer(f"it does not believe this gateway (status {status}): look at client_id and client_secret")
        if status == _FORBIDDEN:
            raise StoreUnavailable(f"issuer {issuer.name} does not let this gateway ask (status {status})")
        if status != _OK:
            raise StoreUnavailable(f"issuer {issuer.name} answers the introspection with status {status}")
        return answer

    async def _secret(self, reference: str, *, again: bool = False) -> str:
        try:
            return await self._secrets.read(reference, again=again)
        except StoreUnavailable as error:
            raise _NoAnswer(str(error)) from error

    async def _discover(self, issuer: Issuer, deadline_ns: int) -> str:
        """The ``introspection_endpoint`` of OpenID discovery (RFC 8414, section 2, has the name)."""
        now_ns = self._clock.monotonic_ns()
        known = self._discovered
        if known is not None and known[0] == issuer and now_ns < known[2]:
            return known[1]
        url = issuer.issuer.removesuffix("/") + "/.well-known/openid-configuration"
        status, text = await self._send("GET", url, deadline_ns)
        if status != _OK:
            raise _NoAnswer(f"its discovery document is answered with status {status}")
        try:
            document = parse_object(text)
        except ValueError as error:
            raise _NoAnswer(f"its discovery document cannot be read: {error}") from None
        if document.get("issuer") != issuer.issuer:
            raise _NoAnswer("its discovery document speaks of another issuer")
        endpoint = document.get("introspection_endpoint")
        if not isinstance(endpoint, str):
            raise _NoAnswer("its discovery document has no introspection_endpoint; write it as url")
        if not is_as_safe(endpoint, issuer.issuer):
            raise _NoAnswer("its discovery document, which came over TLS, names an introspection_endpoint without")
        self._discovered = (issuer, endpoint, now_ns + DISCOVERED_S * _S)
        return endpoint

    async def _send(
        self, method: str, url: str, deadline_ns: int, body: bytes = b"", *credentials: tuple[str, str]
    ) -> tuple[int, bytes]:
        """The status and the whole body of the answer."""
        target, path_and_query = _located(url)
        lines = [("Host", target.authority), ("Accept", "application/json"), ("Accept-Encoding", "identity")]
        if body:
            lines += [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", str(len(body)))]
        for last in (False, True):
            left_s = (deadline_ns - self._clock.monotonic_ns()) / _S
            if left_s <= 0:
                break
            asked = UpstreamRequest(target, method, path_and_query, Headers([*lines, *credentials]), body, left_s)
            try:
                answer = await self._upstream.send(asked)
                return answer.status, await _whole(answer)
            except UpstreamUnreachable as error:
                if last or not error.sent:
                    raise _NoAnswer(str(error)) from error
            except UpstreamTimeout as error:
                raise _NoAnswer(str(error)) from error
            except UpstreamBroken as error:
                raise StoreUnavailable(str(error)) from error
        raise _NoAnswer(f"{target.authority} does not answer in time")


def basic(client_id: str, secret: str) -> tuple[str, str]:
    """The field that authenticates a client (RFC 6749, section 2.3.1)."""
    pair = f"{quote_plus(client_id, safe='')}:{quote_plus(secret, safe='')}"
    return "Authorization", f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}"


def _located(url: str) -> tuple[Target, str]:
    """Where a request for ``url`` goes, and what it asks for there."""
    if not is_allowed(url) or not (url.isascii() and url.isprintable()) or " " in url:
        raise _NoAnswer("the address of its endpoint is neither https nor on this machine")
    parts = urlsplit(url)
    target = Target(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme])
    path = parts.path or "/"
    return target, f"{path}?{parts.query}" if parts.query else path


async def _whole(answer: UpstreamResponse) -> bytes:
    """The body of an answer. Raises `UpstreamBroken` for one that is too large."""
    whole = b""
    if isinstance(answer.body, bytes):
        whole = answer.body
    else:
        try:
            async for piece in answer.body:
                whole += piece
                if len(whole) > MAX_BYTES:
                    break
        finally:
            await answer.body.aclose()
    if len(whole) > MAX_BYTES:
        raise UpstreamBroken(f"the answer is larger than {MAX_BYTES} bytes")
    return whole
