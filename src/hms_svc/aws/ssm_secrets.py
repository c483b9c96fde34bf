"""Secrets in SSM Parameter Store, as SecureString: the `SecretSource` behind ``ssm:/NAME``.

A secret is kept for a while, and used for longer while SSM is down. When it turns out to be refused it is read again,
at most once in a cool-down however many calls find that out.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from hms_svc.aws.ssm_client import in_sentences
from hms_svc.core.moment import Moment, moment
from hms_svc.core.ports import StoreUnavailable
from hms_svc.local.secrets import usable

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_ssm import SSMClient

    from hms_svc.core.ports import Clock

FRESH_S = 300
COOL_DOWN_S = 30
"""Between two readings for the sake of a refused secret, and after one that failed."""
MAX_SECRETS = 64
"""Those of former configurations go when there are more."""
_S = 1_000_000_000


@dataclass(slots=True)
class _Kept:
    """A secret, and when to read it again."""

    value: str = field(repr=False)
    looked: Moment
    lasts_s: int = FRESH_S
    """How long after that it is read again."""
    looked_again: Moment | None = None
    """When it last was read because it was refused."""

    def is_due(self, now: Moment) -> bool:
        """Whether it is time to read it."""
        return now.since(self.looked) >= self.lasts_s * _S

    def may_look_again(self, now: Moment) -> bool:
        """Whether the cool-down is over."""
        return self.looked_again is None or now.since(self.looked_again) >= COOL_DOWN_S * _S


class SsmSecrets:
    """The secrets of one account and region."""

    def __init__(self, client: Callable[[], SSMClient], clock: Clock) -> None:
        """``client`` makes the client; it is called once, when it is needed."""
        self._client = cache(client)
        self._clock = clock
        self._kept: dict[str, _Kept] = {}

    async def read(self, reference: str, *, again: bool = False) -> str:
        """The secret in the parameter ``reference``. Never suspends. Raises `StoreUnavailable`."""
        return self.get(reference, again=again)

    def get(self, name: str, *, again: bool = False) -> str:
        """As `read`, for who does not await. Blocks."""
        now = moment(self._clock)
        kept = self._kept.get(name)
        if kept is None:
            if len(self._kept) >= MAX_SECRETS:
                self._kept.clear()
            self._kept[name] = kept = _Kept(self._fetch(name), now)
        elif kept.is_due(now) or (again and kept.may_look_again(now)):
            kept.looked, kept.lasts_s = now, COOL_DOWN_S
            kept.looked_again = now if again else kept.looked_again
            with suppress(StoreUnavailable):
                kept.value = self._fetch(name)
                kept.lasts_s = FRESH_S
        return kept.value

    def _fetch(self, name: str) -> str:
        with in_sentences(name):
            parameter = self._client().get_parameter(Name=name, WithDecryption=True)["Parameter"]
        if parameter.get("Type") != "SecureString":
            raise StoreUnavailable(
                f"the SSM parameter {name} is no SecureString: a secret stands there for all to read"
            )
        return usable(parameter["Value"], f"ssm:{name}")
