"""What some objects in S3 say, asked for again after a while.

While S3 does not give them, what they said before counts; objects that are no good never do.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from hms_svc.aws import sentences
from hms_svc.core.moment import Moment, moment
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_s3 import S3Client

    from hms_svc.core.ports import Clock

CONNECT_S, ANSWER_S, TRIES = 0.5, 2.0, 2
REFRESH_NS = 300 * 1_000_000_000
"""How long objects are kept before they are asked for again."""
RETRY_NS = 30 * 1_000_000_000
"""The same, when S3 did not give them."""
_VERSION = "?versionId="
Content = TypeVar("Content")


def objects_client() -> S3Client:
    """A call takes at most 2 x (0.5 s to connect + 2 s to answer) and one pause of at most 1 s."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_S, read_timeout=ANSWER_S, retries={"total_max_attempts": TRIES, "mode": "standard"}
    )
    # boto3 reads AWS_DEFAULT_REGION only; the AWS command line and most tools go by AWS_REGION first.
    return boto3.session.Session().client("s3", region_name=os.environ.get("AWS_REGION") or None, config=config)


class S3Objects(Generic[Content]):
    """What ``read`` makes of the objects at ``places``, each ``BUCKET/KEY[?versionId=…]``."""

    def __init__(
        self, places: tuple[str, ...], read: Callable[..., Content], client: Callable[[], S3Client], clock: Clock
    ) -> None:
        """``read`` takes the bytes of each, and raises `StoreUnavailable` when they are no good."""
        self._places = places
        self._read = read
        self._make_client = client
        self._client: S3Client | None = None
        self._clock = clock
        self._content: Content | None = None
        self._fault = ""
        self._looked: Moment | None = None
        self._lasts_ns = 0
        """How long after that they are asked for again."""

    def content(self) -> Content:
        """What they say. Raises `StoreUnavailable`."""
        now = moment(self._clock)
        if self._looked is None or now.since(self._looked) >= self._lasts_ns:
            self._looked = now
            self._refresh()
        if self._content is None:
            raise StoreUnavailable(self._fault)
        return self._content

    def _refresh(self) -> None:
        try:
            read = [self._get(place) for place in self._places]
        except StoreUnavailable as error:
            self._fault, self._lasts_ns = str(error), RETRY_NS
            return
        try:
            self._content, self._lasts_ns = self._read(*read), REFRESH_NS
        except StoreUnavailable as error:
            self._content, self._fault, self._lasts_ns = None, f"{self._places[0]}: {error}", RETRY_NS

    def _get(self, place: str) -> bytes:
        from botocore.exceptions import BotoCoreError, ClientError

        from hms_svc.core.credentials.crl import MAX_BYTES

        path, _, version = place.partition(_VERSION)
        bucket, _, key = path.partition("/")
        asked: dict[str, Any] = {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})
        try:
            if self._client is None:
                self._client = self._make_client()
            return self._client.get_object(**asked)["Body"].read(MAX_BYTES + 1)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "an error")
            permission = "s3:GetObjectVersion" if version else "s3:GetObject"
            said = sentences.refused(permission, f"s3://{place}", code)
            raise StoreUnavailable(said or f"S3 has no s3://{place} for us: {code}") from error
        except (BotoCoreError, ValueError, OSError) as error:  # a ValueError of boto3's: an endpoint that is none
            raise StoreUnavailable(sentences.not_sent(error, "S3")) from error
