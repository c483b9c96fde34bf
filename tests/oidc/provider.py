"""A real OpenID provider in a process of its own (``provider.mjs``), and what tests ask of it."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = os.environ.get("HMS_SVC_OIDC", "")
needed = pytest.mark.skipif(not FOLDER, reason="HMS_SVC_OIDC names no folder with oidc-provider: use make oidc")
SCRIPT = Path(__file__).with_name("provider.mjs")


class Provider:
    """The provider, at the URL that is its issuer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False

    def token(self, alg: str = "RS256", *, audience: str = "hms-api", seconds: int = 600) -> str:
        """An access token for the client ``service``; ``alg`` may be ``opaque``."""
        answer = self._session.post(
            f"{self.url}/token",
            {
                "grant_type": "client_credentials",
                "resource": f"urn:hms-svc:{audience}:{alg}:{seconds}",
                "scope": "claims:read",
            },
            auth=("service", "the+secret+of+service"),
            timeout=20,
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    def rotate(self, published: list[str], **signing: str) -> None:
        """Publish these keys, and sign with those, by algorithm."""
        body = {"published": published, "signing": signing}
        self._session.put(f"{self.url}/test/keys", json=body, timeout=20).raise_for_status()

    def asked(self) -> dict[str, int]:
        """How often each path was asked for."""
        counts: dict[str, int] = self._session.get(f"{self.url}/test/asked", timeout=20).json()
        return counts

    def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of a token (RFC 7662)."""
        answer = self._session.post(
            f"{self.url}/token/introspection",
            {"token": token},
            auth=("introspector", "the+secret+of+introspector"),
            timeout=20,
        )
        said: dict[str, Any] = answer.json()
        return said

    def close(self) -> None:
        self._session.close()


@contextmanager
def running() -> Iterator[Provider]:
    """The provider, until the block is left."""
    process = subprocess.Popen(
        ["node", str(SCRIPT), FOLDER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        provider = Provider(_issuer(process.stdout))
        yield provider
        provider.close()
    finally:
        process.kill()
        process.communicate()


def _issuer(out: IO[str]) -> str:
    for line in out:
        if line.startswith("issuer "):
            return line.split()[1]
    raise AssertionError("the provider did not start")
