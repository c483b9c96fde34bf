"""Refuses requests whose body is larger than the service behind should get."""

from hms_svc import Policy, PolicyRequest, Verdict


class LargeFileBlocker(Policy):
    """Blocks a body of more than ``max_bytes``, however it is sent."""

    def __init__(self, max_bytes: int = 5 * 1024 * 1024) -> None:
        self.max_bytes = int(max_bytes)

    def check(self, req: PolicyRequest, route: object) -> Verdict:
        """Whatever it says of its length, the body's own counts."""
        size = max(int(req.headers.get("Content-Length", 0)), len(req.body))
        if size > self.max_bytes:
            return Verdict.block(f"File exceeds {self.max_bytes / 1024**2:g} MB limit")
        return Verdict.pass_()
