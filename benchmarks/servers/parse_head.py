"""What it costs to read a header section: llhttp, and the best regular expression that checks as much. µs each.

Run: python benchmarks/servers/parse_head.py
"""

from __future__ import annotations

import re
import timeit

import httptools

from hms_svc.local.http.fields import TOKEN
from hms_svc.local.http.request_head import RequestHead
from hms_svc.local.http.server_limits import ServerLimits

SHORT = b"GET /public/faq?x=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n"
MORE = b"".join(b"X-Field-%d: %s\r\n" % (number, b"a value of some length" * 4) for number in range(11))
LONG = SHORT[:-2] + MORE + b"\r\n"
WHOLE = re.compile(rf"({TOKEN}) ([!-~]+) HTTP/1\.([01])\r\n((?:{TOKEN}:[\t -~\x80-\xff]*+\r\n)*+)\r\n")


class Fields:
    """llhttp's callbacks, the least of them."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.parser = httptools.HttpRequestParser(self)

    def on_message_begin(self) -> None:
        """Begin anew."""
        self.lines = []

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a line."""
        self.lines.append((name.decode("latin-1"), value.decode("latin-1")))


def by_expression(section: bytes) -> list[tuple[str, str]]:
    """The field lines; raises where the grammar does not fit."""
    found = WHOLE.fullmatch(section.decode("latin-1"))
    if found is None:
        raise ValueError("not HTTP")
    parted = (line.partition(":") for line in found.group(4).split("\r\n")[:-1])
    return [(name, value.strip(" \t")) for name, _, value in parted]


def main() -> None:
    """Measure and print."""
    ours, fields = RequestHead(ServerLimits()), Fields()
    ways = {
        "llhttp": fields.parser.feed_data,
        "expression": by_expression,
        "ours, rules and all": ours.read,
    }
    for section in (SHORT, LONG):
        print(f"{section.count(b':') - 1} fields, {len(section)} bytes")
        for title, way in ways.items():
            taken = min(timeit.repeat(lambda way=way, section=section: way(section), number=20_000, repeat=3))  # type: ignore[misc]
            print(f"  {title}: {taken / 20_000 * 1e6:.1f} µs")


if __name__ == "__main__":
    main()
