"""Credentials for trying the gateway out, believed only with ``--demo``: two fixed tokens, and an issuer of real ones.

The demo issuer is a P-256 key in the state folder. Its tokens are ordinary ES256 tokens and take the ordinary path.
"""

from __future__ import annotations

import base64
import json
import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import Issuer
from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.core.model import Caller
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hms_svc.core.ports import KeySource, Randomness

_ISSUER = Issuer(
    name="demo",
    issuer="https://demo.hms-svc.invalid/",
    audience=("hms-svc-demo",),
    algorithms=("ES256",),
)
"""Its name resolves nowhere (RFC 2606): nobody is asked for its keys."""
DEMO_TOKENS: Mapping[str, Caller] = MappingProxyType(
    {
        "demo-user-token": Caller(
            name="demo-user",
            via="oauth",
            issuer=_ISSUER.issuer,
            scopes=frozenset({"claims:read", "claims:write"}),
            token_key="demo-user",  # noqa: S106  (names a bucket)
        ),
        "demo-guest-token": Caller(name="demo-guest", via="oauth", issuer=_ISSUER.issuer, token_key="demo-guest"),  # noqa: S106
    }
)
FILE = "demo-issuer.json"
_PRIVATE_FILE, _PRIVATE_FOLDER = 0o600, 0o700
_SIZE = 32
"""Bytes of a P-256 coordinate."""


class DemoIssuer:
    """An issuer whose private key is at hand. The key is made when it is first needed."""

    issuer: Issuer = _ISSUER

    def __init__(self, folder: Path, randomness: Randomness) -> None:
        self._path = folder / FILE
        self._randomness = randomness
        self._public: list[Mapping[str, Any]] | None = None

    def keys(self, *, again: bool = False) -> list[Mapping[str, Any]]:
        """The public keys; ``again`` reads the file again. Raises `StoreUnavailable`."""
        if self._public is None or again:
            key = self._private_key()
            public: list[Mapping[str, Any]] = [{name: value for name, value in key.items() if name != "d"}]
            if self._public != public:
                self._public = public
        return self._public

    def mint(self, *, sub: str, scopes: frozenset[str], now_s: int, lifetime_s: int) -> str:
        """A token for ``sub``. Raises `StoreUnavailable`."""
        from hms_svc.core.credentials.tokens import sign

        claims = {
            "iss": self.issuer.issuer,
            "aud": self.issuer.audience[0],
            "sub": sub,
            "scope": " ".join(sorted(scopes)),
            "iat": now_s,
            "exp": now_s + lifetime_s,
            "jti": self._randomness.hex(8),
        }
        return sign(claims, self._private_key())

    def _private_key(self) -> dict[str, str]:
        try:
            return _read(self._path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreUnavailable(f"the demo issuer's key {self._path} cannot be read: {error.strerror}") from error
        try:
            self._create()
            return _read(self._path)
        except OSError as error:
            raise StoreUnavailable(f"the demo issuer's key {self._path} cannot be made: {error.strerror}") from error

    def _create(self) -> None:
        """Write a new key, unless somebody else just did: the first one stays."""
        self._path.parent.mkdir(_PRIVATE_FOLDER, parents=True, exist_ok=True)
        beside = self._path.with_name(f"{FILE}.{self._randomness.hex(4)}")
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _PRIVATE_FILE)
        with open(fd, "w", encoding="ascii") as file:  # noqa: PTH123  (a descriptor, no path)
            json.dump(_new_key(kid=f"demo-{self._randomness.hex(4)}"), file)
        try:
            os.link(beside, self._path)
        except FileExistsError:
            pass
        finally:
            beside.unlink()


class WithDemoIssuer:
    """A `KeySource` that knows the demo issuer and asks another for everybody else."""

    def __init__(self, inner: KeySource, demo: DemoIssuer) -> None:
        self._inner = inner
        self._demo = demo

    async def keys(
        self, issuer: Issuer, *, unknown_kid: str | None = None, doubted: list[Mapping[str, Any]] | None = None
    ) -> list[Mapping[str, Any]]:
        """The issuer's keys. Raises `StoreUnavailable`."""
        if issuer is self._demo.issuer or issuer == self._demo.issuer:
            return self._demo.keys(again=unknown_kid is not None or doubted is not None)
        return await self._inner.keys(issuer, unknown_kid=unknown_kid, doubted=doubted)


def _new_key(kid: str) -> dict[str, str]:
    """A private key as a JWK (RFC 7518, section 6.2)."""
    from cryptography.hazmat.primitives.asymmetric import ec

    private = ec.generate_private_key(ec.SECP256R1()).private_numbers()
    public = private.public_numbers
    numbers = {"x": public.x, "y": public.y, "d": private.private_value}
    texts = {name: base64.urlsafe_b64encode(number.to_bytes(_SIZE, "big")) for name, number in numbers.items()}
    coordinates = {name: text.rstrip(b"=").decode("ascii") for name, text in texts.items()}
    return {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, **coordinates}


def _read(path: Path) -> dict[str, str]:
    try:
        key = parse_object(path.read_bytes())
    except ValueError as error:
        raise StoreUnavailable(f"the demo issuer's key {path} cannot be understood: {error}") from None
    if not {"kty", "crv", "alg", "kid", "x", "y", "d"} <= set(key):
        raise StoreUnavailable(f"the demo issuer's key {path} is no private key")
    return key
