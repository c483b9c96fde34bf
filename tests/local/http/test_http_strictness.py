"""What is HTTP/1.1 and what is not, to the letter of RFC 9112: own cases, and the vectors that others wrote."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import http_vectors
import pytest
import vectors
from wires import OpenDoor, client, patiently, serving

if TYPE_CHECKING:
    from pathlib import Path


def statuses(raw: bytes, **limits: Any) -> list[int]:
    """The status of every answer to ``raw``, until the server closes or has nothing more to read."""
    found: list[int] = []

    async def main() -> None:
        async with serving(OpenDoor(), header_timeout_s=1.0, **limits) as port, client(port) as one:
            one.send(raw)
            one.writer.write_eof()
            answers = await one.rest()
        found.extend(int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) ", answers))

    patiently(main())
    return found


def get(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


HOST = b"Host: x"
REFUSED = {
    "two hosts": (get(HOST, b"Host: y"), 400),
    "the same host twice": (get(HOST, HOST), 400),
    "no host": (get(), 400),
    "an empty host": (get(b"Host:"), 400),
    "two hosts in HTTP/1.0": (get(HOST, HOST, first=b"GET / HTTP/1.0"), 400),
    "two lengths": (get(HOST, b"Content-Length: 1", b"Content-Length: 1") + b"x", 400),
    "a list of lengths": (get(HOST, b"Content-Length: 1, 1") + b"x", 400),
    "a signed length": (get(HOST, b"Content-Length: +1") + b"x", 400),
    "an empty length": (get(HOST, b"Content-Length:"), 400),
    "a length in hexadecimal": (get(HOST, b"Content-Length: 0x1") + b"x", 400),
    "a length beyond counting": (get(HOST, b"Content-Length: 9999999999999999999999"), 400),
    "a length and chunks": (get(HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "chunks and a length": (get(HOST, b"Transfer-Encoding: chunked", b"Content-Length: 1") + b"0\r\n\r\n", 400),
    "chunks in HTTP/1.0": (get(HOST, b"Transfer-Encoding: chunked", first=b"GET / HTTP/1.0") + b"0\r\n\r\n", 400),
    "chunked twice": (get(HOST, b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", 400),
    "chunked in two lines": (get(HOST, *[b"Transfer-Encoding: chunked"] * 2) + b"0\r\n\r\n", 400),
    "chunked not last": (get(HOST, b"Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n", 400),
    "no chunked at all": (get(HOST, b"Transfer-Encoding: gzip"), 400),
    "identity": (get(HOST, b"Transfer-Encoding: identity"), 400),
    "an unknown coding": (get(HOST, b"Transfer-Encoding: xchunked"), 400),
    "a coding nobody implements": (get(HOST, b"Transfer-Encoding: gzip, chunked") + b"0\r\n\r\n", 501),
    "chunked with a control character": (get(HOST, b"Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n", 400),
    "an underscore for the length": (get(HOST, b"Content_Length: 1"), 400),
    "an underscore for the coding": (get(HOST, b"TRANSFER_encoding: chunked"), 400),
    "two authorizations": (get(HOST, b"Authorization: Bearer a", b"authorization: Bearer b"), 400),
    "two content types": (get(HOST, b"Content-Type: a/b", b"Content-Type: c/d"), 400),
    "a folded line": (get(HOST, b"A: b", b" c"), 400),
    "a folded first line": (get(b" A: b", HOST), 400),
    "a space before the colon": (get(HOST, b"A : b"), 400),
    "a space in a name": (get(HOST, b"A b: c"), 400),
    "no name": (get(HOST, b": b"), 400),
    "no colon": (get(HOST, b"A"), 400),
    "a name beyond ASCII": (get(HOST, b"\xc3\x84: b"), 400),
    "a bare LF in a value": (get(HOST, b"A: b\nC: d"), 400),
    "a bare CR in a value": (get(HOST, b"A: b\rC: d"), 400),
    "a NUL in a value": (get(HOST, b"A: b\0"), 400),
    "a control character in a value": (get(HOST, b"A: b\x08"), 400),
    "DEL in a value": (get(HOST, b"A: b\x7f"), 400),
    "a control character in the target": (get(HOST, first=b"GET /\x01 HTTP/1.1"), 400),
    "a target beyond ASCII": (get(HOST, first=b"GET /\xc3\xa0 HTTP/1.1"), 400),
    "a fragment in the target": (get(HOST, first=b"GET /a#b HTTP/1.1"), 400),
    "two spaces in the first line": (get(HOST, first=b"GET  / HTTP/1.1"), 400),
    "a tab in the first line": (get(HOST, first=b"GET\t/ HTTP/1.1"), 400),
    "a space before the method": (get(HOST, first=b" GET / HTTP/1.1"), 400),
    "a space after the version": (get(HOST, first=b"GET / HTTP/1.1 "), 400),
    "a first line without version": (get(HOST, first=b"GET /"), 400),
    "a version in lower case": (get(HOST, first=b"GET / http/1.1"), 400),
    "a version that never was": (get(HOST, first=b"GET / HTTP/1.2"), 400),
    "a version before HTTP/1.0": (get(HOST, first=b"GET / HTTP/0.9"), 400),
    "a version to come": (get(HOST, first=b"GET / HTTP/3.0"), 505),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "a method that is no token": (get(HOST, first=b"GE(T / HTTP/1.1"), 400),
    "a target that is no path": (get(HOST, first=b"GET a HTTP/1.1"), 400),
    "the asterisk of another method": (get(HOST, first=b"GET * HTTP/1.1"), 400),
    "an authority": (get(HOST, first=b"GET x:80 HTTP/1.1"), 400),
    "a URL with credentials": (get(HOST, first=b"GET http://a:b@x/ HTTP/1.1"), 400),
    "a URL without a host": (get(HOST, first=b"GET http:///a HTTP/1.1"), 400),
    "a URL of another scheme": (get(HOST, first=b"GET ftp://x/ HTTP/1.1"), 400),
    "a tunnel": (get(HOST, first=b"CONNECT x:80 HTTP/1.1"), 501),
    "two empty lines before the first": (b"\r\n\r\n" + get(HOST), 400),
    "lines that end in LF": (b"GET / HTTP/1.1\nHost: x\n\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "the signature of the PROXY protocol": (b"\r\n\r\n\x00\r\nQUIT\n", 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_http_is_refused_and_nothing_after_it_is_read(case: str) -> None:
    raw, status = REFUSED[case]
    assert statuses(raw + get(HOST)) == [status]


@pytest.mark.parametrize(
    "raw",
    [
        get(HOST),
        b"\r\n" + get(HOST),
        get(first=b"GET / HTTP/1.0"),
        get(HOST, first=b"get / HTTP/1.1"),
        get(HOST, first=b"M-SEARCH / HTTP/1.1"),
        get(HOST, first=b"!#$%&'*+-.^_`|~09 / HTTP/1.1"),
        get(HOST, first=b'GET /"<>\\^`{|} HTTP/1.1'),
        get(HOST, first=b"GET ///a HTTP/1.1"),
        get(HOST, first=b"GET /?a?b/c HTTP/1.1"),
        get(HOST, b"A:", b"B:\t c \t", b"C: \xe9\xff", b"X_Y: z", b"A: again"),
        get(HOST, b"Content-Length: 0003") + b"abc",
        get(HOST, b"TRANSFER-ENCODING: Chunked") + b'A;a="b;\\"c";d\r\n0123456789\r\n0\r\nVary: *\r\n\r\n',
        get(HOST, b"Proxy-Connection: close"),
    ],
)
def test_what_is_http_is_taken_and_so_is_what_follows(raw: bytes) -> None:
    follows = [] if raw.startswith(b"GET / HTTP/1.0") else [200]
    assert statuses(raw + get(HOST)) == [200, *follows]


NOT_TAKEN = {
    "004": "no Host", "005": "no Host, and a fragment", "006": "no Host", "007": "no Host",
    "009": "no Host; identity is no transfer coding any more", "010": "no Host", "011": "no Host", "012": "no Host",
    "013": "no Host", "014": "no Host", "018": "no Host", "021": "no Host", "023": "no Host", "024": "a long line",
    "025": "no Host; gzip as a transfer coding", "025_line": "no Host; gzip as a transfer coding",
    "026": "a long line", "027": "a target beyond ASCII", "028": "no Host; a space before the colon",
    "029": "no Host; identity", "030": "no Host; identity", "031": "no Host", "031compat": "no Host",
    "031compat2": "no Host", "040": "Transfer_Encoding", "040_compat": "Transfer_Encoding", "100": "no Host",
    "099": "the body ends early", "compat_obs_fold": "a folded line", "compat_obs_fold_huge": "a folded line, no Host",
    "pp_01": "the PROXY protocol", "pp_02": "the PROXY protocol", "pp_04": "the PROXY protocol",
    "pp_05": "the PROXY protocol", "rfc9112_smuggle_gzip_chunked_01": "gzip as a transfer coding",
    "rfc9112_smuggle_te_identity_chunked_01": "identity", "rfc9112_target_absolute_userinfo_01": "credentials in a URL",
    "rfc9112_target_authority_connect_01": "a tunnel", "rfc9112_target_authority_ipv6_01": "a tunnel",
}  # fmt: skip
"""Requests of the valid set that are refused, and why: the set leaves ``Host`` out where HTTP/1.1 demands it, and some
need a setting in their origin that asks for leniency."""
_FOLDER = vectors.folder("gunicorn-http")
VALID = sorted((_FOLDER / "valid").glob("*.http")) if vectors.FOLDER else []
INVALID = sorted((_FOLDER / "invalid").glob("*.http")) if vectors.FOLDER else []


@vectors.needed
@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_none_of_the_invalid_set_is_answered_2xx(path: Path) -> None:
    found = statuses(http_vectors.read(path), **http_vectors.BOUNDS_OF_THEIR_ORIGIN.get(path.stem, {}))
    assert [status for status in found if status < 400] == []
    assert found != []


@vectors.needed
@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_valid_set_is_taken_but_for_what_is_named(path: Path) -> None:
    found = statuses(http_vectors.read(path))
    assert (found[0] >= 400) == (path.stem in NOT_TAKEN), found


@vectors.needed
@pytest.mark.parametrize(
    "path", [path for path in VALID if NOT_TAKEN.get(path.stem) == "no Host"], ids=lambda path: path.stem
)
def test_what_lacks_nothing_but_a_host_is_taken_with_one(path: Path) -> None:
    raw = http_vectors.read(path).replace(b" HTTP/1.1\r\n", b" HTTP/1.1\r\nHost: x\r\n")
    assert set(statuses(raw)) == {200}
