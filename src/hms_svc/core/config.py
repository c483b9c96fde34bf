"""What a routes file says, read: frozen values that the reader (`routes`) builds and every step goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hms_svc.core.model import EMPTY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hms_svc.core.policy import Policy

API_KEY_HEADER = "X-API-Key"
MAX_ISSUERS = 64
"""Of one file: whoever holds something for each issuer has room for as many."""


def _empty() -> Mapping[str, Any]:
    """A default for fields; Python 3.11 takes a mapping proxy for a mutable one."""
    return EMPTY


@dataclass(frozen=True, slots=True)
class Condition:
    """A header or query parameter that must be there with one of these values."""

    name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a verified caller must also have (``require:``), all of it."""

    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, tuple[Any, ...]] = field(default_factory=_empty)
    """For each claim the values it may have; a claim that is a list must hold one of them."""
    any_of: tuple[Requirements, ...] = ()
    """Where there are some, one of them must hold as well; none of them has an ``any_of`` of its own."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A token bucket: holds ``burst``, refills ``limit`` every ``period_s`` seconds.

    Of a calendar window it holds ``limit`` at the start of each hour, day or month (UTC), and refills nothing.
    """

    limit: int
    period_s: int
    burst: int
    per: str = "ip"
    """Whose bucket: ``ip``, ``token``, ``caller`` or ``route``."""
    cost: int = 1
    """Tokens; where there is a ``cost_header``, when no policy sets it."""
    shadow: bool = False
    on_error: str = "local"
    """When the store is down: ``local``, ``allow`` or ``deny``."""
    legacy_headers: bool = False
    """Whether ``X-RateLimit-*`` is sent too."""
    ipv6_prefix: int = 64
    """Bits of an IPv6 address that are counted as one caller's network."""
    name: str = ""
    """In ``RateLimit-Policy``; empty: ``default``, or ``default-2`` by its place among the route's limits."""
    window: str = "rolling"
    """``rolling`` or ``calendar``."""
    cost_header: str = ""
    """The field in which a policy says what the call costs, from 0 to ``max_cost`` tokens."""
    max_cost: int = 0
    plan: str = ""
    """The plan whose limit this is."""
    plan_claim: str = ""
    """The claim that names the caller's plan."""
    plans: Mapping[str, Limit] = field(default_factory=_empty, hash=False)
    """By the name of the plan, the limit that holds instead of this one."""


@dataclass(frozen=True, slots=True)
class Target:
    """A private service."""

    scheme: str
    host: str
    port: int
    path: str = ""
    """Empty: the request's own path goes on. Else it replaces the route's literal prefix."""
    weight: int = 1
    authority: str = field(init=False, compare=False)
    """``host:port``, without the port where it is the scheme's own (RFC 9110, section 7.2)."""

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        own_port = self.port == {"http": 80, "https": 443}[self.scheme]
        object.__setattr__(self, "authority", host if own_port else f"{host}:{self.port}")


@dataclass(frozen=True, slots=True)
class HeaderEdits:
    """Changes to header lines, in this order: remove, set, add."""

    remove: frozenset[str] = frozenset()
    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()

    @property
    def is_not_empty(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.remove or self.set or self.add)


@dataclass(frozen=True, slots=True)
class Forward:
    """Pass the request on to one of the targets."""

    targets: tuple[Target, ...]
    timeout_s: float = 30.0
    retries: int = 0
    rewrite_host: str | None = None
    """The ``Host`` the service sees: None the target's own, else this name; ``{host}`` keeps the caller's."""
    if_async: Enqueue | None = None
    """What is done instead for a caller who prefers it (``Prefer: respond-async``); None: nothing else ever is."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Answer with a redirection (RFC 9110, section 15.4). A part that is None stays as the request had it."""

    status: int = 302
    scheme: str | None = None
    host: str | None = None
    port: int | None = None
    path: str | None = None
    """Replaces the route's literal prefix when the route ends in ``*``, else the whole path."""


@dataclass(frozen=True, slots=True)
class Enqueue:
    """Store the request as a job and answer 202."""

    queue: str
    status_url: str | None = None


@dataclass(frozen=True, slots=True)
class Cors:
    """Who may read answers from a browser (Fetch standard, CORS protocol)."""

    origins: tuple[str, ...]
    methods: tuple[str, ...] = ("GET", "HEAD", "POST")
    headers: tuple[str, ...] = ()
    expose: tuple[str, ...] = ()
    credentials: bool = False
    max_age_s: int = 5


