"""What template.yaml and samconfig.toml promise, read from the files: no network, no account."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from hms_svc.aws.settings import RouterSettingInvalid, RouterSettings
from hms_svc.aws.telemetry import INSTEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ANYTHING_ALLOWED = {  # statements that IAM takes with "*" only; template.yaml says why beside each
    "WriteTraces",
    "LambdaLooksAtNetworkInterfaces",
    "LookAtAlarms",
}
READ_BY_THE_ROUTER = {
    "AWS_USE_FIPS_ENDPOINT",
    "HMS_SVC_AUDIT",
    "HMS_SVC_CLIENT_CA",
    "HMS_SVC_CRL",
    "HMS_SVC_JOBS",
    "HMS_SVC_JOBS_BUCKET",
    "HMS_SVC_KEYS",
    "HMS_SVC_KEYS_CACHE",
    "HMS_SVC_LIMITS",
    "HMS_SVC_ROUTES",
    "HMS_SVC_ROUTES_MAX_AGE",
    "LOG_LEVEL",
    "POWERTOOLS_METRICS_NAMESPACE",
    "POWERTOOLS_SERVICE_NAME",
}
OWN_METRICS = {
    "AuditRecordsLost",
    "AuditRecordsSpilled",
    "LimitStoreErrors",
    "RoutesAgeSeconds",
    "RoutesRefreshFailed",
}


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms: ``!Ref X`` becomes ``{"Ref": "X"}``."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {name: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _short_form)


@cache
def template() -> dict[str, Any]:
    """The template as values."""
    loaded = yaml.load((ROOT / "template.yaml").read_text("utf-8"), _Loader)  # noqa: S506  (a SafeLoader)
    assert isinstance(loaded, dict)
    return loaded


def resources(kind: str) -> dict[str, dict[str, Any]]:
    return {name: found for name, found in template()["Resources"].items() if found["Type"] == kind}


def properties(name: str) -> dict[str, Any]:
    found = template()["Resources"][name]["Properties"]
    assert isinstance(found, dict)
    return found


def inside(value: Any) -> Iterator[Any]:
    """``value`` and everything in it."""
    yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from inside(part)


def statements() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every policy statement with the name of its resource."""
    for name, resource in template()["Resources"].items():
        for part in inside(resource):
            if isinstance(part, dict) and "Effect" in part:
                yield name, part


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", sorted(template()["Parameters"]))
def test_every_parameter_says_what_it_is_and_has_a_default(name: str) -> None:
    parameter = template()["Parameters"][name]
    assert parameter["Description"].strip()
    assert "Default" in parameter


