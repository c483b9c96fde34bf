"""The one file around python-jose: it verifies a signature with a key, and signs. All else is checked around it.

What jose has no algorithm for, `pss_eddsa` does (docs/decisions/0008).

What jose would let pass (design, decision 10) never reaches it: `jws` has taken the token apart, `token_keys` has
bound the keys to the algorithm and reduced them to their numbers, `claims` reads what the token says. jose is imported
when the first token comes.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import MAX_ISSUERS
from hms_svc.core.credentials.jws import Jws, TokenInvalid, shown
from hms_svc.core.credentials.token_keys import ALGORITHMS, signing, usable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import KeySource

    Jwks = Sequence[Mapping[str, Any]]

_KNOWN_NAMES = frozenset(f"{family}{bits}" for family in ("HS", "RS", "ES", "PS") for bits in (256, 384, 512)) | {
    "none",
    "EdDSA",
    "Ed25519",
    "Ed448",
    "ES256K",
}
"""Names that the record shows; anything else in ``alg`` may be any text."""
_MAX_TRIED = 4
"""Keys that are tried when several share a ``kid``."""


class SignatureVerifier:
    """Verifies tokens against their issuers' keys, which it keeps ready for use as long as the set stays the same."""

    def __init__(self, key_source: KeySource) -> None:
        self._source = key_source
        self._ready: dict[Issuer, _ReadyKeys] = {}

    async def verify(self, jws: Jws, issuer: Issuer) -> Jwks:
        """The issuer's key set, one of whose keys signed ``jws``.

        Raises `TokenInvalid`, and `StoreUnavailable` when the keys cannot be had.
        """
        if jws.algorithm not in ALGORITHMS or jws.algorithm not in issuer.algorithms:
            named = jws.algorithm if jws.algorithm in _KNOWN_NAMES else "of the token"
            raise TokenInvalid(f"the algorithm {named} is not one of the issuer's")
        keys = await self._source.keys(issuer)
        chosen = self._ready_keys(issuer, keys).named(jws)
        if not chosen:
            keys = await self._source.keys(issuer, unknown_kid=jws.kid or "")
            chosen = self._ready_keys(issuer, keys).named(jws)
        if not chosen:
            named = "no key" if jws.kid is None else f"unknown kid {shown(jws.kid)}: no key"
            raise TokenInvalid(f"{named} of the issuer's {len(keys)} can be used with {jws.algorithm}")
        if _is_signed_by_any(chosen, jws):
            return keys
        # The issuer may have another key by now, under the same kid or none.
        other = await self._source.keys(issuer, doubted=keys)
        if other is keys or not _is_signed_by_any(self._ready_keys(issuer, other).named(jws), jws):
            raise TokenInvalid("the signature is wrong")
        return other

    def _ready_keys(self, issuer: Issuer, keys: Jwks) -> _ReadyKeys:
        ready = self._ready.get(issuer)
        if ready is None or ready.keys is not keys:
            self._ready.pop(issuer, None)
            if len(self._ready) > MAX_ISSUERS:  # one more than a file has, for the demo issuer
                del self._ready[next(iter(self._ready))]
            ready = self._ready[issuer] = _ReadyKeys(keys)
        return ready


class _ReadyKeys:
    """One key set. A member is built when a token first names it: of a large set most are never asked for."""

    def __init__(self, keys: Jwks) -> None:
        self.keys = keys
        self._count = signing(keys)
        self._fitting: dict[str, list[tuple[str | None, dict[str, str]]]] = {}
        self._built: dict[tuple[str, int], Any] = {}

    def named(self, jws: Jws) -> list[Any]:
        """The keys that may have signed the token. One without ``kid`` must leave no doubt: the set has one key."""
        algorithm = jws.algorithm
        fitting = self._fitting.get(algorithm)
        if fitting is None:
            fitting = self._fitting[algorithm] = usable(self.keys, algorithm)
        if jws.kid is None and fitting and self._count > 1:
            raise TokenInvalid(f"the token names no kid and the issuer has {self._count} keys")
        chosen = [place for place, (kid, _) in enumerate(fitting) if kid == jws.kid or jws.kid is None]
        if not chosen and len(fitting) == 1 and fitting[0][0] is None:
            chosen = [0]
        built = (self._key(algorithm, place, fitting[place][1]) for place in chosen)
        return list(islice((key for key in built if key is not None), _MAX_TRIED))

    def _key(self, algorithm: str, place: int, numbers: dict[str, str]) -> Any:
        at = (algorithm, place)
        if at not in self._built:
            self._built[at] = _build(numbers, algorithm)
        return self._built[at]


def sign(claims: Mapping[str, Any], private_jwk: Mapping[str, str]) -> str:
    """A token of type ``at+jwt`` signed with a private key, whose ``alg`` and ``kid`` go into the header."""
    from jose import jws

    headers = {"kid": private_jwk["kid"], "typ": "at+jwt"}
    return str(jws.sign(dict(claims), dict(private_jwk), headers=headers, algorithm=private_jwk["alg"]))


def _build(numbers: dict[str, str], algorithm: str) -> Any:
    """A key that verifies ``algorithm``; None when its numbers are none: a point that is not on the curve, say."""
    from hms_svc.core.credentials import pss_eddsa

    try:
        if algorithm in pss_eddsa.ALGORITHMS:
            return pss_eddsa.construct(numbers, algorithm)
        from jose import jwk

        return jwk.construct(numbers, algorithm)
    except Exception:  # noqa: BLE001  (jose lets its backend's exceptions through; a key that cannot be read is none)
        return None


def _is_signed_by_any(keys: Sequence[Any], jws: Jws) -> bool:
    return any(_is_signed_by(key, jws) for key in keys)


def _is_signed_by(key: Any, jws: Jws) -> bool:
    try:
        return key.verify(jws.signing_input, jws.signature) is True
    except Exception:  # noqa: BLE001  (whatever a library makes of a signature, only True is yes)
        return False