@dataclass(frozen=True, slots=True)
class PolicyUse:
    """A policy built from its line in routes.yml."""

    name: str
    """As the file names it: ``is_large_file.LargeFileBlocker``."""
    policy: Policy
    options: Mapping[str, Any] = field(default_factory=_empty)
    """What ``with:`` gave its constructor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of routes.yml."""

    name: str
    """Stable across reloads and unique in the table: the file's ``name``, else methods, host, path and conditions."""
    path: str
    """The pattern: literal segments, ``{name}`` for one segment, a last ``*`` for the prefix and all below."""
    action: Forward | Redirect | Enqueue
    auth: tuple[str, ...]
    """Credentials accepted, any one of them; empty for an open route."""
    methods: frozenset[str] | None = None
    """None: any."""
    host: str | None = None
    """Lower case; a leading ``*.`` stands for one or more labels."""
    headers: tuple[Condition, ...] = ()
    query: tuple[Condition, ...] = ()
    require: Requirements = Requirements()
    limits: tuple[Limit, ...] = ()
    policies: tuple[PolicyUse, ...] = ()
    cors: Cors | None = None
    request_headers: HeaderEdits = HeaderEdits()
    response_headers: HeaderEdits = HeaderEdits()
    max_body: int = 10_000_000
    """Bytes."""
    audit: str = "best_effort"
    """``required`` or ``best_effort``."""
    api_key_query: str | None = None
    """The query parameter that may carry an API key, decoded; None: a key in the query is never looked at."""
    description: str = ""


@dataclass(frozen=True, slots=True)
class IntrospectionEndpoint:
    """Where an issuer is asked about its tokens (RFC 7662), and as whom."""

    client_id: str
    client_secret: str
    """Where the secret is: ``file:PATH`` or ``ssm:/NAME``. Never the secret itself."""
    url: str | None = None
    """None: the ``introspection_endpoint`` of OpenID discovery."""
    cache_s: float = 60.0
    """How long an answer is believed, counted from when it was asked for, and never past ``exp``; 0: not at all."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may sign tokens (``issuers:``)."""

    name: str
    issuer: str
    """The ``iss`` a token must carry, to the letter (RFC 7519, section 4.1.1)."""
    audience: tuple[str, ...]
    """A token's ``aud`` must hold one of these."""
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    jwks_uri: str | None = None
    """None: found by OpenID discovery."""
    audience_claim: str = "aud"
    """The claim that says whom a token is for, where that is not ``aud``: ``client_id`` with Cognito."""
    typ: tuple[str, ...] = ()
    """The ``typ`` a token's header must have, in lower case; empty: ``JWT``, ``at+jwt`` or none."""
    leeway_s: float = 60.0
    """How far its clock and ours may be apart, for ``exp``, ``nbf`` and ``iat``."""
    max_lifetime_s: float | None = None
    """From ``iat`` to ``exp`` at most; None: as long as it says."""
    certificate_bound: bool = False
    """Whether its tokens must be bound to the client certificate they come with (RFC 8705, section 3)."""
    introspection: IntrospectionEndpoint | None = None
    """Where there is one, the issuer is asked about its tokens, and no signature of them is verified here."""


@dataclass(frozen=True, slots=True)
class CertificateRule:
    """Whose a client certificate is: the one with this name in it (``client_certificates.callers``)."""

    kind: str
    """Where the name stands: ``subject``, ``cn``, ``dns``, ``email`` or ``uri``."""
    pattern: str
    """In the form in which names are compared. A ``*`` is the first label of a dns name, or a uri's last segment."""
    name: str
    """The caller's."""
    scopes: frozenset[str] = frozenset()
    issuer: str = ""
    """The authority that must have signed it, one of the door's own; empty for any."""


@dataclass(frozen=True, slots=True)
class RevokedCertificate:
    """A certificate that is not believed any more (``client_certificates.revoked``)."""

    serial: str
    issuer: str = ""
    """As the certificate names it, so whoever signs in this name is met too. Empty: whoever signed it."""


@dataclass(frozen=True, slots=True)
class ClientCertificates:
    """Whose client certificates are, and which are not believed (``client_certificates:``)."""

    name: str = ""
    """What names a caller whom no rule names: ``subject``, ``cn``, ``dns``, ``email`` or ``uri``. Empty: the subject
    where there are no rules, nothing where there are."""
    callers: tuple[CertificateRule, ...] = ()
    """The first that fits counts."""
    revoked: frozenset[RevokedCertificate] = frozenset()


@dataclass(frozen=True, slots=True)
class Config:
    """routes.yml, read and found good."""

    routes: tuple[Route, ...] = ()
    issuers: tuple[Issuer, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) whose ``X-Forwarded-*`` and ``Forwarded`` are believed."""
    api_key_header: str = API_KEY_HEADER
    """The field that carries an API key."""
    client_certificates: ClientCertificates = ClientCertificates()
    sha256: str = ""
    """Of the file's bytes: which configuration was in force."""
    warnings: tuple[str, ...] = ()
    """What is allowed but likely not meant, for whoever loads the file."""
