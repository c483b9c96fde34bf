"""The values a request is made of on its way through the gateway. Frozen: a step builds a new one, nobody edits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


EMPTY: Mapping[str, Any] = MappingProxyType({})


def _empty() -> Mapping[str, Any]:
    """A default for fields; Python 3.11 takes a mapping proxy for a mutable one."""
    return EMPTY


class Headers(Mapping[str, str]):
    """HTTP fields (RFC 9110, section 5): names without case, order and repetition kept.

    As a mapping it answers one string a name, repeated lines joined with ``", "`` (RFC 9110, section 5.3).
    ``items_raw`` is every line as it came, which is what goes on the wire. Values are text in ISO-8859-1, so that
    every byte survives the journey.
    """

    __slots__ = ("_joined", "lines")

    lines: tuple[tuple[str, str], ...]

    def __init__(self, lines: Iterable[tuple[str, str]] = ()) -> None:
        self.lines = tuple(lines)
        self._joined: dict[str, str] | None = None

    def joined(self) -> Mapping[str, str]:
        """What there is under each name, in lower case; repeated lines joined. For who asks for several names."""
        joined = self._joined
        if joined is None:
            joined = {}
            for name, value in self.lines:
                key = name.lower()
                joined[key] = f"{joined[key]}, {value}" if key in joined else value
            self._joined = joined
        return joined

    def __getitem__(self, name: str) -> str:
        return self.joined()[name.lower()]

    def get(self, name: str, default: Any = None) -> Any:
        """The value of ``name``, repeated lines joined, or ``default``."""
        joined = self._joined
        return (self.joined() if joined is None else joined).get(name.lower(), default)

    def all(self, name: str) -> list[str]:
        """The value of each line called ``name``, in order."""
        key = name.lower()
        return [value for other, value in self.lines if other.lower() == key]

    def __contains__(self, name: object) -> bool:
        joined = self._joined
        return isinstance(name, str) and name.lower() in (self.joined() if joined is None else joined)

    def __iter__(self) -> Iterator[str]:
        return iter(self.joined())

    def __len__(self) -> int:
        return len(self.joined())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self.lines == other.lines

    def __hash__(self) -> int:
        return hash(self.lines)

    def __repr__(self) -> str:
        """Names only: a value may be a credential."""
        return f"Headers({[name for name, _ in self.lines]})"


class Body(Protocol):
    """The body of a request, read at most once and only when the journey has come that far."""

    async def read(self, limit: int) -> bytes:
        """The whole body. ``limit`` is in bytes; raises `errors.BodyTooLarge` as soon as more have come."""
        ...


class BodyStream(Protocol):
    """The body of an answer, in pieces as they come. Whoever holds it reads to the end or calls ``aclose``."""

    def __aiter__(self) -> BodyStream: ...

    async def __anext__(self) -> bytes: ...

    async def aclose(self) -> None:
        """Give up the rest; the connection it comes from is dropped."""
        ...


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate whose chain and key the door has verified (RFC 5280).

    What is left out is what fails closed: no time at which it is valid, no use as a client's.
    """

    subject: str
    """Distinguished name (RFC 4514), most significant part first: ``CN=claims-batch,O=Agency``."""
    serial: str
    """Serial number, upper-case hexadecimal in whole bytes."""
    issuer: str
    """Distinguished name of the authority that signed it, as that one wrote it; another may have the same name."""
    sans: tuple[str, ...] = ()
    """Subject alternative names with their kind: ``DNS:``, ``email:``, ``URI:`` or ``IP Address:``."""
    thumbprint: str = ""
    """SHA-256 of the certificate's DER, base64url without padding: ``x5t#S256`` (RFC 8705, section 3.1)."""
    common_names: tuple[str, ...] = ()
    """Every ``CN`` of the subject, as it is, without the escapes of ``subject``."""
    not_before_s: int = 0
    """Seconds since 1970. It is valid at both ends (RFC 5280, section 4.1.2.5)."""
    not_after_s: int = -1
    for_clients: bool = False
    """Whether it may authenticate a client: its key may sign, and its extended key usage, if any, allows it."""
    der: bytes = field(default=b"", repr=False)
    """The certificate itself, by which it is found out who has signed it."""
    fault: str = ""
    """Why it could not be read, for the record; then nothing else is known of it and it identifies nobody."""


class Request(NamedTuple):
    """One HTTP request as its door received it; nothing in it is trusted yet."""

    method: str
    path: str
    """The path of the request target exactly as it came, percent-encoded, without the query."""
    query: str
    """The query exactly as it came, without the ``?``."""
    headers: Headers
    body: Body
    peer_ip: str
    """The address of the connection's other end: a proxy's, where one stands in front."""
    scheme: str = "http"
    certificate: ClientCertificate | None = None
    http_version: str = "1.1"


class Response(NamedTuple):
    """An answer: a whole body, or a stream of pieces."""

    status: int
    headers: Headers = Headers()
    body: bytes | BodyStream = b""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, whichever credential proved it."""

    name: str
    """The subject of the token, the owner of the key, the subject of the certificate; empty for nobody."""
    via: str
    """How it was proved: ``oauth``, ``api_key``, ``mtls``; ``none`` on an open route."""
    credential_id: str = ""
    """What names the credential in the record without revealing it: jti, key id, certificate serial."""
    issuer: str = ""
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, Any] = field(default_factory=_empty)
    token_key: str = ""
    """A hash of the credential presented, for limits ``per: token``; empty for nobody."""


NOBODY = Caller(name="", via="none")
