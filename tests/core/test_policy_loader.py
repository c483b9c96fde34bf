from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from hms_svc import Policy, PolicyRequest, Verdict
from hms_svc.core.config import Forward, Route
from hms_svc.core.model import NOBODY, Headers
from hms_svc.core.policy_folder import PolicyFolder
from hms_svc.core.policy_loader import PolicyLoader, PolicyLoadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROUTE = Route(name="r", path="/a", action=Forward(()), auth=())
SHOWN = PolicyRequest("GET", "/a", {}, {}, Headers(), b"", NOBODY, "192.0.2.7")

SAYS = """
from hms_svc import Policy, Verdict

class Says(Policy):
    def __init__(self, word="first"):
        self.word = word

    def check(self, req, route):
        return Verdict.block(self.word)
"""


class Plugins:
    """A folder of plug-ins and its loader."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loader = PolicyLoader(folder)
        self.loader.install()

    def write(self, name: str, text: str = SAYS) -> None:
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        os.utime(file, (1_700_000_000, 1_700_000_000))  # an edit within the same second, as far as anyone can tell

    def build(self, use: str, **options: Any) -> Policy:
        with self.loader.fresh():
            return self.loader.build(use, options)

    def said(self, use: str, **options: Any) -> str:
        return said(self.build(use, **options))

    def error(self, use: str, **options: Any) -> str:
        with pytest.raises(PolicyLoadError) as error:
            self.build(use, **options)
        message = str(error.value)
        assert "\n" not in message
        return message.replace(str(self.folder), "FOLDER")


def said(policy: Policy) -> str:
    return policy.check(SHOWN, ROUTE).reason


@pytest.fixture
def plugins(tmp_path: Path) -> Iterator[Plugins]:
    modules, path, hooks = dict(sys.modules), list(sys.path), list(sys.path_hooks)
    folder = tmp_path / "policies"
    folder.mkdir()
    yield Plugins(folder)
    held = PolicyFolder(folder).holds
    for name in [name for name, module in sys.modules.items() if name not in modules and held(module)]:
        del sys.modules[name]
    sys.path[:], sys.path_hooks[:] = path, hooks


@pytest.mark.parametrize("use", ["says.Says", "says:Says"])
def test_a_file_in_the_folder_is_a_module(plugins: Plugins, use: str) -> None:
    plugins.write("says.py")
    assert plugins.said(use) == "first"
    assert plugins.said(use, word="given") == "given"


@pytest.mark.parametrize("use", ["team.rules.Says", "team.rules:Says"])
@pytest.mark.parametrize("init", [True, False], ids=["package", "folder"])
def test_so_is_one_in_a_package(plugins: Plugins, use: str, init: bool) -> None:  # noqa: FBT001  (a parameter of the test)
    if init:
        plugins.write("team/__init__.py", "")
    plugins.write("team/rules.py")
    assert plugins.said(use) == "first"


def test_any_importable_module_will_do() -> None:
    assert isinstance(PolicyLoader(None).build("plugin_elsewhere.Passes", {}), Policy)


def test_a_policy_without_options_takes_none(plugins: Plugins) -> None:
    plugins.write("plain.py", "import hms_svc\nclass A(hms_svc.Policy):\n    def check(self, req, route): ...\n")
    assert isinstance(plugins.build("plain.A"), Policy)
    assert plugins.error("plain.A", x=1) == ("building plain.A raised TypeError: A takes no options, but was given x")


@pytest.mark.parametrize("use", ["", "says", "says.", ".Says", "a b.C", "a..B", "a:b:C", "a/b.C", "says.Says()", "1.A"])
def test_what_is_no_name_is_not_tried(plugins: Plugins, use: str) -> None:
    assert plugins.error(use) == f"a policy is named module.Class or pkg.module:Class, not {use!r}"


def test_a_module_that_is_not_there_is_named_with_the_place_looked_in(plugins: Plugins) -> None:
    plugins.write("is_large_file.py")
    plugins.write("team/rules.py")
    assert plugins.error("is_large_fil.Says") == (
        "no module is_large_fil: there is no FOLDER/is_large_fil.py, nor is it on Python's path; "
        "did you mean is_large_file?"
    )
    assert plugins.error("team.rule.Says") == (
        "no module team.rule: there is no FOLDER/team/rule.py, nor is it on Python's path; did you mean team.rules?"
    )
    assert plugins.error("zzz.Says").endswith("; there is is_large_file, team.rules")


def test_a_module_inside_a_file_is_told_apart(plugins: Plugins) -> None:
    plugins.write("says.py")
    assert plugins.error("says.inner.Says") == "no module says.inner: 'says' is not a package"


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    folder = tmp_path / "nowhere"
    with pytest.raises(PolicyLoadError) as error:
        PolicyLoader(folder).build("nowhere_to_be_found.Says", {})
    assert str(error.value) == (
        f"no module nowhere_to_be_found on Python's path, and the policy folder {folder} is not there"
    )
    with pytest.raises(PolicyLoadError) as error:
        PolicyLoader(None).build("nowhere_to_be_found.Says", {})
    assert str(error.value) == "no module nowhere_to_be_found on Python's path, and there is no policy folder"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import json\nraise ValueError('two\\nlines')\n", "raised ValueError: two lines (FOLDER/bad.py:2)"),
        ("import sys\nsys.exit(3)\n", "raised SystemExit: 3 (FOLDER/bad.py:2)"),
        ("class A\n    pass\n", "raised SyntaxError: expected ':' (FOLDER/bad.py:1)"),
        ("import nowhere\n", "raised ModuleNotFoundError: No module named 'nowhere' (FOLDER/bad.py:1)"),
        ("from hms_svc import Polcy\n", "raised ImportError: cannot import name 'Polcy' from 'hms_svc'"),
        ("def f():\n    return 1 / 0\n\nf()\n", "raised ZeroDivisionError: division by zero (FOLDER/bad.py:2)"),
        ("import says_broken\n", "raised NameError: name 'x' is not defined (FOLDER/says_broken.py:1)"),
        ("x = '\0'\n", "raised SyntaxError: source code string cannot contain null bytes"),
    ],
)  # fmt: skip
def test_an_import_that_fails_says_what_and_where(plugins: Plugins, text: str, message: str) -> None:
    plugins.write("says_broken.py", "x\n")
    plugins.write("bad.py", text)
    assert plugins.error("bad.A").startswith(f"importing bad {message}")


def test_a_class_that_is_not_there_is_named_with_its_neighbour(plugins: Plugins) -> None:
    plugins.write("says.py")
    assert plugins.error("says.Say") == "module says has no class Say; did you mean Says?"
    assert plugins.error("says.Blocker") == "module says has no class Blocker; there is Says"
    plugins.write("empty.py", "")
    assert plugins.error("empty.Says") == "module empty has no class Says"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class A: ...", "no.A is a class, not a subclass of hms_svc.Policy"),
        ("def A(): ...", "no.A is of type function, not a subclass of hms_svc.Policy"),
        ("A = 1", "no.A is of type int, not a subclass of hms_svc.Policy"),
        ("from hms_svc import Policy as A", "no.A has no method check(self, req, route)"),
        ("from hms_svc import Policy\nclass A(Policy): ...", "no.A has no method check(self, req, route)"),
        (
            "from hms_svc import Policy\nclass A(Policy):\n    def check(self, req): ...",
            "no.A.check takes (self, req), not (self, req, route)",
        ),
        (
            "from hms_svc import Policy\nclass A(Policy):\n    async def check(self, req, route): ...",
            "no.A.check is async; policies run on threads, so it is a plain def",
        ),
    ],
)
def test_a_class_that_is_no_policy_says_why_not(plugins: Plugins, text: str, message: str) -> None:
    plugins.write("no.py", text + "\n")
    assert plugins.error("no.A") == message


def test_an_option_it_does_not_take_is_named_with_those_it_takes(plugins: Plugins) -> None:
    plugins.write("says.py")
    assert plugins.error("says.Says", wrd="x") == "says.Says has no option wrd; did you mean word?; it takes word"
    assert plugins.error("says.Says", zzz="x") == "says.Says has no option zzz; it takes word"


def test_an_option_it_needs_is_named(plugins: Plugins) -> None:
    plugins.write("says.py", SAYS.replace('word="first"', "word"))
    assert plugins.error("says.Says") == "says.Says needs the option word (with: {word: …})"


@pytest.mark.parametrize("error", ["ValueError('too small')", "SystemExit('too small')"])
def test_a_constructor_that_raises_says_what_and_where(plugins: Plugins, error: str) -> None:
    plugins.write("says.py", SAYS.replace("self.word = word", f"raise {error}"))
    assert plugins.error("says.Says") == (
        f"building says.Says raised {error.partition('(')[0]}: too small (FOLDER/says.py:6)"
    )


def test_a_plug_in_never_hides_a_library_and_is_told_when_one_hides_it(plugins: Plugins) -> None:
    plugins.write("json.py")
    assert plugins.error("json.Says").startswith("FOLDER/json.py is hidden by another module json (")
    plugins.write("sys.py")
    assert plugins.error("sys.Says") == ("FOLDER/sys.py is hidden by another module sys (built into Python); rename it")


def test_an_edit_is_seen_by_the_next_load_even_within_one_second(plugins: Plugins) -> None:
    plugins.write("says.py")
    old = plugins.build("says.Says")
    plugins.write("says.py", SAYS.replace("first", "other"))
    assert plugins.said("says.Says") == "other"
    assert said(old) == "first"
    assert not list(plugins.folder.rglob("*.pyc"))


def test_an_edit_to_what_a_plug_in_imports_is_seen_too(plugins: Plugins) -> None:
    plugins.write("team/__init__.py", "")
    plugins.write("team/words.py", "WORD = 'first'\n")
    plugins.write("team/rules.py", "from team.words import WORD\n" + SAYS.replace('"first"', "WORD"))
    assert plugins.said("team.rules.Says") == "first"
    plugins.write("team/words.py", "WORD = 'other'\n")
    assert plugins.said("team.rules.Says") == "other"


def test_a_file_that_comes_later_is_found(plugins: Plugins) -> None:
    plugins.error("says.Says")
    plugins.write("says.py")
    assert plugins.said("says.Says") == "first"


def test_a_load_that_fails_leaves_everything_as_it_was(plugins: Plugins) -> None:
    plugins.write("words.py", "WORD = 'first'\n")
    plugins.write(
        "says.py", SAYS.replace("return", "from words import WORD\n        return").replace("self.word)", "WORD)")
    )
    old = plugins.build("says.Says")
    assert said(old) == "first"
    modules = {name: sys.modules[name] for name in ("says", "words")}
    plugins.write("words.py", "WORD = 'other'\n")
    plugins.write("second.py", "import words\nraise ValueError\n")

    def load() -> None:
        with plugins.loader.fresh():
            plugins.loader.build("says.Says", {})
            plugins.loader.build("second.A", {})

    with pytest.raises(PolicyLoadError):
        load()
    assert {name: sys.modules.get(name) for name in modules} == modules
    assert "second" not in sys.modules
    assert said(old) == "first"


def test_a_module_from_elsewhere_stays_as_it_is(plugins: Plugins) -> None:
    loader = plugins.loader
    loader.build("plugin_elsewhere.Passes", {})
    module = sys.modules["plugin_elsewhere"]
    with loader.fresh():
        loader.build("plugin_elsewhere.Passes", {})
    assert sys.modules["plugin_elsewhere"] is module


def test_installing_twice_is_installing_once(plugins: Plugins) -> None:
    before = (list(sys.path), list(sys.path_hooks))
    PolicyLoader(plugins.folder).install()
    assert (sys.path, sys.path_hooks) == before


def test_a_policy_passes_what_it_passes() -> None:
    assert PolicyLoader(None).build("plugin_elsewhere.Passes", {}).check(SHOWN, ROUTE) == Verdict.pass_()
