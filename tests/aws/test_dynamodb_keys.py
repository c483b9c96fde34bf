from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from aws.dynamodb_local import make_table
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ProfileNotFound,
    TokenRetrievalError,
)
from moto import mock_aws
from worlds import drive

from hms_svc.aws.dynamodb_keys import MAX_PAGES, DynamoDbKeys, keys_client, operator_client
from hms_svc.core.ports import ApiKey, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

TABLE = "keys"
ONE = ApiKey("key-1", "team", "1" * 64, "nightly", frozenset({"claims:read", "a"}), 5, 900)
TWO = ApiKey("key-2", "other", "2" * 64, created_s=4)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBClient]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    with mock_aws():
        client = boto3.client("dynamodb", region_name="eu-central-1")
        make_table(client, TABLE, "sha256")
        yield client


def find(keys: DynamoDbKeys, sha256: str) -> ApiKey | None:
    found: ApiKey | None = drive(keys.find(sha256))
    return found


def test_an_item_holds_what_is_known_of_a_key(client: DynamoDBClient) -> None:
    DynamoDbKeys(TABLE, operator_client).add(ONE)
    [item] = client.scan(TableName=TABLE)["Items"]
    assert item == {
        "sha256": {"S": "1" * 64},
        "id": {"S": "key-1"},
        "owner": {"S": "team"},
        "name": {"S": "nightly"},
        "scopes": {"L": [{"S": "a"}, {"S": "claims:read"}]},
        "created_s": {"N": "5"},
        "expires_s": {"N": "900"},
    }


