"""The authorities of client certificates in an S3 object: the `Authorities` of the router.

It is the truststore by which API Gateway accepts certificates, in the version that was deployed. It is not asked for
before a certificate comes that a rule with an ``issuer`` may be for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.s3_objects import S3Objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from hms_svc.core.credentials.authorities import Bundle
    from hms_svc.core.model import ClientCertificate
    from hms_svc.core.ports import Clock


class S3Authorities:
    """The authorities in one object."""

    def __init__(self, place: str, client: Callable[[], S3Client], clock: Clock) -> None:
        self._bundle = S3Objects((place,), _read, client, clock)

    async def have_signed(self, certificate: ClientCertificate) -> bool:
        """As the port says."""
        return bool(self._bundle.content().signers(certificate))


def _read(pem: bytes) -> Bundle:
    from hms_svc.core.credentials.authorities import read_bundle

    return read_bundle(pem)
