"""``module.Class`` in routes.yml → a built `Policy`, or one sentence that says what was tried."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hms_svc.core.policy import Policy
from hms_svc.core.policy_faults import described, place
from hms_svc.core.policy_folder import PolicyFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

_USE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*)[.:](?P<name>[^\W\d]\w*)")
_OFFERED = 5
"""Names that are listed when none is near."""


class PolicyLoadError(Exception):
    """A policy that cannot be imported or built. The message is one sentence for whoever wrote the file."""


class PolicyLoader:
    """Builds policies from the modules in ``folder`` and from any other that can be imported."""

    def __init__(self, folder: Path | None) -> None:
        self._shown = str(folder) if folder else ""
        self._folder = PolicyFolder(folder) if folder else None

    def install(self) -> None:
        """Make the folder's modules importable, for the rest of the process."""
        if self._folder:
            self._folder.install()

    def fresh(self) -> AbstractContextManager[None]:
        """Inside, edited plug-ins are seen. When something raises, all is as before; old policies go on working."""
        return self._folder.fresh() if self._folder else nullcontext()

    def build(self, use: str, options: Mapping[str, Any]) -> Policy:
        """The policy that ``use`` names, built with ``options``. Raises `PolicyLoadError`."""
        named = _USE.fullmatch(use)
        if named is None:
            raise PolicyLoadError(f"a policy is named module.Class or pkg.module:Class, not {use!r}")
        policy_class = self._find(self._import(named["module"]), named["name"], use)
        _check_options(policy_class, use, options)
        try:
            return policy_class(**options)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            raise self._raised(f"building {use}", error) from error

    def _import(self, name: str) -> ModuleType:
        try:
            module = import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
                raise PolicyLoadError(self._not_found(name, error)) from error
            raise self._raised(f"importing {name}", error) from error
        folder = self._folder
        if folder and (folder.path / f"{name}.py").is_file() and not folder.holds(module):
            other = vars(module).get("__file__") or "built into Python"
            raise PolicyLoadError(f"{self._shown}/{name}.py is hidden by another module {name} ({other}); rename it")
        return module

    def _not_found(self, name: str, error: ModuleNotFoundError) -> str:
        if self._folder is None:
            return f"no module {name} on Python's path, and there is no policy folder"
        if not self._folder.path.is_dir():
            return f"no module {name} on Python's path, and the policy folder {self._shown} is not there"
        if str(error).endswith("is not a package"):
            return f"no module {name}: {str(error).partition('; ')[2]}"
        file = f"{self._shown}/{name.replace('.', '/')}.py"
        return f"no module {name}: there is no {file}, nor is it on Python's path" + _offer(
            name, self._folder.module_names()
        )

    def _raised(self, doing: str, error: BaseException) -> PolicyLoadError:
        where = place(error, str(self._folder.path)) if self._folder else ""
        return PolicyLoadError(f"{doing} raised {described(error)}" + (f" ({self._shown}/{where})" if where else ""))

    def _find(self, module: ModuleType, name: str, use: str) -> type[Policy]:
        found = vars(module).get(name)
        if found is None:
            policies = [key for key, value in vars(module).items() if _is_policy(value) and value is not Policy]
            raise PolicyLoadError(f"module {module.__name__} has no class {name}" + _offer(name, policies))
        if not _is_policy(found):
            kind = "a class" if isinstance(found, type) else f"of type {type(found).__name__}"
            raise PolicyLoadError(f"{use} is {kind}, not a subclass of hms_svc.Policy")
        _check_check(found, use)
        return found  # type: ignore[no-any-return]  # looked at above


def _is_policy(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Policy)


def _check_check(policy: type[Policy], use: str) -> None:
    """Its ``check`` can be called as it will be."""
    import inspect

    if policy.check is Policy.check:
        raise PolicyLoadError(f"{use} has no method check(self, req, route)")
    if inspect.iscoroutinefunction(policy.check):
        raise PolicyLoadError(f"{use}.check is async; policies run on threads, so it is a plain def")
    try:
        inspect.signature(policy.check).bind(None, None, None)
    except TypeError:
        raise PolicyLoadError(f"{use}.check takes {inspect.signature(policy.check)}, not (self, req, route)") from None


def _check_options(policy: type[Policy], use: str, options: Mapping[str, Any]) -> None:
    """Its constructor takes these options, told by name before it runs."""
    import inspect

    taken = inspect.signature(policy).parameters.values()
    names = [it.name for it in taken if it.kind in {it.KEYWORD_ONLY, it.POSITIONAL_OR_KEYWORD}]
    open_ended = any(it.kind is it.VAR_KEYWORD for it in taken)
    for option in options:
        if not (open_ended or option in names):
            takes = f"it takes {', '.join(names)}" if names else "it takes none"
            raise PolicyLoadError(f"{use} has no option {option}{_near(option, names)}; {takes}")
    missing = [it.name for it in taken if it.name in names and it.default is it.empty and it.name not in options]
    if missing:
        raise PolicyLoadError(f"{use} needs the option {' and '.join(missing)} (with: {{{missing[0]}: …}})")


def _offer(name: str, names: Sequence[str]) -> str:
    """The name that was likely meant, or those that there are."""
    near = _near(name, names)
    if near or not names:
        return near
    more = ", …" if len(names) > _OFFERED else ""
    return f"; there is {', '.join(sorted(names)[:_OFFERED])}{more}"


def _near(name: str, names: Sequence[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    return f"; did you mean {near[0]}?" if near else ""
