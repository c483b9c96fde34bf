"""The README is run: each ``console`` block's commands, against a gateway started as the text before it says."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml
from running import PROJECT, environment, project_copy, started

from hms_svc.core.errors import Refusal
from hms_svc.core.policy import Policy
from hms_svc.core.routes import load

if TYPE_CHECKING:
    from pathlib import Path

README = (PROJECT / "README.md").read_text("utf-8")
DOCS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").rglob("*.md"))]
TOKEN = "demo-sandbox-token"


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def sessions(block: str) -> list[tuple[str, str]]:
    """The commands of a console block, each with what it is said to print."""
    found = []
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        found.append((command, output))
    return found


def fits(printed: str, said: str) -> bool:
    """Whether ``printed`` is what the README says, its ``…`` standing for anything."""
    lines = [re.escape(line).replace("…", ".*") for line in said.strip().splitlines()]
    pattern = ".*\n?".join("[\\s\\S]*" if line == ".*" else line for line in lines)
    return re.search(pattern, printed.replace("\r\n", "\n")) is not None


@pytest.mark.parametrize("arguments", [("--demo", "--routes", "routes.yml"), ("--demo",)], ids=["make run", "pip"])
def test_the_commands_print_what_the_readme_says(arguments: tuple[str, ...], tmp_path: Path) -> None:
    folder = project_copy(tmp_path)
    number = 0 if "--routes" in arguments else 1
    with started(folder, *arguments, HMS_SVC_TOKEN=TOKEN) as running:
        for command, said in sessions(blocks("console")[number]):
            here = command.replace("http://127.0.0.1:8080", running.url)
            env = environment(HMS_SVC_GATEWAY=running.url, HMS_SVC_TOKEN=TOKEN)
            done = subprocess.run(
                ["bash", "-c", here], cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False
            )
            assert fits(done.stdout, said), f"$ {command}\n{done.stdout}\n{done.stderr}\nexpected:\n{said}"


def test_the_make_targets_that_are_named_are_there() -> None:
    rules = "".join((PROJECT / name).read_text("utf-8") for name in ("Makefile", "infra.mk"))
    targets = set(re.findall(r"^([a-z-]+):", rules, re.MULTILINE))
    for document in DOCS:
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text("utf-8"), re.MULTILINE)) <= targets


def test_the_example_of_routes_loads() -> None:
    (example,) = blocks("yaml")
    config = load(example.encode(), build_policy=lambda _use, _options: Policy())
    assert [route.path for route in config.routes] == ["/public/faq", "/secure/claims/*"]
    assert yaml.safe_load(example)["issuers"]["agency"]["audience"] == "hms-api"


def test_the_example_of_a_plug_in_works(tmp_path: Path) -> None:
    (example,) = blocks("python")
    folder = project_copy(tmp_path)
    (folder / "layers" / "policies" / "office_hours.py").write_text(example)
    (folder / "routes.yml").write_text(
        "- {path: /a, forward_to: 'http://faq-svc:9000', auth: none, policies: [office_hours.OfficeHours]}\n"
    )
    with started(folder, "--demo", "--routes", "routes.yml") as running:
        assert running.get("/a").status_code == 200
        closed = running.get("/a", **{"X-Office": "closed"})
        assert (closed.status_code, closed.json()["detail"]) == (403, "The office is closed")


def test_the_table_of_refusals_is_the_codes() -> None:
    """Each status that the gateway gives stands in the README's table, and the fixed details too."""

    def family(kind: type[Refusal]) -> list[type[Refusal]]:
        return [kind, *(found for child in kind.__subclasses__() for found in family(child))]

    table = README.split("| refused because |")[1].split("\n\n")[0]
    details = {kind.default_detail for kind in family(Refusal) if kind.status in {401, 404, 429}}
    assert {detail for detail in details if f"`{detail}`" not in table} == set()
    rare = {408, 414, 431, 501, 505}  # what a door refuses before there is a request
    assert {kind.status for kind in family(Refusal)} - rare == {
        int(status) for status in re.findall(r"\| (\d{3})", table)
    }


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
