"""The service behind every candidate: one fixed answer, as fast as Python gives it. Prints its port."""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from hms_svc.local.http.server import run

ANSWER = b'{"faq": [{"question": "Who may ask?", "answer": "Everybody, 30 times a minute."}]}\n'
WIRE = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: max-age=60\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
)


class FixedAnswer(asyncio.Protocol):
    """Answers each request, whatever it is."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make a parser for the connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Parse."""
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        """Answer."""
        self._transport.write(WIRE)


async def main() -> None:
    """Serve on a free loopback port until stopped."""
    server = await asyncio.get_running_loop().create_server(FixedAnswer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    run(main())
