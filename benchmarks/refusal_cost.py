"""What a refused request costs: CPU time and memory, the worst of a corpus of requests of up to 10 KiB.

The bound: 50 ms of CPU and 1 MiB of memory before it is refused, whatever comes. The corpus is the fuzzers' seeds and
requests made to be dear: long, deep, many, and tokens that are genuine but for their signature under the dearest keys
that an issuer may publish. Each is asked of one gateway (the journey from `Gateway.handle` to the closed record, over
keys in memory; no socket), on a route that accepts a token, a key or a certificate.

Warm: each request is sent twice before it is measured, so imports, regular expressions and the issuer's keys are ready,
as in a gateway that runs; what the first token of a process costs is printed besides. CPU is the process's own time,
median and worst of `ROUNDS` runs; memory is the most that Python held at once above what it held before (tracemalloc),
in a run of its own since tracing is slow. What OpenSSL takes is not traced, so the growth of the process over the whole
corpus is printed too.

Run: python benchmarks/refusal_cost.py
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import resource
import statistics
import sys
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

TESTS = Path(__file__).parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from fakes_credentials import GOOD_CLAIMS, b64, ec_jwk, ec_key, ed_jwk, ed_key, rsa_jwk, rsa_key, token  # noqa: E402
from fuzz.calls import Call  # noqa: E402
from guarded import Guarded  # noqa: E402
from worlds import request  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hms_svc.core.model import Request

MAX_REQUEST = 10_240
MAX_CPU_MS = 50.0
MAX_MEMORY = 1_048_576
ROUNDS = 15
DEAR_EXPONENT = 2**64 - 59
Lines = list[tuple[str, str]]


class Cost(NamedTuple):
    """Of one request."""

    name: str
    size: int
    status: int
    median_ms: float
    worst_ms: float
    memory: int


def dear_rsa(bits: int, kid: str) -> dict[str, str]:
    """A public key of the largest size and exponent that count. Nobody knows its factors, so nobody can sign."""
    modulus = int.from_bytes(b"".join(hashlib.sha512(f"{kid}{n}".encode()).digest() for n in range(bits // 512)), "big")
    modulus |= 1 << (bits - 1) | 1
    exponent = DEAR_EXPONENT | 1
    return {
        "kty": "RSA",
        "kid": kid,
        "n": b64(modulus.to_bytes(bits // 8, "big")),
        "e": b64(exponent.to_bytes(8, "big")),
    }


def key_set() -> list[Mapping[str, object]]:
    """As many keys as a set may have: real ones, four of 8192 bits under one kid, others that are dear to read."""
    p521 = ec_key("p521", ec.SECP521R1)
    dear = [dear_rsa(8192, "dear") | {"n": dear_rsa(8192, f"dear-{n}")["n"]} for n in range(4)]
    rest = [dear_rsa(8192, f"key-{n}") for n in range(88)]
    same_ec = [ec_jwk(ec_key(f"ec-{n}", ec.SECP521R1), "same-ec") for n in range(4)]
    return [rsa_jwk(rsa_key()), ec_jwk(ec_key()), ec_jwk(p521, "p521"), ed_jwk(ed_key()), *dear, *rest, *same_ec]


def forged(header: str, payload: str, signature: bytes) -> Lines:
    """A bearer token of these parts, filled up to what a token may be and no longer."""
    return [("Authorization", f"Bearer {b64(header.encode())}.{b64(payload.encode())}.{b64(signature)}")]


def claims(**more: object) -> str:
    """Genuine claims, and others."""
    return json.dumps({**GOOD_CLAIMS, **more})


def named(algorithm: str, kid: str) -> str:
    """A header."""
    return json.dumps({"alg": algorithm, "kid": kid})


def nasty() -> Iterator[tuple[str, Lines]]:
    """Header lines that are dear to read, each with its name."""
    rs, signature = named("RS256", "rsa-1"), bytes(256)
    for name, payload in {
        "deep lists": '{"a":' + "[" * 2_900 + "]" * 2_900 + "}",
        "deep objects": '{"a":' * 950 + "1" + "}" * 950,
        "deep, closed and opened": '{"a":[' + "[[[[[[]]]]]]," * 420 + "1]}",
        "brackets in text": claims(a="[" * 5_200),
        "open quote": '{"a":"' + "[" * 5_600,
        "backslashes": '{"a":"' + "\\\\" * 2_800 + '"' + "[" * 20,
        "backslashes, no end": '{"a":"' + "\\" * 5_001 + "[" * 20,
        "long number": '{"a":' + "9" * 5_600 + "}",
        "long fraction": '{"a":0.' + "9" * 5_600 + "}",
        "long exponent": '{"a":1e' + "9" * 5_600 + "}",
        "many numbers": '{"a":[' + ",".join(["9" * 20] * 265) + "]}",
        "many floats": '{"a":[' + ",".join(["1e9"] * 1_400) + "]}",
        "many members": "{" + ",".join(f'"{n}":{n}' for n in range(600)) + "}",
        "many empty objects": '{"a":[' + ",".join(["{}"] * 1_850) + "]}",
        "many empty lists": '{"a":[' + ",".join(["[]"] * 1_850) + "]}",
        "many members twice": "{" + '"a":1,' * 930 + '"a":1}',
        "many escapes": '{"a":"' + "\\u0041" * 930 + '"}',
        "half pairs": '{"a":"' + "\\ud800" * 930 + '"}',
        "astral text": '{"a":"' + "\U0001f600" * 1_400 + '"}',
        "spaces": "{" + " " * 5_600,
        "not JSON": "x" * 5_600,
        "no members": claims(a="x" * 5_100),
        "many audiences": claims(aud=[f"a{n}" for n in range(600)]),
        "many scopes": claims(scope=" ".join(f"s{n}" for n in range(800))),
        "long sub": claims(sub="s" * 5_000),
        "long iss": claims(iss="https://" + "i" * 5_000),
    }.items():
        yield f"payload: {name}", forged(rs, payload, signature)
        if name not in {"many audiences", "many scopes", "long sub", "long iss", "no members"}:
            yield f"header: {name}", forged(payload, claims(), signature)
    yield "long kid", forged(named("RS256", "k" * 5_000), claims(), signature)
    yield "unknown kid", forged(named("RS256", "unknown"), claims(a="x" * 5_000), signature)
    yield "no kid, many keys", forged('{"alg":"RS256"}', claims(a="x" * 5_000), signature)
    yield "8192-bit key, four under one kid", forged(named("RS256", "dear"), claims(a="x" * 3_900), b"\1" * 1_024)
    yield "8192-bit key, RS512", forged(named("RS512", "dear"), claims(a="x" * 3_900), b"\x7f" * 1_024)
    yield "8192-bit key, PS512", forged(named("PS512", "dear"), claims(a="x" * 3_900), b"\x7f" * 1_024)
    yield "EdDSA, genuine but for the signature", forged(named("EdDSA", "ed-1"), claims(a="x" * 5_000), b"\x7f" * 64)
    yield "RSA signature of 4 kB", forged(rs, claims(a="x" * 1_000), b"\x7f" * 4_000)
    yield "RSA signature of 1 byte", forged(rs, claims(a="x" * 5_000), b"\x7f")
    yield "RSA, genuine but for the signature", forged(rs, claims(a="x" * 5_000), b"\x7f" * 256)
    yield "ES256, genuine but for the signature", forged(named("ES256", "ec-1"), claims(a="x" * 5_000), b"\x7f" * 64)
    yield "ES512, four under one kid", forged(named("ES512", "same-ec"), claims(a="x" * 5_000), b"\0" + b"\x7f" * 131)
    yield "ES512, signature of 4 kB", forged(named("ES512", "p521"), claims(a="x" * 1_000), b"\x7f" * 4_000)
    yield "expired, signature good", [("Authorization", f"Bearer {token(exp=1, a='x' * 5_000)}")]
    yield "for others, signature good", [("Authorization", f"Bearer {token(aud=['a'] * 1_000)}")]
    yield "scopes that are none, signature good", [("Authorization", f"Bearer {token(scope='a ' * 2_000 + chr(34))}")]
    for name, text in {
        "dots": "." * 8_000,
        "parts": "a." * 4_000,
        "letters": "a" * 8_192,
        "longer than a token": "a" * 10_000,
        "padding": "=" * 8_000,
        "spaces": " " * 8_000 + "a",
        "spaces and letters": "a " * 4_000,
        "letters and padding": "a=" * 4_000,
        "latin": "é" * 8_000,
        "commas": "a," * 4_000,
        "one part of base64": b64(b"x" * 6_000) + ".e30.AA",
    }.items():
        yield f"bearer: {name}", [("Authorization", f"Bearer {text}")]
        yield f"key: {name}", [("X-API-Key", text)]
        yield f"scheme: {name}", [("Authorization", text)]
    bomb = zlib.compress(b"u" * 4_000_000, 9)[2:-4]
    jwe = json.dumps({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}).encode()
    yield "JWE bomb", [("Authorization", "Bearer " + ".".join(map(b64, (jwe, b"k", b"i", bomb, b"t"))))]
    yield "JWE with many rounds", forged(json.dumps({"alg": "PBES2-HS256+A128KW", "p2c": 2**31}), claims(), signature)
    yield "JWS bomb", forged(json.dumps({"alg": "RS256", "kid": "rsa-1", "zip": "DEF"}), claims(), bomb)
    yield (
        "certificates in the header",
        forged(json.dumps({"alg": "RS256", "kid": "rsa-1", "x5c": ["MIIB" * 1_100]}), claims(), signature),
    )
    yield "100 header lines", [(f"X-{n}", "v" * 90) for n in range(98)]
    yield "100 lines of one name", [("X-Same", "v" * 90)] * 98
    yield "100 Authorization lines", [("Authorization", "Bearer " + "a" * 80)] * 98
    yield "100 X-API-Key lines", [("X-API-Key", "hms_" + "a" * 80)] * 98
    yield "long Cookie", [("Cookie", "a=b; " * 1_900)]
    yield "long X-Forwarded-For", [("X-Forwarded-For", "192.0.2.1," * 950)]
    yield "long traceparent", [("traceparent", "00-" + "a" * 9_000)]
    yield "long User-Agent", [("User-Agent", 'u\\"\u00e9' * 2_300)]
    yield "long Connection", [("Connection", "a," * 4_500)]


def corpus() -> Iterator[tuple[str, Request]]:
    """Every request, with its name."""
    for name, lines in nasty():
        yield name, request(path="/any", headers=[("Host", "a"), *lines])
    for name, path in {
        "path: escapes": "/" + "%41" * 2_700,
        "path: slashes": "/" * 8_000,
        "path: dots": "/a/.." * 1_600,
        "path: semicolons": "/any" + ";a=b" * 2_000,
        "path: long": "/any/" + "a" * 8_100,
    }.items():
        yield name, request(path=path, headers=[("Host", "a")])
    yield "query: many", request(path="/any", query="a=b&" * 2_500, headers=[("Host", "a")])
    for file in sorted((TESTS / "fuzz" / "seeds").glob("*.json")):
        call = Call.from_json(file.read_text("utf-8"))
        if call.status != 200:
            asked = request(
                path=call.path, headers=[("Host", "a"), *call.headers()], certificate=call.client_certificate()
            )
            yield f"seed: {file.stem}", asked


def size_of(asked: Request) -> int:
    """Bytes of the request line and the header section."""
    lines = sum(len(name) + len(value) + 4 for name, value in asked.headers.lines)
    return len(asked.method) + len(asked.path) + len(asked.query) + lines + 15


def cost_of(name: str, asked: Request, guarded: Guarded) -> Cost:
    """What the gateway spends on one request."""
    door = guarded.door
    statuses = {door.ask(asked).status for _ in range(2)}
    door.sink.lines.clear()
    times = []
    for _ in range(ROUNDS):
        begun = time.process_time_ns()
        statuses.add(door.ask(asked).status)
        times.append((time.process_time_ns() - begun) / 1e6)
        door.sink.lines.clear()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    door.ask(asked)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    door.sink.lines.clear()
    assert len(statuses) == 1
    assert statuses < {400, 401, 403, 404}, (name, statuses)
    return Cost(name, size_of(asked), statuses.pop(), statistics.median(times), max(times), peak - before)


def first_token() -> tuple[float, float]:
    """CPU ms of the first token with a new set of keys, and of the next: imports and the set's keys made ready."""
    asked = request(path="/any", headers=[("Host", "a"), *forged(named("RS256", "dear"), claims(), b"\1" * 1_024)])
    guarded = Guarded(*key_set())
    times = []
    for _ in range(2):
        begun = time.process_time_ns()
        guarded.door.ask(asked)
        times.append((time.process_time_ns() - begun) / 1e6)
    return times[0], times[1]


