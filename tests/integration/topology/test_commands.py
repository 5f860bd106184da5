"""`meterstream topology` and the start of a process, on real Kafka."""

import json

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)
from typer.testing import CliRunner

from connectors.kafka.admin import TopicAdmin, TopicProblem
from domain.errors import Unavailable
from runtime import cli
from runtime.config import Config, DedupeConfig, KafkaConfig
from runtime.embedded.service import free_port
from runtime.topics import ensure_topics, wanted_topics
from runtime.topology.applying import carry_out, plan_for
from schemas import topics
from tests.clusters import Interrupted

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


class Cluster:
    """The topics of one namespace on the session's Kafka."""

    def __init__(self, kafka: str, namespace: str):
        self.kafka, self.namespace = kafka, namespace
        self.names = topics.names(namespace)
        self.admin = AdminClient({"bootstrap.servers": kafka, "log_level": 0})

    def run(self, *arguments: str, **environment: str):
        """A command of `meterstream topology`: (exit code, what it said)."""
        settings = {
            "METERSTREAM_NAMESPACE": self.namespace,
            "METERSTREAM_KAFKA__BOOTSTRAP_SERVERS": self.kafka,
            **environment,
        }
        done = CliRunner().invoke(cli.app, ["topology", *arguments], env=settings)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    def planned(self, **environment: str) -> dict:
        code, said = self.run("plan", "--json", **environment)
        plan = json.loads(said)
        assert code == (0 if plan["safe"] else 4)
        return plan

    def config(self, **kafka) -> Config:
        return Config(
            namespace=self.namespace,
            kafka=KafkaConfig(bootstrap_servers=self.kafka, **kafka),
            dedupe=DedupeConfig(),
        )

    def make(self, name: str, partitions: int, **settings: str):
        new = NewTopic(
            name, partitions, 1, config={k.replace("_", "."): v for k, v in settings.items()}
        )
        self.admin.create_topics([new])[name].result(30)

    def change(self, name: str, setting: str, value: str):
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        topic = ConfigResource(ResourceType.TOPIC, name, incremental_configs=[entry])
        for done in self.admin.incremental_alter_configs([topic]).values():
            done.result(30)
        looked = ConfigResource(ResourceType.TOPIC, name)
        while self.admin.describe_configs([looked])[looked].result(30)[setting].value != value:
            pass  # the broker hears of it a moment later; the test's timeout bounds this


@pytest.fixture
def cluster(kafka_address, unique):
    return Cluster(kafka_address, unique)


def test_apply_makes_what_plan_says_and_a_second_one_has_nothing_to_do(cluster):
    before = cluster.planned()

    code, said = cluster.run("apply")
    again = cluster.run("apply")

    assert [(c["kind"], c["topic"]) for c in before["changes"]] == [
        ("create", topic.name) for topic in wanted_topics(cluster.config()).topics
    ]
    assert code == 0
    assert said.splitlines()[0] == f"[1/10] {cluster.names.events}: created, 4 partitions, 1 copy"
    assert said.splitlines()[-1] == "10 of 10 changes made"
    assert again == (0, "nothing to do\n")
    assert cluster.planned() == {
        "safe": True,
        "changes": [],
        "unsafe": [],
        "refused": [],
        "notes": [],
    }


def test_a_topic_is_as_declared_in_every_setting(cluster):
    cluster.run("apply")

    found = TopicAdmin(cluster.kafka).look([cluster.names.changelog]).topics
    changelog = found[cluster.names.changelog]

    assert {name: changelog.settings[name] for name in changelog.own} == {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": "1800000",
        "max.message.bytes": str(16 << 20),
        "message.timestamp.type": "LogAppendTime",
        "unclean.leader.election.enable": "false",
        "min.insync.replicas": "1",
    }


def test_an_apply_that_was_cut_short_is_resumed(cluster):
    wanted, admin = wanted_topics(cluster.config()), TopicAdmin(cluster.kafka)
    lines = []

    def say(line):
        lines.append(line)
        if len(lines) == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        carry_out(admin, plan_for(admin, wanted), say=say)
    code, said = cluster.run("apply")

    assert code == 0
    assert said.splitlines()[-1] == "7 of 7 changes made"
    assert plan_for(admin, wanted).done


@pytest.mark.parametrize("count", [2, 8])
def test_another_partition_count_is_refused_and_nothing_is_changed(cluster, count):
    cluster.make(cluster.names.events, count, message_timestamp_type="LogAppendTime")

    code, said = cluster.run("apply")

    assert code == 4
    assert "nothing was changed" in said
    assert f"{cluster.names.events} has {count} partitions, kafka.partitions is 4" in said
    assert cluster.names.usage not in cluster.admin.list_topics(timeout=10).topics
    codes = {refusal["topic"]: refusal["code"] for refusal in cluster.planned()["refused"]}
    assert codes == {cluster.names.events: "partitions_changed"}


def test_more_copies_than_brokers_are_refused(cluster):
    plan = cluster.planned(METERSTREAM_KAFKA__REPLICATION_FACTOR="3")

    assert {refusal["code"] for refusal in plan["refused"]} == {"replication_above_brokers"}
    assert plan["changes"] == []