def test_keys_are_listed_in_the_order_they_were_made(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    assert keys.all().keys == []
    keys.add(ONE)
    keys.add(TWO)
    assert keys.all().keys == [TWO, ONE]


def test_a_revoked_key_is_found_as_revoked_and_stays_so(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(ONE)
    keys.add(TWO)
    revoked = keys.revoke("key-1", 77)
    assert revoked == replace(ONE, revoked_s=77)
    assert find(keys, ONE.sha256) == revoked
    assert keys.revoke("key-1", 99) == revoked
    assert find(keys, TWO.sha256) == TWO


def test_revoking_a_key_that_is_not_there_revokes_none(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(ONE)
    assert keys.revoke("key-9", 77) is None
    assert keys.all().keys == [ONE]


@pytest.mark.parametrize(("expires_s", "end_s"), [(None, 500), (900, 500), (400, 400)])
def test_a_key_ends_at_the_moment_given_or_sooner(client: DynamoDBClient, expires_s: int | None, end_s: int) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(replace(ONE, expires_s=expires_s))
    ended = keys.expire(ONE, 500)
    assert ended == replace(ONE, expires_s=end_s)
    assert keys.all().keys == [ended]


def test_a_key_that_is_gone_does_not_end(client: DynamoDBClient) -> None:
    assert DynamoDbKeys(TABLE, operator_client).expire(ONE, 500) is None
    assert client.scan(TableName=TABLE)["Items"] == []


def test_a_key_is_not_replaced_by_another_with_its_hash(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(ONE)
    with pytest.raises(StoreUnavailable, match="the table keys has this key already"):
        keys.add(ApiKey("key-9", "thief", ONE.sha256))
    assert keys.all().keys == [ONE]


def test_a_write_that_is_repeated_because_its_answer_was_lost_is_good(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(ONE)
    keys.add(ONE)
    assert keys.all().keys == [ONE]


class Told:
    """A table that answers as the test says, and remembers what it was asked."""

    def __init__(self, answer: Callable[[str, dict[str, Any]], dict[str, Any]]) -> None:
        self._answer = answer
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def called(**asked: Any) -> dict[str, Any]:
            self.calls.append((name, asked))
            return self._answer(name, asked)

        return called

    def keys(self) -> DynamoDbKeys:
        return DynamoDbKeys(TABLE, lambda: cast("DynamoDBClient", self))


def item(number: int) -> dict[str, Any]:
    texts = {"sha256": f"{number:064x}", "id": f"key-{number}", "owner": "team", "name": ""}
    return {name: {"S": text} for name, text in texts.items()} | {"scopes": {"L": []}, "created_s": {"N": "1"}}


def pages(last: int) -> Told:
    def answer(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        begun = int(asked.get("ExclusiveStartKey", {}).get("sha256", {}).get("S", "0"), 16)
        more = {"LastEvaluatedKey": {"sha256": {"S": f"{begun + 1:064x}"}}} if begun < last else {}
        return {"Items": [item(begun)]} | more

    return Told(answer)


def test_a_table_of_many_pages_is_listed_whole() -> None:
    table = pages(4)
    assert sorted(key.id for key in table.keys().all().keys) == [f"key-{number}" for number in range(5)]
    assert all(asked["ConsistentRead"] for _, asked in table.calls)


def test_a_table_that_has_no_end_is_not_read_for_ever() -> None:
    table = pages(10_000)
    with pytest.raises(StoreUnavailable, match="larger than 200 MB"):
        table.keys().all()
    assert len(table.calls) == MAX_PAGES


@pytest.mark.parametrize(("strange", "said"), [(1, "1 item that"), (3, "3 items that")])
def test_items_that_are_no_keys_are_said_and_all_keys_listed(strange: int, said: str) -> None:
    items = [item(1), *({"sha256": {"S": "a secret"}} for _ in range(strange)), item(2)]
    listing = Told(lambda name, asked: {"Items": items}).keys().all()
    assert [key.id for key in listing.keys] == ["key-1", "key-2"]
    assert listing.faults == (f"the table keys has {said} cannot be read as an API key",)


def test_a_key_is_had_whatever_else_is_in_the_table(client: DynamoDBClient) -> None:
    keys = DynamoDbKeys(TABLE, operator_client)
    keys.add(ONE)
    client.put_item(TableName=TABLE, Item={"sha256": {"S": "zz"}, "id": {"N": "1"}})
    assert keys.get(ONE.id) == ONE


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("AccessDeniedException", "needs the permission dynamodb:PutItem and dynamodb:ConditionCheckItem for it"),
        ("TransactionCanceledException", "try again in a minute"),
    ],
)
def test_a_transaction_that_is_refused_says_what_to_do(code: str, text: str) -> None:
    def answer(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": code}}, "TransactWriteItems")

    with pytest.raises(StoreUnavailable) as failed:
        Told(answer).keys().add_successor(TWO, ONE, 7)
    assert text in str(failed.value)


def test_a_key_that_goes_while_it_is_revoked_does_not_come_back() -> None:
    def answer(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        if name == "scan":
            return {"Items": [item(1)]}
        assert asked["ConditionExpression"].startswith("attribute_exists(sha256) AND ")
        raise ClientError({"Error": {"Code": "ConditionalCheckFailedException"}}, "UpdateItem")

    assert Told(answer).keys().revoke("key-1", 7) is None


def test_the_router_asks_for_the_key_as_it_is_now() -> None:
    table = Told(lambda name, asked: {})
    assert find(table.keys(), "0" * 64) is None
    assert table.calls == [
        ("get_item", {"TableName": TABLE, "Key": {"sha256": {"S": "0" * 64}}, "ConsistentRead": True})
    ]


@pytest.mark.parametrize(
    "bad",
    [
        {"id": {"S": ""}},
        {"owner": {"N": "1"}},
        {"sha256": {"S": "1"}},
        {"scopes": {"L": [{"N": "1"}]}},
        {"scopes": {"SS": ["a"]}},
        {"scopes": {"L": "a"}},
        {"created_s": {"S": "1"}},
        {"created_s": {"N": "1.5"}},
        {"created_s": {"N": "-1"}},
        {"revoked_s": {"N": "99999999999999"}},
        {"expires_s": {"NULL": True}},
        {"revoked_s": "x"},
    ],
)
def test_an_item_that_is_no_key_lets_nobody_in(bad: dict[str, Any]) -> None:
    table = Told(lambda name, asked: {"Item": item(1) | bad})
    with pytest.raises(StoreUnavailable, match="the table keys has an item that is no API key"):
        find(table.keys(), "1" * 64)


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "of hunter2"}}, "GetItem")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refusal("AccessDeniedException"), "needs the permission dynamodb:GetItem for it"),
        (refusal("UnrecognizedClientException"), "log in again, or set AWS_PROFILE"),
        (refusal("ResourceNotFoundException"), "there is no DynamoDB table keys in this account and region"),
        (refusal("ThrottlingException"), "try again in a minute"),
        (refusal("InternalServerError"), "DynamoDB refused GetItem on keys: InternalServerError"),
        (NoCredentialsError(), "there are no AWS credentials here"),
        (NoRegionError(), "set AWS_REGION"),
        (TokenRetrievalError(provider="sso", error_msg="x"), "aws sso login"),
        (ProfileNotFound(profile="x"), "AWS_PROFILE: "),
        (ParamValidationError(report="x"), "no name of a DynamoDB table"),
        (EndpointConnectionError(endpoint_url="https://x"), "cannot be reached (EndpointConnectionError)"),
    ],
)
def test_what_goes_wrong_is_one_sentence_with_its_remedy(error: ClientError | BotoCoreError, text: str) -> None:
    def answer(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        raise error

    with pytest.raises(StoreUnavailable) as failed:
        find(Told(answer).keys(), "0" * 64)
    assert text in str(failed.value)
    assert "hunter2" not in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(("make", "bounds"), [(keys_client, (0.5, 1.0, 2)), (operator_client, (5, 20, 5))])
def test_clients_have_the_bounds_that_their_docstrings_say(
    client: DynamoDBClient, make: Callable[[], DynamoDBClient], bounds: tuple[float, float, int]
) -> None:
    config: Any = make().meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == bounds
