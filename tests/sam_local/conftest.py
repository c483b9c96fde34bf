from __future__ import annotations

from sam_local.stack import stack

__all__ = ["stack"]