def test_a_retention_below_the_dedupe_window_is_a_wrong_configuration(cluster):
    code, said = cluster.run("plan", METERSTREAM_KAFKA__RETENTION="2d")

    assert code == 2
    assert "kafka.retention is shorter than dedupe.window" in said


@pytest.mark.parametrize(
    ("topic", "setting", "value", "code"),
    [
        ("events", "retention.ms", "86400000", "retention_below_window"),
        ("events", "message.timestamp.type", "CreateTime", "timestamps_not_by_arrival"),
        ("events", "retention.bytes", "1000000", "retention_by_size"),
        ("changelog", "cleanup.policy", "delete", "cleanup_would_delete_state"),
        ("usage", "cleanup.policy", "compact,delete", "cleanup_would_delete_state"),
        ("changelog", "min.compaction.lag.ms", "0", "compaction_too_early"),
        ("changelog", "max.message.bytes", "1000000", "batch_too_short"),
    ],
)
def test_an_unsafe_setting_stops_plan_apply_and_start_until_it_is_repaired(
    cluster, topic, setting, value, code
):
    cluster.run("apply")
    name = getattr(cluster.names, topic)
    cluster.change(name, setting, value)

    (unsafe,) = cluster.planned()["unsafe"]
    with pytest.raises(TopicProblem, match=f"{name} has {setting} {value}, it must be"):
        ensure_topics(cluster.config())
    refused, reason = cluster.run("apply")
    still = cluster.planned()["unsafe"]
    repaired, said = cluster.run("apply", "--repair")

    assert (unsafe["code"], unsafe["topic"], unsafe["setting"]) == (code, name, setting)
    assert refused == 4
    assert "apply --repair" in reason
    assert still == [unsafe]
    assert (repaired, said.splitlines()[-1]) == (0, "1 of 1 changes made")
    assert cluster.planned()["safe"]
    ensure_topics(cluster.config())


def test_a_configured_retention_is_applied_and_a_start_leaves_it_to_apply(cluster):
    cluster.run("apply")
    longer = {"METERSTREAM_KAFKA__RETENTION": "60d"}
    events = cluster.names.events

    ensure_topics(cluster.config(retention="60d"))
    left = TopicAdmin(cluster.kafka).look([events]).topics[events].settings["retention.ms"]
    code, said = cluster.run("apply", **longer)

    assert left == str(40 * 86_400_000)
    assert code == 0
    assert f"{events}: retention.ms 3456000000 to 5184000000" in said
    assert cluster.planned(**longer)["changes"] == []


def test_rejected_events_get_more_partitions(cluster):
    settings = {"cleanup_policy": "delete", "message_timestamp_type": "LogAppendTime"}
    cluster.make(cluster.names.rejected, 1, max_message_bytes=str(8 << 20), **settings)

    ensure_topics(cluster.config())

    found = TopicAdmin(cluster.kafka).look([cluster.names.rejected]).topics
    assert found[cluster.names.rejected].partitions == 4


def test_state_that_was_deleted_is_noted(cluster):
    cluster.run("apply")
    producer = Producer({"bootstrap.servers": cluster.kafka})
    for _ in range(5):
        producer.produce(cluster.names.changelog, b"v", b"k", 2)
    producer.flush(30)
    cut = TopicPartition(cluster.names.changelog, 2, 3)
    cluster.change(cluster.names.changelog, "cleanup.policy", "compact,delete")
    cluster.admin.delete_records([cut])[cut].result(30)
    cluster.run("apply", "--repair")

    (note,) = cluster.planned()["notes"]

    assert note["topic"] == cluster.names.changelog
    assert "2 at 3" in note["text"]


def test_the_table_names_each_change_and_the_outcome(cluster):
    cluster.make(cluster.names.rejected, 8, message_timestamp_type="CreateTime")

    code, said = cluster.run("plan")

    lines = said.splitlines()
    assert code == 4, said
    assert lines[0].split() == ["topic", "what", "now", "wanted"]
    assert lines[1].split()[:3] == ["+", cluster.names.events, "topic"]
    assert any(
        line.split()
        == ["!", cluster.names.rejected, "message.timestamp.type", "CreateTime", "LogAppendTime"]
        for line in lines
    )
    assert "a producer's clock would decide" in said
    assert lines[-1] == "10 changes, 1 unsafe setting"


def test_a_kafka_that_does_not_answer_is_one_line_and_exit_code_1(unique, monkeypatch):
    away = Cluster(f"127.0.0.1:{free_port()}", unique)
    monkeypatch.setattr("runtime.topology.commands._TIMEOUT_S", 1.0)

    for command in ("plan", "apply"):
        code, said = away.run(command)
        assert code == 1
        assert said.count("\n") == 1
        assert f"Kafka at {away.kafka} does not answer" in said
    with pytest.raises(Unavailable):
        ensure_topics(away.config(), timeout_s=1)


def test_without_a_kafka_it_says_which_ways_there_are(tmp_path):
    done = CliRunner().invoke(cli.app, ["topology", "plan", "--data-dir", str(tmp_path)])

    assert done.exit_code == 1
    assert "kafka.bootstrap_servers has no value, and nothing runs on" in done.output