def main(*, max_cpu_ms: float) -> int:
    """Print the worst and the verdict; 1 when something is over a bound."""
    first, new_set = first_token()[0], first_token()[0]
    guarded = Guarded(*key_set())
    gc.collect()
    gc.freeze()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    costs = [cost_of(name, asked, guarded) for name, asked in corpus() if size_of(asked) <= MAX_REQUEST]
    for title, worst in (
        ("CPU", sorted(costs, key=lambda cost: -cost.median_ms)[:10]),
        ("memory", sorted(costs, key=lambda cost: -cost.memory)[:10]),
    ):
        print(f"\nThe ten worst by {title}\n{'bytes':>6} {'status':>6} {'CPU ms':>8} {'worst':>8} {'KiB':>8}  request")
        for cost in worst:
            print(
                f"{cost.size:>6} {cost.status:>6} {cost.median_ms:>8.3f} {cost.worst_ms:>8.3f} "
                f"{cost.memory / 1024:>8.1f}  {cost.name}"
            )
    cpu, memory = max(cost.worst_ms for cost in costs), max(cost.memory for cost in costs)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown
    print(f"\nthe process grew by {grown} KiB over {len(costs) * (ROUNDS + 3)} refusals, tracing of them included")
    print(f"the first token of a process {first:.1f} ms; the first one after a new set of 100 keys {new_set:.1f} ms")
    good = cpu <= max_cpu_ms and memory <= MAX_MEMORY
    print(
        f"{len(costs)} requests of up to {MAX_REQUEST} bytes, each refused: at most {cpu:.2f} ms of CPU "
        f"(bound {max_cpu_ms:.0f}) and {memory / 1024:.0f} KiB (bound {MAX_MEMORY // 1024}): "
        f"{'within the bounds' if good else 'OVER THE BOUND'}"
    )
    return 0 if good else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu-ms", type=float, default=MAX_CPU_MS, help="the bound on CPU time; inf for none")
    sys.exit(main(max_cpu_ms=parser.parse_args().cpu_ms))
