"""What is described is what is wired: the declarations of parts and the code cannot drift apart."""

import json
import re
import socket
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from runtime import cli
from runtime.api import ApiProcess
from runtime.config import (
    ClickHouseConfig,
    Config,
    KafkaConfig,
    PostgresConfig,
    WorkerConfig,
)
from runtime.topics import wanted_topics
from runtime.topology.describing import as_data, as_mermaid, as_text, topology_of
from runtime.topology.parts import METER, PARTS, NotDeclared, Wires
from runtime.worker import Worker
from schemas.topics import Role, names
from streams.steps import unwatched

ROOT = Path(__file__).resolve().parents[3]


def a_config(tmp_path: Path = ROOT, **more) -> Config:
    return Config(
        data_dir=tmp_path,
        kafka=KafkaConfig(bootstrap_servers="127.0.0.1:9"),
        postgres=PostgresConfig(dsn="postgresql://127.0.0.1:9/postgres"),
        clickhouse=ClickHouseConfig(url="http://127.0.0.1:9"),
        **more,
    )


def described(config: Config):
    return topology_of(config, wanted_topics(config).topics)


def test_a_worker_and_an_api_use_exactly_the_topics_that_are_declared(tmp_path):
    agents = tuple(part.agent for part in PARTS if part.agent)
    config = a_config(tmp_path, worker=WorkerConfig(agents=agents))
    with socket.socket() as listener:
        worker = Worker(config, "worker-1", listener, unwatched)
    api = ApiProcess(config)

    wires = {**worker.wires, **api.wires}
    topical = {part.name for part in PARTS if Wires(part, names("default")).declared}

    assert wires.keys() == topical
    assert {name: wire.asked for name, wire in wires.items()} == {
        name: wire.declared for name, wire in wires.items()
    }


def test_a_topic_that_is_not_declared_cannot_be_wired():
    meter = Wires(METER, names("acme"))

    assert meter.reads(Role.EVENTS) == "om_acme_events"
    with pytest.raises(NotDeclared, match="meter reads balances"):
        meter.reads(Role.BALANCES)
    with pytest.raises(NotDeclared, match="meter writes catalog"):
        meter.writes(Role.CATALOG)


def test_the_agents_of_the_configuration_are_the_declared_ones():
    (choice, _) = get_args(WorkerConfig.model_fields["agents"].annotation)

    assert set(get_args(choice)) == {part.agent for part in PARTS if part.agent}


def test_an_agent_that_is_not_chosen_is_not_described():
    config = a_config(worker=WorkerConfig(agents=("meter",)))

    data = as_data(described(config))

    assert "sink" not in {part["name"] for part in data["parts"]}
    assert {"from": "sink", "to": "ClickHouse", "why": ""} not in data["arrows"]


def test_every_topic_of_the_catalogue_is_described_once():
    config = a_config()

    data = as_data(described(config))

    assert sorted(topic["name"] for topic in data["topics"]) == sorted(
        topic.name for topic in wanted_topics(config).topics
    )
    assert json.loads(json.dumps(data)) == data


def test_every_arrow_ends_at_something_described():
    data = as_data(described(a_config()))

    ends = {end for arrow in data["arrows"] for end in (arrow["from"], arrow["to"])}
    topics = {topic["name"] for topic in data["topics"] if topic["used"]}
    parts = {part["name"] for part in data["parts"]}
    assert ends == topics | parts | set(data["stores"]) | {"producer"}


def test_the_graph_declares_every_node_that_an_arrow_names_once():
    lines = as_mermaid(described(a_config())).splitlines()

    declared = [m[1] for line in lines if (m := re.match(r"\s+(\w+)\[.*\]$", line))]
    arrows = [m for line in lines if (m := re.match(r"  (\w+) -->(?:\|\".*\"\|)? (\w+)$", line))]
    assert lines[0] == "flowchart LR"
    assert len(declared) == len(set(declared))
    assert {end for arrow in arrows for end in arrow.groups()} == set(declared)
    grouped = {line.strip() for line in lines if "subgraph" in line or line.strip() == "end"}
    assert len(lines) == 1 + len(declared) + len(arrows) + len(grouped - {"end"}) * 2


def test_the_text_says_of_each_part_what_it_reads_and_writes():
    text = as_text(described(a_config()))

    block = text.split("worker / sink", 1)[1].split("\n\n", 1)[0]
    assert "<- om_default_events" in block
    assert "-> ClickHouse" in block


def test_the_graph_in_the_documentation_is_the_one_that_is_described():
    page = (ROOT / "docs" / "topology.md").read_text()

    graph = f"```mermaid\n{as_mermaid(described(a_config()))}\n```"
    assert graph in page, f"docs/topology.md must have:\n{graph}"


def test_describe_asks_no_cluster_and_has_three_forms():
    def said(*options: str):
        return CliRunner().invoke(cli.app, ["topology", "describe", *options])

    as_told = {"text": said(), "graph": said("--mermaid"), "data": said("--json")}

    assert {done.exit_code for done in as_told.values()} == {0}
    assert as_told["text"].output.startswith("namespace default\n")
    assert as_told["graph"].output.startswith("flowchart LR\n")
    assert json.loads(as_told["data"].output)["namespace"] == "default"
    assert said("--mermaid", "--json").exit_code == 2