def test_every_parameter_stands_in_one_group() -> None:
    groups = template()["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(template()["Parameters"]) == sorted(name for group in groups for name in group["Parameters"])


def test_every_output_says_what_it_is() -> None:
    assert [name for name, output in template()["Outputs"].items() if not output.get("Description")] == []


def test_no_statement_allows_actions_by_a_wildcard() -> None:
    wide = [
        (name, action)
        for name, statement in statements()
        if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        if "*" in action
    ]
    assert wide == []


def test_nothing_is_allowed_on_everything_but_what_iam_takes_no_other_way() -> None:
    wide = {
        statement["Sid"]
        for name, statement in statements()
        # In a key's policy "*" is the key itself.
        if statement["Effect"] == "Allow" and "*" in as_list(statement.get("Resource")) and name != "Key"
    }
    assert wide == ANYTHING_ALLOWED


def test_each_allowed_star_has_its_reason_on_its_line() -> None:
    lines = [line for line in (ROOT / "template.yaml").read_text("utf-8").splitlines() if 'Resource: "*"' in line]
    unexplained = [line for line in lines if "#" not in line]
    own_key = next(text for text in (ROOT / "template.yaml").read_text("utf-8").split("\n  Key:\n")[1:])
    assert len(unexplained) == own_key.split("\n  KeyAlias:\n")[0].count('Resource: "*"')


def test_nobody_but_services_and_this_account_is_let_in() -> None:
    open_to_all = [
        (name, statement)
        for name, statement in statements()
        if statement["Effect"] == "Allow" and statement.get("Principal") in ("*", {"AWS": "*"})
    ]
    assert open_to_all == []


def test_managed_policies_are_attached_where_api_gateway_asks_for_one_and_nowhere_else() -> None:
    attached = [name for name, role in resources("AWS::IAM::Role").items() if "ManagedPolicyArns" in role["Properties"]]
    assert attached == ["ApiGatewayLoggingRole"]


def test_the_router_may_call_what_its_adapters_call() -> None:
    allowed = {
        action
        for name, statement in statements()
        if name == "RouterRole" and statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
        if not action.startswith(("ec2:", "sts:"))  # those are for Lambda itself
    }
    assert allowed == {
        "dynamodb:GetItem",
        "dynamodb:UpdateItem",
        "firehose:PutRecordBatch",
        "kms:Decrypt",
        "kms:GenerateDataKey",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "s3:DeleteObject",
        "s3:GetObject",
        "s3:GetObjectVersion",
        "s3:PutObject",
        "sqs:GetQueueUrl",
        "sqs:SendMessage",
        "ssm:GetParameter",
        "ssm:GetParameters",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }


def test_the_router_may_not_use_the_network_permissions_that_lambda_has_for_it() -> None:
    ec2 = {
        statement["Effect"]: statement
        for name, statement in statements()
        if name == "RouterRole" and "ec2:CreateNetworkInterface" in as_list(statement["Action"])
    }
    assert set(ec2) == {"Allow", "Deny"}
    assert "lambda:SourceFunctionArn" in ec2["Deny"]["Condition"]["ArnEquals"]


@pytest.mark.parametrize(("table", "key"), [("LimitsTable", "key"), ("KeysTable", "sha256")])
def test_tables_are_on_demand_encrypted_and_can_be_restored(table: str, key: str) -> None:
    made = properties(table)
    assert [{"AttributeName": key, "KeyType": "HASH"}] == made["KeySchema"]
    assert [{"AttributeName": key, "AttributeType": "S"}] == made["AttributeDefinitions"]
    assert made["BillingMode"] == "PAY_PER_REQUEST"
    assert made["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert made["SSESpecification"]["SSEType"] == "KMS"
    assert made["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}


def test_limits_expire_and_keys_stay() -> None:
    assert properties("LimitsTable")["TimeToLiveSpecification"] == {"AttributeName": "expires_s", "Enabled": True}
    assert template()["Resources"]["KeysTable"]["DeletionPolicy"] == "Retain"


def test_the_audit_bucket_is_locked_versioned_and_outlives_the_stack() -> None:
    bucket = properties("AuditBucket")
    retention = bucket["ObjectLockConfiguration"]["Rule"]["DefaultRetention"]
    assert bucket["ObjectLockEnabled"] is True
    assert retention == {"Mode": {"Ref": "AuditLockMode"}, "Years": {"Ref": "AuditLockYears"}}
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert template()["Resources"]["AuditBucket"]["DeletionPolicy"] == "Retain"
    assert not [rule for rule in bucket["LifecycleConfiguration"]["Rules"] if "ExpirationInDays" in rule]


@pytest.mark.parametrize("name", sorted(resources("AWS::S3::Bucket")))
def test_buckets_are_private_encrypted_and_reached_over_tls_only(name: str) -> None:
    bucket = properties(name)
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    rule = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    denied = [
        statement
        for policy in resources("AWS::S3::BucketPolicy").values()
        if policy["Properties"]["Bucket"] == {"Ref": name}
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [statement["Condition"] for statement in denied]
    assert {statement["Effect"] for statement in denied} == {"Deny"}


def test_queues_and_logs_are_encrypted_with_the_key() -> None:
    key = {"Fn::If": ["WithOwnKey", {"Fn::GetAtt": "Key.Arn"}, {"Ref": "KmsKeyArn"}]}
    for queue in resources("AWS::SQS::Queue").values():
        assert queue["Properties"]["KmsMasterKeyId"] == key
    for group in resources("AWS::Logs::LogGroup").values():
        assert group["Properties"]["KmsKeyId"] == key
        assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    assert properties("Key")["EnableKeyRotation"] is True


def test_jobs_that_fail_are_kept_and_a_body_outlives_its_message() -> None:
    queue = properties("JobsQueue")
    assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "JobsDeadLetters.Arn"}
    expires = properties("JobBodiesBucket")["LifecycleConfiguration"]["Rules"][0]["ExpirationInDays"]
    assert expires == {"Ref": "JobBodiesDays"}
    assert template()["Parameters"]["JobBodiesDays"]["Default"] * 86_400 > queue["MessageRetentionPeriod"]


def test_the_router_is_told_all_that_it_reads_and_nothing_else() -> None:
    assert set(properties("RouterFunction")["Environment"]["Variables"]) == READ_BY_THE_ROUTER


def test_the_routers_settings_name_their_kind_of_store() -> None:
    variables = properties("RouterFunction")["Environment"]["Variables"]
    kinds = {name: value["Fn::Sub"].split(":")[0] for name, value in variables.items() if "Fn::Sub" in value}
    assert kinds == {
        "HMS_SVC_ROUTES": "ssm",
        "HMS_SVC_LIMITS": "dynamodb",
        "HMS_SVC_KEYS": "dynamodb",
        "HMS_SVC_AUDIT": "firehose",
        "HMS_SVC_JOBS": "sqs",
    }


def test_the_router_knows_and_may_read_the_truststore_wherever_there_is_one() -> None:
    """A rule for the certificates of one authority needs it, with revocation lists or without."""
    variables = properties("RouterFunction")["Environment"]["Variables"]
    assert variables["HMS_SVC_CLIENT_CA"]["Fn::If"][0] == "WithTruststore"
    found = [
        (name, part["Fn::If"][0])
        for name in ("RouterRole", "S3Endpoint")
        for part in inside(properties(name))
        if isinstance(part, dict) and "Fn::If" in part and "'ReadTruststore" in str(part["Fn::If"][1:])
        if part["Fn::If"][0] != "WithTruststoreVersion"
    ]
    assert found == [("RouterRole", "WithTruststore"), ("S3Endpoint", "WithTruststore")]


@pytest.mark.parametrize(("parameter", "setting"), [("TruststoreUri", "client_ca"), ("CrlUri", "crl")])
@pytest.mark.parametrize(
    "place", ["trust/partners.pem", "a.b-c/d/e_(1)!'.pem", "trust/a b.pem", "trust/*", "T/a", "trust/", "trust/a+b"]
)
def test_the_template_takes_a_place_in_s3_that_the_router_takes_too(parameter: str, setting: str, place: str) -> None:
    by_template = re.search(template()["Parameters"][parameter]["AllowedPattern"], f"s3://{place}") is not None
    needed = {"HMS_SVC_ROUTES": "ssm:/r", "HMS_SVC_LIMITS": "memory:", "HMS_SVC_AUDIT": "log:"}
    both = {"HMS_SVC_CLIENT_CA": "s3:trust/a", f"HMS_SVC_{setting.upper()}": f"s3:{place}"}
    try:
        by_router = getattr(RouterSettings.from_environment(needed | both), setting) == place
    except RouterSettingInvalid:
        by_router = False
    assert by_template is by_router


def test_the_routes_are_not_a_resource_that_a_deployment_would_put_back() -> None:
    assert resources("AWS::SSM::Parameter") == {}


def test_the_door_takes_every_path_and_method_and_every_body_as_it_is() -> None:
    events = properties("RouterFunction")["Events"].values()
    assert {(event["Properties"]["Path"], event["Properties"]["Method"]) for event in events} == {
        ("/", "ANY"),
        ("/{proxy+}", "ANY"),
    }
    assert properties("Door")["BinaryMediaTypes"] == ["*/*"]


def test_the_default_endpoint_is_off_where_there_is_a_domain() -> None:
    assert properties("Door")["DisableExecuteApiEndpoint"] == {"Fn::If": ["WithDomain", True, False]}


def test_the_log_of_the_door_has_no_query_and_no_header() -> None:
    named = set(re.findall(r"\$context\.([A-Za-z.]+)", properties("Door")["AccessLogSetting"]["Format"]))
    assert named == {
        "domainName",
        "error.responseType",
        "extendedRequestId",
        "httpMethod",
        "identity.clientCert.serialNumber",
        "identity.sourceIp",
        "integration.latency",
        "integration.status",
        "path",
        "protocol",
        "requestId",
        "requestTimeEpoch",
        "responseLatency",
        "responseLength",
        "status",
        "waf.status",
        "xrayTraceId",
    }


def test_a_call_may_take_longer_than_the_door_waits_so_that_it_is_recorded() -> None:
    assert template()["Parameters"]["FunctionTimeout"]["Default"] > 29


def test_a_deployment_is_rolled_back_by_alarms_that_exist() -> None:
    alarms = properties("RouterFunction")["DeploymentPreference"]["Alarms"]
    assert alarms
    assert {alarm["Ref"] for alarm in alarms} <= set(resources("AWS::CloudWatch::Alarm"))


@pytest.mark.parametrize("name", sorted(resources("AWS::CloudWatch::Alarm")))
def test_every_alarm_says_what_it_means_and_goes_to_the_topic(name: str) -> None:
    alarm = properties(name)
    topic = [{"Fn::If": ["WithAlarmTopic", {"Ref": "AlarmTopicArn"}, {"Ref": "AWS::NoValue"}]}]
    assert alarm["AlarmActions"] == topic
    assert alarm["OKActions"] == topic
    assert alarm["AlarmDescription"]
    assert alarm["TreatMissingData"] == "notBreaching"


def test_the_metrics_that_mean_trouble_have_alarms() -> None:
    alarms = [alarm["Properties"] for alarm in resources("AWS::CloudWatch::Alarm").values()]
    own = {alarm["MetricName"] for alarm in alarms if alarm.get("Namespace") == "hms-svc"}
    assert own == OWN_METRICS
    assert {"Throttles", "Errors", "ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"} <= {
        alarm.get("MetricName") for alarm in alarms
    }


def test_every_alarm_is_in_the_operators_page() -> None:
    page = (ROOT / "docs" / "operate.md").read_text("utf-8")
    names = [alarm["Properties"]["AlarmName"]["Fn::Sub"] for alarm in resources("AWS::CloudWatch::Alarm").values()]
    missing = [name for name in names if f"`{name.removeprefix('${AWS::StackName}-')}`" not in page]
    assert missing == []


def test_the_dashboard_and_the_doors_log_are_json() -> None:
    body = re.sub(r"\$\{[^}]+\}", "x", properties("Dashboard")["DashboardBody"]["Fn::Sub"])
    assert {widget["type"] for widget in json.loads(body)["widgets"]} == {"metric"}
    assert json.loads(properties("Door")["AccessLogSetting"]["Format"])["status"] == "$context.status"


def test_the_dashboard_shows_every_metric_of_the_router() -> None:
    body = properties("Dashboard")["DashboardBody"]["Fn::Sub"]
    shown = OWN_METRICS | {"Requests", "Latency", "UpstreamLatency", "LimitStoreCalls", *INSTEAD.values()}
    assert [metric for metric in sorted(shown) if f'"{metric}' not in body and f'"{metric}\\"' not in body] == []


def test_endpoints_let_the_router_through_and_nobody_else() -> None:
    endpoints = resources("AWS::EC2::VPCEndpoint")
    assert {name.removesuffix("Endpoint") for name in endpoints} == {"Ssm", "DynamoDb", "Firehose", "Sqs", "S3", "Kms"}
    principals = [
        part["Principal"]
        for endpoint in endpoints.values()
        for part in inside(endpoint["Properties"]["PolicyDocument"])
        if isinstance(part, dict) and "Effect" in part
    ]
    assert principals == [{"AWS": {"Fn::GetAtt": "RouterRole.Arn"}}] * len(principals)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_stage_deploys_without_flags_and_names_parameters_that_exist(stage: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    settings = config[stage]["deploy"]["parameters"]
    assert {"stack_name", "resolve_s3", "capabilities", "confirm_changeset", "parameter_overrides"} <= set(settings)
    given = dict(override.split("=", 1) for override in settings["parameter_overrides"])
    parameters = template()["Parameters"]
    assert set(given) <= set(parameters)
    refused = [
        name
        for name, value in given.items()
        if value not in [str(allowed) for allowed in parameters[name].get("AllowedValues", [value])]
    ]
    assert refused == []


def test_the_two_stages_share_neither_stack_nor_routes() -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))
    stages = [config[stage]["deploy"]["parameters"] for stage in ("dev", "prod")]
    assert stages[0]["stack_name"] != stages[1]["stack_name"]
    routes = [
        {text for text in stage["parameter_overrides"] if text.startswith("RoutesParameter=")} for stage in stages
    ]
    assert routes[0]
    assert routes[0].isdisjoint(routes[1])


def test_builds_are_not_cached_because_the_cache_does_not_look_at_the_source() -> None:
    assert (
        tomllib.loads((ROOT / "samconfig.toml").read_text("utf-8"))["default"]["build"]["parameters"]["cached"] is False
    )


def test_the_package_brings_no_copy_of_boto3() -> None:
    lines = (ROOT / "functions" / "router" / "requirements.txt").read_text("utf-8").splitlines()
    names = {re.split(r"[\[<>=~!]", line)[0] for line in lines if line and not line.startswith("#")}
    assert names == {"aws-lambda-powertools", "python-jose", "pyyaml", "requests"}
