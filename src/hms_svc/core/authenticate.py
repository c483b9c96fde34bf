"""The step that finds out who calls: a token, an API key or a client certificate, whichever the route accepts.

The credentials that a route accepts are tried in the order of its list, and the first good one wins. The caller is
never told why a credential is refused; the record is. Each way has its own file: ``credentials/by_….py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from hms_svc.core.credentials.bearer import Authorization, read_authorization
from hms_svc.core.credentials.by_api_key import ByApiKey
from hms_svc.core.credentials.by_certificate import ByCertificate
from hms_svc.core.credentials.by_token import ByToken
from hms_svc.core.credentials.certificate_checks import CertificateChecks
from hms_svc.core.credentials.key_places import the_key
from hms_svc.core.credentials.presented import CredentialInvalid, Presented
from hms_svc.core.errors import BadCredentials, Unavailable
from hms_svc.core.model import EMPTY, NOBODY
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import Config, Route
    from hms_svc.core.model import Caller, Request
    from hms_svc.core.ports import ApiKey, Authorities, Clock, Introspection, KeySource, KeyStore, Revocations

_CHALLENGES = {
    "oauth": 'Bearer realm="hms-svc"',
    "api_key": 'ApiKey realm="hms-svc"',
    "mtls": 'ClientCertificate realm="hms-svc"',
}
"""RFC 9110, section 11.6.1, wants a challenge with every 401. Only ``Bearer`` is registered (RFC 6750); for keys and
certificates there is no registered scheme, so the other two are our own."""
_NOT_PRESENTED = {"oauth": "no bearer token", "api_key": "no API key", "mtls": "no client certificate"}


class _Scheme(Protocol):
    """One way to prove who calls."""

    async def identify(self, presented: Presented) -> Caller | None:
        """The caller; None when no credential of this kind is presented.

        Raises `CredentialInvalid` when it is no good, `StoreUnavailable` when that could not be found out.
        """
        ...


class Authenticator:
    """Finds out who calls. One object serves all requests."""

    def __init__(
        self,
        *,
        clock: Clock,
        key_source: KeySource,
        key_store: KeyStore,
        introspection: Introspection,
        revocations: Revocations | None = None,
        authorities: Authorities | None = None,
        key_accepted: Callable[[ApiKey, int], None] = lambda key, now_s: None,  # noqa: ARG005  (nobody is told)
        demo_tokens: Mapping[str, Caller] = EMPTY,
    ) -> None:
        """Over its ports; without ``revocations`` no list of revoked certificates is configured.

        Without ``authorities`` no rule can be followed that is for the certificates of one of them.

        ``demo_tokens`` are believed as they are, so it is empty but for demonstrations. ``key_accepted`` is told of
        each good API key and when it came, in seconds since 1970.
        """
        checks = CertificateChecks(clock, revocations)
        self._schemes: Mapping[str, _Scheme] = {
            "oauth": ByToken(clock, key_source, introspection, checks, demo_tokens),
            "api_key": ByApiKey(clock, key_store, key_accepted),
            "mtls": ByCertificate(checks, authorities),
        }

    async def identify(self, request: Request, route: Route, config: Config) -> Caller:
        """Who calls; `NOBODY` on an open route.

        Raises `BadCredentials` when nothing that the route accepts was presented or none of it is good, `Unavailable`
        when that could not be found out, `Malformed` when there are several ``Authorization`` fields, or several API
        keys where the route accepts one: whichever other credential is good, and in whatever order they are tried.
        """
        if not route.auth:
            return NOBODY
        authorization = read_authorization(request.headers)
        api_key = the_key(request, authorization, route, config) if "api_key" in route.auth else None
        presented = Presented(request, authorization, route, config, api_key)
        findings: list[str] = []
        is_down = False
        for scheme in route.auth:
            try:
                caller = await self._schemes[scheme].identify(presented)
            except CredentialInvalid as invalid:
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
        raise BadCredentials(cause=cause, challenges=_challenges(route, authorization))


def _challenges(route: Route, authorization: Authorization | None) -> tuple[str, ...]:
    """How a caller may prove who it is, in the route's order (RFC 6750, section 3)."""
    has_token = authorization is not None and authorization.scheme == "bearer"
    return tuple(
        f'{_CHALLENGES[scheme]}, error="invalid_token"' if scheme == "oauth" and has_token else _CHALLENGES[scheme]
        for scheme in route.auth
    )
