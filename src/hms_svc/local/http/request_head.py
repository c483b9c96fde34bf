"""One header section → its parts. The request line is matched here, the fields are llhttp's work, the rest is rules.

llhttp is faster at the fields than a regular expression that checks as much (benchmarks/servers/parse_head.py). It is
shown a request line that is always the same: it knows registered methods only, and treats some in its own way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httptools

from hms_svc.core.errors import FieldsTooLarge, Malformed, Refusal, UriTooLong
from hms_svc.local.http.fields import LOOKALIKE, SINGULAR, read_name
from hms_svc.local.http.http_rules import (
    MAX_METHOD,
    REQUEST_LINE,
    body_length,
    check_host,
    keeps_alive,
    read_target,
    why_no_request_line,
)

if TYPE_CHECKING:
    from hms_svc.local.http.server_limits import ServerLimits

_SHOWN = b"GET / HTTP/1.1\r\n"
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}


class RequestHead:
    """Reads the header sections of one connection, one after the other; its attributes are those of the last one.

    When `read` refuses, they hold what was understood until then.
    """

    __slots__ = (
        "_complete", "_limits", "_parser", "_parts", "_refusal",
        "expects_continue", "keep_alive", "length", "lines", "method", "path", "query", "version",
    )  # fmt: skip

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._parser: httptools.HttpRequestParser | None = None
        self.forget()

    def forget(self) -> None:
        """Hold the parts of no request."""
        self.method = self.path = self.query = ""
        self.version = "1.1"
        self.lines: list[tuple[str, str]] = []
        self.length: int | None = 0
        """Bytes of body that follow; None: a chunked body."""
        self.keep_alive = False
        self.expects_continue = False
        self._parts: dict[str, str] = {}
        self._refusal: Refusal | None = None
        self._complete = False

    def read(self, head: bytes) -> None:
        """Read ``head``, which ends with its first empty line. Raises a `Refusal`."""
        self.forget()
        found = REQUEST_LINE.match(head)
        line_end = found.end() if found else head.index(b"\r\n") + 2
        limits = self._limits
        if line_end > limits.request_line:
            raise UriTooLong(limits.request_line)
        if found is None:
            raise why_no_request_line(head[: line_end - 2])
        method, target, minor = found.groups()
        if len(method) > MAX_METHOD:
            raise Malformed(f"The method is over {MAX_METHOD} characters")
        self.method = _METHODS.get(method) or method.decode("ascii")
        if minor == b"0":
            self.version = "1.0"
        self.path, self.query, authority = read_target(self.method, target.decode("ascii"))
        if len(head) > limits.field:
            self._check_sizes(head, line_end)

        self._read_fields(_SHOWN + head[line_end:])
        parts = self._parts
        check_host(parts, self.version)
        self.length = body_length(parts, self.version)
        self.keep_alive = keeps_alive(parts.get("connection"), self.version)
        if "expect" in parts:
            self.expects_continue = self.version == "1.1" and parts["expect"].lower() == "100-continue"
        if authority is not None:
            self.lines = [("Host", authority), *(line for line in self.lines if line[0].lower() != "host")]
        if self.length != 0 or not self.keep_alive or "proxy-connection" in parts:
            self._parser = None  # it expects a body, or nothing more

    def close(self) -> None:
        """Let go of the parser, which refers back to this object."""
        self._parser = None

    def _check_sizes(self, head: bytes, line_end: int) -> None:
        limits = self._limits
        if len(head) - line_end > limits.fields_total:
            raise FieldsTooLarge(f"The header section is over {limits.fields_total} bytes")
        if max(map(len, head[line_end:].split(b"\r\n"))) + 2 > limits.field:
            raise FieldsTooLarge(f"A field is over {limits.field} bytes")

    def _read_fields(self, shown: bytes) -> None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(shown)
        except httptools.HttpParserUpgrade:
            self._parser = None  # the client offers another protocol; the offer is not taken (RFC 9110, section 7.8)
        except httptools.HttpParserCallbackError:
            self._parser = None
        except httptools.HttpParserError as error:
            self._parser = None
            if self._refusal is None:
                raise Malformed(f"The header section is not well formed: {error}") from error
        if self._refusal is not None:
            self._parser = None
            raise self._refusal
        if not self._complete:
            self._parser = None
            raise Malformed("The header section is not well formed")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser for each field line, its name a token, its value without control characters."""
        text, part = read_name(name)
        content = value.decode("latin-1")
        if content[-1:] in {" ", "\t"}:
            content = content.rstrip(" \t")
        self.lines.append((text, content))
        if part:
            self._take_part(text, part, content)
        if len(self.lines) > self._limits.field_count:
            self._refuse(FieldsTooLarge(f"There are over {self._limits.field_count} fields"))

    def on_headers_complete(self) -> None:
        """Called by the parser at the empty line."""
        self._complete = True

    def _take_part(self, text: str, part: str, content: str) -> None:
        if part == LOOKALIKE:
            self._refuse(Malformed(f"The field {text} could be taken for {text.replace('_', '-')}"))
        elif part not in self._parts:
            self._parts[part] = content
        elif part in SINGULAR:
            self._refuse(Malformed(f"The field {text} came twice"))
        else:
            self._parts[part] += f", {content}"

    def _refuse(self, refusal: Refusal) -> None:
        """Note the first reason and stop the parser."""
        if self._refusal is None:
            self._refusal = refusal
        raise refusal
