"""Issuers, tokens and stores of keys in the test's hands. Tokens are signed without the gateway's own code."""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from fakes_introspection import Answers
from worlds import OwnedClock, drive, request

from hms_svc.core.authenticate import Authenticator
from hms_svc.core.config import ClientCertificates, Config, Issuer, Redirect, Route
from hms_svc.core.credentials.key_listing import Listing
from hms_svc.core.credentials.key_uses import KeyUses
from hms_svc.core.model import Caller
from hms_svc.core.ports import ApiKey, StoreUnavailable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from hms_svc.core.model import ClientCertificate

NOW_S = 1_800_000_000
AGENCY = Issuer("agency", "https://login.agency.example/", ("hms-api",))
GOOD_CLAIMS: Mapping[str, Any] = {
    "iss": AGENCY.issuer,
    "aud": "hms-api",
    "sub": "alice",
    "exp": NOW_S + 600,
    "iat": NOW_S,
    "jti": "t-1",
    "scope": "claims:read claims:write",
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


@functools.cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """One key a name, made when it is first asked for."""
    return rsa.generate_private_key(65_537, bits)


@functools.cache
def ec_key(name: str = "one", curve: type[ec.EllipticCurve] = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def rsa_jwk(key: rsa.RSAPrivateKey, kid: str | None = "rsa-1", **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    return jwk | ({} if kid is None else {"kid": kid}) | more


def ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str | None = "ec-1", **more: Any) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    size = (key.curve.key_size + 7) // 8
    crv = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}.get(key.curve.name, "?")
    jwk = {"kty": "EC", "crv": crv, "x": _number(numbers.x, size), "y": _number(numbers.y, size)}
    return jwk | ({} if kid is None else {"kid": kid}) | more


@functools.cache
def ed_key(name: str = "one") -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@functools.cache
def ed448_key(name: str = "one") -> ed448.Ed448PrivateKey:
    return ed448.Ed448PrivateKey.generate()


def ed_jwk(
    key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey, kid: str | None = "ed-1", **more: Any
) -> dict[str, Any]:
    crv = "Ed25519" if isinstance(key, ed25519.Ed25519PrivateKey) else "Ed448"
    jwk = {"kty": "OKP", "crv": crv, "x": b64(key.public_key().public_bytes_raw())}
    return jwk | ({} if kid is None else {"kid": kid}) | more


HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}


def signature(algorithm: str, key: Any, signing_input: bytes) -> bytes:
    if algorithm.startswith("Ed"):
        return bytes(key.sign(signing_input))
    digest = HASHES[algorithm[2:]]()
    if algorithm.startswith("PS"):
        return bytes(key.sign(signing_input, padding.PSS(padding.MGF1(digest), digest.digest_size), digest))
    if algorithm.startswith("RS"):
        return bytes(key.sign(signing_input, padding.PKCS1v15(), digest))
    r, s = decode_dss_signature(key.sign(signing_input, ec.ECDSA(digest)))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def signed(header: str, payload: str, key: Any, algorithm: str) -> str:
    """A token of exactly this header and payload, so also of ones that no library would write."""
    signing_input = f"{b64(header.encode())}.{b64(payload.encode())}"
    return f"{signing_input}.{b64(signature(algorithm, key, signing_input.encode()))}"


def token(
    claims: Mapping[str, Any] = GOOD_CLAIMS,
    *,
    key: Any = None,
    algorithm: str = "RS256",
    header: Mapping[str, Any] | None = None,
    **changed: Any,
) -> str:
    """A token with these claims; a change to None takes the claim out."""
    kind = {"R": "rsa", "P": "rsa", "E": "ec"}[algorithm[0]] if not algorithm.startswith("Ed") else "ed"
    key = key or {"rsa": rsa_key, "ec": ec_key, "ed": ed_key}[kind]()
    kid = f"{kind}-1"
    members = {name: value for name, value in {**claims, **changed}.items() if value is not None}
    full_header = {
        name: value
        for name, value in {"alg": algorithm, "kid": kid, "typ": "JWT", **(header or {})}.items()
        if value is not None
    }
    return signed(json.dumps(full_header), json.dumps(members), key, algorithm)


@dataclass
class KeySet:
    """A `KeySource` in memory: one set for every issuer, exchanged when somebody misses a key or doubts the set."""

    members: list[Mapping[str, Any]] = field(default_factory=lambda: [rsa_jwk(rsa_key())])
    next_members: list[Mapping[str, Any]] | None = None
    down: bool = False
    asked_again: int = 0

    async def keys(
        self, issuer: Issuer, *, unknown_kid: str | None = None, doubted: list[Mapping[str, Any]] | None = None
    ) -> list[Mapping[str, Any]]:
        if self.down:
            raise StoreUnavailable(f"the keys of issuer {issuer.name} cannot be had")
        if unknown_kid is not None or doubted is self.members:
            self.asked_again += 1
            if self.next_members is not None:
                self.members, self.next_members = self.next_members, None
        return self.members


