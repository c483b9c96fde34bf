"""The test vectors that others wrote. They are no part of the project: tests over them run where a folder is named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = os.environ.get("HMS_SVC_VECTORS", "")
needed = pytest.mark.skipif(not FOLDER, reason="HMS_SVC_VECTORS names no folder of test vectors")


def folder(name: str) -> Path:
    return Path(FOLDER) / name


def read_json(name: str) -> Any:
    """The vectors in the file ``name``, or an empty object where there is no folder, for use in parametrize."""
    return json.loads(folder(name).read_text("utf-8")) if FOLDER else {}
