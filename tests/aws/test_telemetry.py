from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from doors import Door
from worlds import drive, request

from hms_svc.aws.telemetry import Telemetry, outcome
from hms_svc.core.config import Forward, Limit, Route, Target
from hms_svc.core.entry import Entry, LimitVerdict

if TYPE_CHECKING:
    from collections.abc import Iterator

CLAIMS = Route(
    name="claims",
    path="/claims/*",
    action=Forward((Target("http", "claims", 80),)),
    auth=("oauth",),
    limits=(Limit(30, 60, 30),),
)


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def telemetry(log: io.StringIO) -> Iterator[Telemetry]:
    loggers = [logging.getLogger(name) for name in ("hms_svc", "py.warnings")]
    before = [(logger, logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield Telemetry(log=log)
    logging.captureWarnings(capture=False)
    for logger, handlers, propagate, level in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


def written(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def entry_of(door: Door, path: str, token: str = "alices-token") -> Entry:
    kept: list[Entry] = []
    door.gateway.observe = lambda entry, ended_ns: kept.append(entry)
    drive(door.gateway.handle(request(path=path, headers=[("Host", "h"), ("Authorization", f"Bearer {token}")])))
    return kept[0]


def test_a_request_is_counted_by_its_route_and_outcome(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    telemetry.closed(entry_of(Door(CLAIMS), "/claims/7"), ended_ns=1_800_000_000_012_000_000)
    telemetry.flush()
    (line,) = written(capsys)
    assert {name: line[name] for name in ("route", "outcome", "service", "Requests")} == {
        "route": "claims",
        "outcome": "served",
        "service": "hms-svc",
        "Requests": [1.0],
    }
    assert {"Latency", "UpstreamLatency"} <= line.keys()
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "hms-svc"
    assert sorted(directive["Dimensions"][0]) == ["outcome", "route", "service"]


def test_a_refusal_is_counted_under_its_problem_type_and_names_no_caller(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Door(CLAIMS)
    telemetry.closed(entry_of(door, "/claims/7", token="wrong-token"), ended_ns=0)
    telemetry.closed(entry_of(door, "/nowhere/secret"), ended_ns=0)
    telemetry.flush()
    text = capsys.readouterr().out
    lines = [json.loads(line) for line in text.splitlines()]
    counted = [(line["route"], line["outcome"]) for line in lines]
    assert counted == [("claims", "bad-credentials"), ("none", "no-such-path")]
    assert "wrong-token" not in text
    assert "secret" not in text


def test_a_warning_is_a_line_of_the_log(telemetry: Telemetry, log: io.StringIO) -> None:
    telemetry.warn("issuer agency: key '100%s' is skipped")
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["level"], line["message"]) == ("WARNING", "issuer agency: key '100%s' is skipped")


def test_counts_are_summed_until_they_are_written(telemetry: Telemetry, capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.count("LimitStoreCalls")
    telemetry.count("LimitStoreCalls", 2)
    telemetry.gauge("RoutesAgeSeconds", 12.5)
    telemetry.flush()
    telemetry.flush()
    (line,) = written(capsys)
    assert (line["LimitStoreCalls"], line["RoutesAgeSeconds"]) == ([3.0], [12.5])


@pytest.mark.parametrize(
    ("on_error", "metric"),
    [("local", "LimitsDecidedLocally"), ("allow", "LimitsAllowedUnasked"), ("deny", "LimitsDeniedUnasked")],
)
def test_a_limit_store_that_could_not_decide_is_counted_and_what_decided_in_its_stead(
    telemetry: Telemetry, capsys: pytest.CaptureFixture[str], on_error: str, metric: str
) -> None:
    entry = entry_of(Door(CLAIMS), "/claims/7")
    entry.limits = [LimitVerdict("ip", "p", allowed=True, remaining=1, error="down", on_error=on_error)] * 2
    telemetry.closed(entry, ended_ns=0)
    telemetry.flush()
    line = written(capsys)[-1]
    assert {name: line[name] for name in line if name.startswith("Limit")} == {"LimitStoreErrors": [1.0], metric: [1.0]}


def test_the_log_lines_of_every_part_are_json_and_carry_the_request(telemetry: Telemetry, log: io.StringIO) -> None:
    entry = entry_of(Door(CLAIMS), "/claims/7")
    telemetry.closed(entry, ended_ns=0)
    logging.getLogger("hms_svc.core.audit").error("%d audit records lost so far", 3)
    line = json.loads(log.getvalue())
    assert (line["level"], line["message"]) == ("ERROR", "3 audit records lost so far")
    assert (line["service"], line["correlation_id"]) == ("hms-svc", entry.request_id)


@pytest.mark.parametrize(
    ("ended", "word"),
    [
        ({"status": 200}, "served"),
        ({"status": 302}, "served"),
        ({"status": 404}, "served-4xx"),
        ({"status": 502}, "served-5xx"),
        ({"status": 200, "incomplete": True}, "incomplete"),
        ({"status": None}, "incomplete"),
    ],
)
def test_the_outcome_is_one_of_a_few_words(ended: dict[str, Any], word: str) -> None:
    assert outcome(Entry(request=request(), request_id="r", started_wall_ns=0, started_ns=0, **ended)) == word
