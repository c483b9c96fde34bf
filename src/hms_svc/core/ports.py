"""What the core asks of the world: protocols of one to three methods, and the ways they fail.

Refused is not broken: a method answers no with a value and raises only when it could not do its work. Adapters
translate foreign exceptions into the ones of this file and conform by shape; nothing inherits from these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hms_svc.core.config import Issuer, Limit, Target
    from hms_svc.core.model import BodyStream, ClientCertificate, Headers

T = TypeVar("T")


class Clock(Protocol):
    """Time, so that tests own it."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z; may step."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some fixed moment; never steps back."""
        ...


class Randomness(Protocol):
    """Chance, so that tests own it."""

    def hex(self, n_bytes: int) -> str:
        """``2 * n_bytes`` lower-case hexadecimal digits, fit for identifiers and secrets."""
        ...

    def below(self, n: int) -> int:
        """A number in ``range(n)``, for sharing load; not fit for secrets."""
        ...


class StoreUnavailable(Exception):  # noqa: N818  (named for what it means)
    """A store did not answer, in time or at all. The message is for the record and the log, not for callers."""


class Decision(NamedTuple):
    """What a bucket said of one call."""

    allowed: bool
    remaining: int
    """Tokens that are left now."""
    reset_ns: int
    """Until the bucket is full again, nanoseconds; of a calendar window, until it ends."""
    retry_ns: int | None = None
    """When refused: until the same call would be allowed, nanoseconds; None if never (it costs more than the bucket
    holds)."""
    fault: str = ""
    """Why the store could not decide, for the record; the rest means nothing then. Only in the answer for several."""


class Want(NamedTuple):
    """What a call costs by one limit."""

    key: str
    """The bucket's."""
    limit: Limit
    cost: int
    """Tokens."""


class LimitStore(Protocol):
    """The buckets of the rate limits, one a key."""

    async def take(self, want: Want) -> Decision:
        """Take the cost of the bucket if it is there; a cost of 0 only looks.

        Raises `StoreUnavailable` when it could not decide; then nothing may be assumed about what was taken.
        """
        ...

    async def look(self, want: Want) -> Decision:
        """What the bucket would say of a call of this cost. Nothing is taken.

        May go by what was known of it a while ago. Raises `StoreUnavailable` as `take` does.
        """
        ...

    async def take_all(self, wants: Sequence[Want]) -> list[Decision]:
        """Take all of the costs or, where one is refused by a limit that is not in shadow, none. A decision a want.

        Never raises: a bucket that could not be decided has a decision that says so. The others are decided all the
        same; but where its limit denies then, and is not in shadow, nothing is taken of them.
        """
        ...


class Bucket(NamedTuple):
    """A bucket of the rate limits as it stands in a table (see `gcra`)."""

    tat_ns: int
    """By the wall clock of who wrote it."""
    written_s: int


class Change(NamedTuple):
    """A change of a bucket's TAT, made if ``low_ns`` <= TAT <= ``high_ns``."""

    tat_ns: int
    """The new one, or what is added to the old one."""
    piece_ns: int
    """What whoever makes the change holds then: the last piece of the bucket's time, that long."""
    low_ns: int
    high_ns: int
    is_added: bool = False
    is_once: bool = False
    """Never repeated, not even when its answer does not come: made twice, it would take from others."""
    or_absent: bool = False
    """Made also where there is no bucket: one that is not there is full."""


class Answer(NamedTuple):
    """What became of a change."""

    made: bool
    bucket: Bucket | None
    """As it stands now, changed or not; None: there is none."""


