"""One environment of the router in a process of its own, which may be stopped or killed at any moment."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from aws.tables import boto3_client
from worlds import drive

from hms_svc.aws.dynamodb_limits import DynamoDbBuckets
from hms_svc.core.config import Limit
from hms_svc.core.ports import StoreUnavailable, Want
from hms_svc.core.shared_limits import SharedLimits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

FEW, MANY = ("exact", "deep", "shallow"), ("exact", *("deep", "shallow") * 100)
PHASES = (FEW, (), MANY)
"""What is asked for at a time, by all at the same time: leases are held; they lapse as buckets fill; all is wanted."""
PHASE_NS = 200_000_000
LIMITS = {"exact": Limit(5, 1, 20), "deep": Limit(1_000, 1, 1_000), "shallow": Limit(1_000, 1, 100)}
"""The last is of 0.1 s: what is held of it lapses while its holder is stopped."""


class Admitted(NamedTuple):
    """One call, as it is noted before anything else happens."""

    key: str
    process: int
    at_ns: int
    """The moment the decision went by."""


class LastReading:
    """The system's clock, and what it said last: a process that is stopped between two readings knows the first."""

    said_ns = 0

    def wall_ns(self) -> int:
        self.said_ns = time.time_ns()
        return self.said_ns

    monotonic_ns = staticmethod(time.monotonic_ns)


def work(table: str, notes: Path, parent: Connection) -> None:
    """Decide until ``parent`` lets go; each admitted call is one write to the end of ``notes``."""
    clock, client = LastReading(), boto3_client()
    store = SharedLimits(DynamoDbBuckets(table, lambda: client, clock), clock)
    file = os.open(notes, os.O_WRONLY | os.O_APPEND)
    parent.send("ready")
    while not parent.poll(0.002):
        for key in PHASES[time.time_ns() // PHASE_NS % len(PHASES)]:
            try:
                decision = drive(store.take(Want(key, LIMITS[key], 1)))
            except StoreUnavailable:
                continue
            if decision.allowed:
                os.write(file, f"{key} {os.getpid()} {clock.said_ns}\n".encode())


def noted(notes: Path) -> list[Admitted]:
    """What all processes have written."""
    lines = (line.split() for line in notes.read_text().splitlines())
    return [Admitted(key, int(process), int(at_ns)) for key, process, at_ns in lines]
