"""What tests of routes.yml share: the files, policies without imports, the schema as an editor uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

import hms_svc
from hms_svc.core.policy import Policy
from hms_svc.core.policy_loader import PolicyLoadError
from hms_svc.core.routes import RoutesInvalid, load
from hms_svc.core.routes.yaml_tree import Mapping, Node, Scalar, Sequence, Unreadable

if TYPE_CHECKING:
    import collections.abc

    from hms_svc.core.config import Config

TESTS = Path(__file__).parent
PROJECT = TESTS.parent
EXAMPLE = PROJECT / "routes.yml"
GOOD = [EXAMPLE, *sorted((TESTS / "routes" / "good").glob("*.yml"))]
BROKEN = sorted((TESTS / "routes" / "broken").glob("*.yml"))
SCHEMA = json.loads((Path(hms_svc.__file__).parent / "routes.schema.json").read_text("utf-8"))


class AnyRule(Policy):
    """A policy that takes all options."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options


def build(use: str, options: collections.abc.Mapping[str, Any]) -> Policy:
    """Every class is there, but for those in the module ``nowhere``."""
    if use.startswith("nowhere."):
        raise PolicyLoadError(f"{use}: there is no module nowhere")
    return AnyRule(**options)


def config(text: str | bytes) -> Config:
    """The configuration in ``text``, which is good."""
    return load(text if isinstance(text, bytes) else text.encode(), build_policy=build)


def problems(text: str | bytes) -> list[str]:
    """The problems of ``text``, in order; none if it is good."""
    try:
        config(text)
    except RoutesInvalid as invalid:
        return [str(problem) for problem in invalid.problems]
    return []


def notes(path: Path) -> list[str]:
    """The comments that say what is wrong with a broken file: in it, or beside it where it has no room for them."""
    beside = path.with_suffix(".txt")
    text = beside.read_text("utf-8") if beside.exists() else path.read_text("utf-8")
    return [line for line in text.splitlines() if line.startswith("# ")]


def ends_at_the_end(match: re.Match[str]) -> str:
    """As ECMA 262 reads ``$``: the very end; Python's also stands before a last line break."""
    return r"\Z" if match.group() == "$" else match.group()


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> collections.abc.Iterator[ValidationError]:
    strict = re.sub(r"\[(?:\\.|[^\]\\])*\]|\$", ends_at_the_end, pattern)
    if isinstance(instance, str) and not re.search(strict, instance):
        yield ValidationError(f"{instance[:80]!r} does not match {pattern!r}")


AsInAnEditor: Any = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # the stubs leave it so
validator = AsInAnEditor(SCHEMA)


def as_an_editor_sees(node: Node) -> Any:
    """The values of a tree as YAML 1.2 has them: what is in doubt for us is text there."""
    match node:
        case Unreadable(text=text):
            return text
        case Scalar(value=value):
            return value
        case Sequence(items=items):
            return [as_an_editor_sees(item) for item in items]
        case Mapping(entries=entries):
            return {key: as_an_editor_sees(entry.node) for key, entry in entries.items()}
