"""Revocation lists in an S3 object: the `Revocations` of the router.

Two objects: the lists, and the truststore by which API Gateway accepts certificates. A list counts if an authority of
the truststore has signed it, so who can write the lists and no more can leave out nobody. Neither is asked for before
the first certificate comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.s3_objects import S3Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from hms_svc.core.credentials.crl import RevocationLists
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock


class S3Crl:
    """The lists in one object, verified with the authorities in another."""

    def __init__(self, lists: str, authorities: str, client: Callable[[], S3Client], clock: Clock) -> None:
        self._clock = clock
        self._lists = S3Objects((lists, authorities), _read, client, clock)

    async def is_revoked(self, certificate: ClientCertificate) -> bool:
        """What the lists say, for as long as they are not out of date. Raises `StoreUnavailable`."""
        return self._lists.content().is_revoked(certificate, self._clock.wall_ns() // 1_000_000_000)


def _read(data: bytes, bundle: bytes) -> RevocationLists:
    from hms_svc.core.credentials.crl import read

    return read(data, bundle)