@dataclass
class KeyBook:
    """A `KeyStore` in memory."""

    keys: list[ApiKey] = field(default_factory=list)
    down: bool = False
    asked: int = 0

    async def find(self, sha256: str) -> ApiKey | None:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("the key store is down")
        return next((key for key in self.keys if key.sha256 == sha256), None)

    def all(self) -> Listing:
        return Listing(self.keys)

    def note_uses(self, uses: Sequence[tuple[ApiKey, int]]) -> None:
        if self.down:
            raise StoreUnavailable("the key store is down")
        moments = {key.id: moment_s for key, moment_s in uses}
        self.keys = [
            replace(kept, last_used_s=max(kept.last_used_s or 0, moments[kept.id])) if kept.id in moments else kept
            for kept in self.keys
        ]


def route(*auth: str, **more: Any) -> Route:
    return Route(name="a-route", path="/a", action=Redirect(), auth=auth, **more)


@dataclass
class RevokedBook:
    """`Revocations` in memory."""

    serials: tuple[str, ...] = ()
    down: bool = False
    asked: int = 0

    async def is_revoked(self, certificate: ClientCertificate) -> bool:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("no list")
        return certificate.serial in self.serials


class Desk:
    """An authenticator with everything around it in the test's hands."""

    def __init__(self, *members: Mapping[str, Any], issuers: tuple[Issuer, ...] = (AGENCY,)) -> None:
        self.clock = OwnedClock(NOW_S * 1_000_000_000)
        self.source = KeySet(list(members)) if members else KeySet()
        self.store = KeyBook()
        self.introspection = Answers()
        self.revoked = RevokedBook()
        self.client_certificates = ClientCertificates()
        self.issuers = issuers
        self.later: list[Callable[[], None]] = []
        """What is to be done when the caller has its answer."""
        self.authenticator = Authenticator(
            clock=self.clock,
            key_source=self.source,
            key_store=self.store,
            key_accepted=KeyUses(self.store, self.later.append).note,
            introspection=self.introspection,
            revocations=self.revoked,
            demo_tokens={"demo-user-token": Caller("demo-user", "oauth", token_key="demo-user")},
        )

    def identify(
        self, *lines: tuple[str, str], auth: Iterable[str] = ("oauth",), certificate: ClientCertificate | None = None
    ) -> Caller:
        asked = request(headers=[("Host", "a"), *lines], certificate=certificate)
        config = Config(issuers=self.issuers, client_certificates=self.client_certificates)
        caller: Caller = drive(self.authenticator.identify(asked, route(*auth), config))
        return caller

    def bearer(self, text: str, *, auth: Iterable[str] = ("oauth",)) -> Caller:
        return self.identify(("Authorization", f"Bearer {text}"), auth=auth)


class IssuerServer:
    """An OpenID provider's two documents on a loopback port, for real. It counts who asks."""

    def __init__(self, *members: Mapping[str, Any]) -> None:
        self.members: list[Mapping[str, Any]] = list(members)
        self.asked: Counter[str] = Counter()
        self.headers: dict[str, str] = {}
        self.seen_headers: list[dict[str, str]] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        """What is answered instead, by path."""
        self.etags: dict[str, str] = {}
        """Of the documents as they are now, by path."""
        self.tls: ssl.SSLContext | None = None
        """Set before it starts: the server speaks TLS."""
        self.gate: threading.Event | None = None
        """When there is one, answers wait for it."""
        self.began = threading.Event()
        """Set once somebody has asked."""
        self.url = ""

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked[self.path] += 1
                outer.began.set()
                outer.seen_headers.append({name.lower(): value for name, value in self.headers.items()})
                if outer.gate is not None:
                    outer.gate.wait(10)
                status, body = outer.answers.get(self.path) or outer.answer(self.path)
                etag = outer.etags.get(self.path)
                if etag is not None and status == 200 and self.headers["If-None-Match"] == etag:
                    status, body = 304, b""
                self.send_response(status)
                if etag is not None:
                    self.send_header("ETag", etag)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base class's name)
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if self.tls else 'http'}://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == "/jwks":
            return 200, json.dumps({"keys": self.members}).encode()
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}jwks"}).encode()
        return 404, b"{}"

    def issuer(self, *, discovery: bool = False, **more: Any) -> Issuer:
        jwks_uri = None if discovery else f"{self.url}jwks"
        return Issuer(**{"name": "agency", "issuer": self.url, "audience": ("hms-api",), "jwks_uri": jwks_uri} | more)
