from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from hms_svc.cli.jobs import app
from hms_svc.core.ports import Job
from hms_svc.local.jobs import SqliteJobs

if TYPE_CHECKING:
    from typer.testing import Result

EVENT = {"id": "1", "hmsmethod": "POST", "hmspath": "/claims", "hmscaller": "alice", "data_base64": "ZG8gaXQ="}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HMS_SVC_JOBS", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def put(path: str = ".hms-svc/jobs.sqlite", job_id: str = "1", queue: str = "sqs:claims") -> None:
    asyncio.run(SqliteJobs(Path(path)).put(Job(job_id, queue, EVENT | {"id": job_id})))


def test_a_job_is_listed_taken_and_done() -> None:
    put()
    header, line = run("list").stdout.splitlines()
    assert header.split("\t") == ["id", "queue", "state", "stored", "method", "path", "caller", "taken"]
    cells = line.split("\t")
    assert cells[:3] + cells[4:] == ["1", "sqs:claims", "waiting", "POST", "/claims", "alice", "-"]
    assert json.loads(run("take").stdout) == EVENT
    assert run("list").stdout.splitlines()[1].split("\t")[2] == "taken"
    assert run("done", "1").stdout == "1 is done\n"
    assert run("list").stdout.splitlines() == [header]


def test_json_has_the_same() -> None:
    put()
    (job,) = json.loads(run("list", "--format", "json").stdout)["jobs"]
    assert (job["id"], job["state"], job["path"], job["taken"]) == ("1", "waiting", "/claims", 0)


def test_an_empty_queue_lists_nothing_and_has_nothing_to_take() -> None:
    assert run("list").exit_code == 0
    result = run("take")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "hms-svc: no job waits\n")


def test_only_jobs_of_a_queue_are_taken_when_it_is_named() -> None:
    put()
    assert run("take", "--queue", "other").exit_code == 1
    assert run("take", "--queue", "sqs:claims").exit_code == 0


def test_a_lease_is_a_duration() -> None:
    put()
    assert run("take", "--lease", "soon").exit_code == 2
    assert run("take", "--lease", "1h").exit_code == 0
    assert run("take").exit_code == 1


def test_done_for_a_job_that_is_not_there_says_so() -> None:
    result = run("done", "7")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no job with the id 7" in result.stderr


def test_the_store_is_named_by_option_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    put("other.sqlite")
    assert len(run("list", "--store", "file:other.sqlite").stdout.splitlines()) == 2
    monkeypatch.setenv("HMS_SVC_JOBS", "file:other.sqlite")
    assert len(run("list").stdout.splitlines()) == 2


def test_a_store_of_aws_is_refused_with_a_sentence() -> None:
    result = run("list", "--store", "sqs:https://queue")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_a_file_that_is_no_queue_is_one_sentence() -> None:
    Path("broken").write_bytes(b"not a database " * 100)
    result = run("list", "--store", "broken")
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)
    assert "broken" in result.stderr


def test_an_unknown_format_is_a_wrong_call() -> None:
    assert run("list", "--format", "xml").exit_code == 2
