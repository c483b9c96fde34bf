"""What the fuzzers send: calls as plain data, so that a finding is a file that an ordinary test replays.

A token is told by how it is made (`Signed`), because the keys of the tests are new each time. ``{api_key}`` in a value
stands for the key that the gateway knows.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from fakes_credentials import NOW_S, b64, ec_key, ed_key, rsa_jwk, rsa_key, signed
from guarded import GOOD_KEY

from hms_svc.core.model import ClientCertificate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GENUINE = {"rsa": "RS256", "ec": "ES256", "pss": "PS256", "ed": "EdDSA"}
"""How the issuer signs: a name for the key, and the algorithm."""
KIDS = {"rsa": "rsa-1", "ec": "ec-1", "pss": "rsa-1", "ed": "ed-1"}
FORGED = ("other-rsa", "other-ec", "other-pss", "other-ed", "pem", "der", "ssh", "jwk", "empty", "none", "junk")
"""What a forger signs with: keys of their own, the issuer's public key as a secret, nothing."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A token of exactly this header and payload, then changed."""

    header: str
    payload: str
    key: str
    edits: tuple[tuple[str, int, str], ...] = ()

    def original(self) -> str:
        """As it was signed."""
        return _original(self.header, self.payload, self.key)

    def text(self) -> str:
        """As it is sent."""
        text = self.original()
        for how, at, what in self.edits:
            text = EDITS[how](text, at, what)
        return text


Piece = str | Signed


@dataclass(frozen=True, slots=True)
class Call:
    """One request. ``status`` is what must come of it; None: any refusal, or an answer that is deserved."""

    path: str
    lines: tuple[tuple[str, tuple[Piece, ...]], ...] = ()
    certificate: tuple[str, str, str, tuple[str, ...]] | None = None
    status: int | None = None
    why: str = ""

    def headers(self) -> list[tuple[str, str]]:
        """The header lines as they come off the wire."""
        return [(name, "".join(map(_text, pieces))) for name, pieces in self.lines]

    def client_certificate(self) -> ClientCertificate | None:
        """As the door's TLS has verified it: in time, and one of a client."""
        if self.certificate is None:
            return None
        return ClientCertificate(*self.certificate, not_after_s=2 * NOW_S, for_clients=True)

    def tokens(self) -> list[Signed]:
        return [piece for _, pieces in self.lines for piece in pieces if isinstance(piece, Signed)]

    def to_json(self) -> str:
        """As it is kept in a file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Call:
        """Read back."""
        data = json.loads(text)
        certificate = data.get("certificate")
        return cls(
            path=data["path"],
            lines=tuple((name, tuple(map(_piece, pieces))) for name, pieces in data.get("lines", ())),
            certificate=(*certificate[:3], tuple(certificate[3])) if certificate else None,
            status=data.get("status"),
            why=data.get("why", ""),
        )


_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def _flip(text: str, at: int, _: str) -> str:
    place = at % (len(text) + 1)
    return (
        text[:place]
        + "".join(chr(ord(character) ^ 1 << at % 7) for character in text[place : place + 1])
        + (text[place + 1 :])
    )


def _insert(text: str, at: int, what: str) -> str:
    place = at % (len(text) + 1)
    return text[:place] + what + text[place:]


def _delete(text: str, at: int, _: str) -> str:
    place = at % (len(text) + 1)
    return text[:place] + text[place + 1 :]


def _swap(text: str, at: int, _: str) -> str:
    parts = text.split(".")
    first = at % len(parts)
    return ".".join(parts[first:] + parts[:first])


def _replace_part(text: str, at: int, what: str) -> str:
    parts = text.split(".")
    parts[at % len(parts)] = what
    return ".".join(parts)


def _last_digit(text: str, at: int, _: str) -> str:
    """The last digit of a part may hold bits that no byte needs: another text for the same bytes."""
    parts = text.split(".")
    part = parts[at % len(parts)]
    if not part or part[-1] not in _DIGITS:
        return text
    return _replace_part(text, at, part[:-1] + _DIGITS[_DIGITS.index(part[-1]) ^ 1])


EDITS: Mapping[str, Callable[[str, int, str], str]] = {
    "flip": _flip,
    "insert": _insert,
    "delete": _delete,
    "cut": lambda text, at, _: text[: at % (len(text) + 1)],
    "append": lambda text, _, what: text + what,
    "swap": _swap,
    "replace part": _replace_part,
    "classic base64": lambda text, _, __: text.replace("-", "+").replace("_", "/"),
    "last digit": _last_digit,
}
"""What may happen to a token on the way: its text, a place (counted round the text, or its parts), other text."""


def _text(piece: Piece) -> str:
    return piece.text() if isinstance(piece, Signed) else piece.replace("{api_key}", GOOD_KEY)


def _piece(data: str | Mapping[str, Any]) -> Piece:
    if isinstance(data, str):
        return data
    edits = tuple((how, at, what) for how, at, what in data.get("edits", ()))
    return Signed(data["header"], data["payload"], data["key"], edits)


@functools.lru_cache(maxsize=4_096)  # some signatures differ each time: one call sends one text
def _original(header: str, payload: str, key: str) -> str:
    kind = key.removeprefix("other-")
    if kind in GENUINE:
        make = {"rsa": rsa_key, "pss": rsa_key, "ec": ec_key, "ed": ed_key}[kind]
        return signed(header, payload, make() if kind == key else make("x"), GENUINE[kind])
    signing_input = f"{b64(header.encode())}.{b64(payload.encode())}"
    if key in {"none", "junk"}:
        return f"{signing_input}.{'' if key == 'none' else b64(bytes(range(64)))}"
    return f"{signing_input}.{b64(hmac.new(_secret(key), signing_input.encode(), hashlib.sha256).digest())}"


def _secret(name: str) -> bytes:
    """What a forger may take for a secret: the issuer's public key in one form or another."""
    public = rsa_key().public_key()
    encoding, form = serialization.Encoding, serialization.PublicFormat
    match name:
        case "pem":
            return public.public_bytes(encoding.PEM, form.SubjectPublicKeyInfo)
        case "der":
            return public.public_bytes(encoding.DER, form.SubjectPublicKeyInfo)
        case "ssh":
            return public.public_bytes(encoding.OpenSSH, form.OpenSSH)
        case "jwk":
            return json.dumps(rsa_jwk(rsa_key())).encode()
    return b""