class BucketTable(Protocol):
    """The buckets that several environments share."""

    async def change(self, key: str, change: Change, *, now_ns: int, full_ns: int) -> Answer:
        """Make the change if its condition holds, in one step that nobody can come between.

        From ``full_ns`` on the bucket is full and may be forgotten. Raises `StoreUnavailable` when nobody knows
        whether the change was made.
        """
        ...


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known of an API key; never the key itself."""

    id: str
    owner: str
    sha256: str
    """Of the whole key as its holder presents it, lower-case hexadecimal."""
    name: str = ""
    scopes: frozenset[str] = frozenset()
    created_s: int = 0
    expires_s: int | None = None
    """Seconds since 1970; None: does not expire."""
    revoked_s: int | None = None
    last_used_s: int | None = None
    """The hour in which it was last accepted, as far as that was noted: `KeyStore.find` may not know; None: never."""
    plan: str = ""
    """What its holder has subscribed to; empty for nothing. The caller has it as the claim ``plan``."""


class KeyStore(Protocol):
    """The API keys that were given out."""

    async def find(self, sha256: str) -> ApiKey | None:
        """The key with this hash, expired and revoked ones too, or None. Raises `StoreUnavailable`."""
        ...


class KeyUseStore(Protocol):
    """When the API keys were last used."""

    def note_uses(self, uses: Sequence[tuple[ApiKey, int]]) -> None:
        """Keep each moment as the last use of its key, unless a later one is kept, or the key is gone.

        May take its time: no caller waits for it. Raises `StoreUnavailable`; some may be kept then.
        """
        ...


class KeySource(Protocol):
    """The public keys of token issuers."""

    async def keys(
        self,
        issuer: Issuer,
        *,
        unknown_kid: str | None = None,
        doubted: list[Mapping[str, Any]] | None = None,
    ) -> list[Mapping[str, Any]]:
        """The members of the issuer's JWK Set (RFC 7517, section 5); the same object as long as they are the same.

        ``unknown_kid`` says that a token names a key which the set returned before did not hold; ``doubted`` is a set
        returned before, none of whose keys made a signature. For either the source may fetch again, at a rate it
        bounds itself. Raises `StoreUnavailable` when no usable set can be had.
        """
        ...


class Introspection(Protocol):
    """The issuers that are asked about their tokens (RFC 7662)."""

    async def introspect(self, issuer: Issuer, token: str) -> bytes:
        """What the issuer's introspection endpoint answers, a JSON object if all is well; bounded, and not yet read.

        Raises `StoreUnavailable` when there is no answer, or one with another status than 200: also when the issuer
        does not believe who asks. The message never holds the token.
        """
        ...


class Revocations(Protocol):
    """The client certificates that their authorities have revoked: CRLs (RFC 5280, section 5)."""

    async def is_revoked(self, certificate: ClientCertificate) -> bool:
        """Whether the authority that signed it has revoked it, or an authority above has revoked that one.

        Raises `StoreUnavailable` when there is no list of these authorities that is genuine and current.
        """
        ...


class Authorities(Protocol):
    """The authorities by which the door believes client certificates."""

    async def have_signed(self, certificate: ClientCertificate) -> bool:
        """Whether one of them that has the name of the certificate's issuer has signed it, by its own key.

        False for a certificate of an authority below them whose own certificate came from the client. Raises
        `StoreUnavailable` when that cannot be told.
        """
        ...


class AuditSink(Protocol):
    """Where audit records go."""

    def append(self, line: bytes) -> None:
        """Take over one record, complete with its newline.

        Once this returns, the record is the sink's to keep. Raises `StoreUnavailable` if it was not taken.
        """
        ...

    def settle(self) -> None:
        """Bring the record that was appended last to where it outlives the gateway, before this returns.

        Raises `StoreUnavailable` when it is not there; the sink keeps it all the same, in another place.
        """
        ...

    def close(self) -> None:
        """Bring what was taken to where it belongs and let go of files and threads. Safe to call twice."""
        ...


class UpstreamRequest(NamedTuple):
    """What goes on the wire to a private service, to the letter."""

    target: Target
    method: str
    path_and_query: str
    headers: Headers
    """Complete, ``Host`` and ``Content-Length`` too; nothing is added, dropped or reordered."""
    body: bytes
    timeout_s: float
    """From the first attempt to connect to the last byte of the answer's header section, and between two pieces of
    its body."""


class UpstreamResponse(NamedTuple):
    """What a private service answered, hop-by-hop fields and all."""

    status: int
    headers: Headers
    body: bytes | BodyStream
    """Whole when it had come by the time the header section was read, else a stream."""


class UpstreamUnreachable(Exception):  # noqa: N818
    """No connection, or it was lost before an answer began.

    ``sent`` tells whether the service may have seen the request.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class UpstreamTimeout(Exception):  # noqa: N818
    """No answer within the time given."""


class UpstreamBroken(Exception):  # noqa: N818
    """What came back is not an HTTP response that can be passed on."""


class Upstream(Protocol):
    """The private services."""

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and await the answer's header section.

        Raises `UpstreamUnreachable`, `UpstreamTimeout` or `UpstreamBroken`; the stream of a body raises the last two.
        """
        ...


class PolicyRunner(Protocol):
    """Where plug-in code runs, so that one that hangs cannot hold the gateway."""

    async def run(self, check: Callable[[], T], timeout_s: float) -> T:
        """The value of ``check()``, or what it raised; `TimeoutError` when it has not returned in time."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A request to be done later."""

    id: str
    queue: str
    message: Mapping[str, Any]
    """A CloudEvents 1.0 event in its JSON form, body in ``data_base64``."""


class JobQueue(Protocol):
    """Where jobs wait."""

    async def put(self, job: Job) -> None:
        """Store the job for good. Raises `StoreUnavailable` if it was not stored."""
        ...
