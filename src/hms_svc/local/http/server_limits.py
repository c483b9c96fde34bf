"""The bounds of the local door: on what it reads, on how long it waits, on how many it serves."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Sizes in bytes, times in seconds. Raises `ValueError` for a bound that is not positive."""

    request_line: int = 8_192
    field: int = 8_190
    """For one line with its break."""
    fields_total: int = 32_768
    field_count: int = 100
    header_timeout_s: float = 10.0
    """For a whole header section; on a new connection from its first moment."""
    body_timeout_s: float = 30.0
    """Between two pieces of a request's body."""
    idle_timeout_s: float = 75.0
    """Between two requests on one connection."""
    write_timeout_s: float = 60.0
    """For a client that does not take its answer."""
    linger_s: float = 2.0
    """For a client that goes on sending after an answer that closes, so that it gets to read the answer."""
    half_closed_s: float = 1.0
    """For the answer, once the client has closed its own half: it may have left, or only be done with sending."""
    buffered: int = 65_536
    """What is read ahead on one connection: of a body that nobody has asked for, of requests sent in a row."""
    connections: int = 10_000

    def __post_init__(self) -> None:
        for bound in fields(self):
            if getattr(self, bound.name) <= 0:
                raise ValueError(f"{bound.name} is more than 0, not {getattr(self, bound.name)}")
