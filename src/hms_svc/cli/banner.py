"""What `hms-svc start` tells the person who started it: where the gateway is, what is on, and lines to try it with."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from hms_svc import __version__
from hms_svc.cli.console import say

if TYPE_CHECKING:
    from hms_svc.core.config import Config, Route
    from hms_svc.serve import Place
    from hms_svc.settings import Settings

WELL_KNOWN_TOKEN = "demo-sandbox-token"  # noqa: S105  (everybody knows it: that is what is warned of)


class Banner:
    """The announcements of one run, on standard output as they happen."""

    def __init__(self, settings: Settings, *, secure: bool, grace_s: float) -> None:
        self._settings = settings
        self._scheme = "https" if secure else "http"
        self._grace_s = grace_s

    def started(self, place: Place, admin: Place | None, config: Config) -> None:
        """Where the gateway is, what is on, and what to try."""
        url = self._url(place)
        say(f"hms-svc {__version__} listens on {url}", bold=True)
        for name, value in self._facts(url, admin, config):
            say(f"  {name:<8} {value}")
        for warning in self._warnings(config):
            say(f"  WARNING  {warning}", colour="yellow", bold=True)
        if self._settings.demo:
            say("  DEMO     demo tokens are accepted and demo services run. Never start it like this in production.")
        say("")
        say("Try it:", bold=True)
        for line in self._tries(url, config):
            say(f"  {line}")
        say("")
        say("Ctrl-C stops it.")
        sys.stdout.flush()

    def stopping(self, why: str) -> None:
        """What is in flight may finish."""
        self.note(f"{why}: finishing the calls in flight, for {self._grace_s:g} s at the most")

    def stopped(self) -> None:
        """The end."""
        self.note("stopped, the audit record is closed")

    def note(self, text: str) -> None:
        """A line of what happened."""
        say(f"hms-svc: {text}")
        sys.stdout.flush()

    def problem(self, text: str) -> None:
        """A line of what went wrong."""
        say(f"hms-svc: {text}", colour="red", err=True)

    def _url(self, place: Place) -> str:
        host, port = place
        if host in {"0.0.0.0", "::"}:  # noqa: S104  (compared, not bound)
            host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    def _facts(self, url: str, admin: Place | None, config: Config) -> list[tuple[str, str]]:
        settings = self._settings
        routes = f"{len(config.routes)} from {settings.routes}, sha256 {config.sha256[:12]}" if settings.routes else ""
        audit = [str(settings.audit)] if settings.audit else []
        audit += ["HMS_OPS_URL, spooled below .hms-svc"] if settings.ops_url else []
        own = f"http://127.0.0.1:{admin[1]}/_hms/" if admin else f"{url}/_hms/"
        return [
            ("routes", routes or "none yet: every call is a 404"),
            ("plug-ins", str(settings.policies) if settings.policies else "no folder, importable modules only"),
            ("keys", str(settings.keys)),
            ("audit", " and ".join(audit)),
            ("admin", f"{own}, token from HMS_SVC_TOKEN" if settings.token else "off: HMS_SVC_TOKEN is not set"),
        ]

    def _warnings(self, config: Config) -> list[str]:
        warnings = list(config.warnings)
        if self._settings.token == WELL_KNOWN_TOKEN and not self._settings.demo:
            warnings.append(
                "HMS_SVC_TOKEN is the demonstration's: whoever reaches this port can change the routes. "
                "Demo services and demo tokens come with --demo only."
            )
        return warnings

    def _tries(self, url: str, config: Config) -> list[str]:
        command = "hms-svc" if shutil.which("hms-svc") else sys.argv[0]
        gateway = "" if url.endswith("127.0.0.1:8080") and self._scheme == "http" else f" --gateway {url}"
        if not config.routes:
            lines = [f"{command} reload routes.yml{gateway}"] if self._settings.token else []
            lines += [f"curl -i {url}/public/faq"]
            return lines
        lines = [line for route in config.routes for line in self._curls(url, route, command, config)]
        lines.append(f"curl -i {url}/no/such/path")
        return lines

    def _curls(self, url: str, route: Route, command: str, config: Config) -> list[str]:
        """The lines that try one route, with a credential that this gateway takes."""
        if route.methods is not None and "GET" not in route.methods:
            method, body = f" -X {min(route.methods)}", " --data 'hello'"
        else:
            method, body = "", ""
        path = "/".join("1" if part.startswith("{") else part for part in route.path.split("/")).removesuffix("/*")
        host = f" -H 'Host: {route.host.replace('*', 'www')}'" if route.host else ""
        plain = f"curl -i{method}{host}{body} {url}{path or '/'}"
        if not route.auth:
            return [plain]
        if "oauth" in route.auth and self._settings.demo:
            return [f"{plain} -H 'Authorization: Bearer demo-user-token'", f"{plain}    # 401: no token"]
        if "api_key" in route.auth:
            return [f'{plain} -H "{config.api_key_header}: $({command} keys create try-out --owner me)"']
        return [f"{plain}    # 401: needs {' or '.join(route.auth)}"]
