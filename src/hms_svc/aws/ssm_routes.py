"""The routes in SSM Parameter Store, as they are read: one table in force and the versions before it.

A table is in one parameter, or in parts that a manifest in this parameter counts (`ssm_pack`). The manifest is switched
last, so who reads it first sees the old table or the new one.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from hms_svc.aws.ssm_client import in_sentences
from hms_svc.aws.ssm_pack import Manifest, PackInvalid, manifest, unpack
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

BATCH = 10
"""Parameters that SSM hands out, or deletes, in one call."""
TRIES = 3
"""How often a table is read whose parts go away meanwhile, because another one was put in force."""


class Main(NamedTuple):
    """The main parameter."""

    value: str
    version: int
    mark: str
    """Differs whenever the parameter was written, also when it was deleted and begins with version 1 again."""
    type: str = "String"


class Stored(NamedTuple):
    """A table as it stands in SSM."""

    data: bytes
    """The routes file, as it was uploaded."""
    version: int
    mark: str


class Version(NamedTuple):
    """One version of the main parameter."""

    number: int
    written_s: float
    """Seconds since 1970."""
    by: str
    """The ARN of the user or role."""
    bytes: int
    """Of the routes file."""
    sha256: str
    """Of the routes file; empty when the value cannot be understood."""
    manifest: Manifest | None
    """None: the value is the table itself, or cannot be understood."""


class SsmRoutes:
    """The routes in the parameter ``name`` and its parts, ``name/parts/GENERATION/NUMBER``."""

    def __init__(self, client: Callable[[], SSMClient], name: str) -> None:
        """``client`` makes the client; it is called once, when it is needed."""
        self.client = cache(client)
        self.name = name

    def main(self, version: int | None = None) -> Main:
        """The main parameter: one call. Raises `ParameterMissing` or another `StoreUnavailable`."""
        wanted = self.name if version is None else f"{self.name}:{version}"
        with in_sentences(self.name):
            found = self.client().get_parameter(Name=wanted, WithDecryption=True)["Parameter"]
        value, number = found["Value"], found["Version"]
        digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
        return Main(value, number, f"{number}-{digest[:16]}", found.get("Type", "String"))

    def read(self, version: int | None = None) -> Stored:
        """The table in force, or that of a version before.

        Raises `ParameterMissing`, `StoreUnavailable`, or `PackInvalid` when what stands there is no table.
        """
        return self.table(self.main(version), version)

    def table(self, main: Main, version: int | None = None) -> Stored:
        """The table that ``main``, read just now, is or counts the parts of. Raises as `read` does."""
        for _ in range(TRIES):
            described = manifest(main.value)
            parts = self._parts(described) if described and described.parts else []
            if parts is not None:
                return Stored(unpack(main.value, parts), main.version, main.mark)
            again = self.main(version)
            if again.mark == main.mark:
                raise PackInvalid(f"not all of its {described.parts if described else 0} parts are there any more")
            main = again
        raise StoreUnavailable(f"{self.name} changes faster than it can be read")

    def read_if_changed(self, known: str | None) -> tuple[bytes, str] | None:
        """The table in force and its mark; None, after one call, when it still has the mark ``known``.

        Raises as `read` does.
        """
        main = self.main()
        if main.mark == known:
            return None
        stored = self.table(main)
        return stored.data, stored.mark

    def history(self) -> list[Version]:
        """The versions that SSM still has (100), the newest first. Raises as `main` does."""
        found: list[Version] = []
        with in_sentences(self.name):
            for page in (
                self.client()
                .get_paginator("get_parameter_history")
                .paginate(Name=self.name, WithDecryption=True, PaginationConfig={"PageSize": 50})
            ):
                for entry in page["Parameters"]:
                    size, sha256, described = _described(entry["Value"])
                    written_s = entry["LastModifiedDate"].timestamp()
                    by = entry.get("LastModifiedUser", "")
                    found.append(Version(entry["Version"], written_s, by, size, sha256, described))
        return sorted(found, reverse=True)

    def parts_path(self, generation: str = "") -> str:
        """Below which name the parts stand: all of them, or those of a generation."""
        return f"{self.name.rstrip('/')}/parts{f'/{generation}' if generation else ''}"

    def _parts(self, described: Manifest) -> list[str] | None:
        """The values of the parts in order; None if some are not there."""
        path = self.parts_path(described.generation)
        names = [f"{path}/{number}" for number in range(1, described.parts + 1)]
        values: dict[str, str] = {}
        for start in range(0, len(names), BATCH):
            with in_sentences(path):
                found = self.client().get_parameters(Names=names[start : start + BATCH], WithDecryption=True)
            if found.get("InvalidParameters"):
                return None
            values |= {parameter["Name"]: parameter["Value"] for parameter in found["Parameters"]}
        return [values[name] for name in names] if len(values) == len(names) else None


def _described(value: str) -> tuple[int, str, Manifest | None]:
    try:
        found = manifest(value)
    except PackInvalid:
        return len(value.encode()), "", None
    if found is None:
        return len(value.encode()), hashlib.sha256(value.encode()).hexdigest(), None
    return found.bytes, found.sha256, found
