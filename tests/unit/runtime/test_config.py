import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from runtime.config import Config, ConfigProblem, MeterConfig, load
from runtime.config_sources import key_paths

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.yaml"


def a_file(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def paths_of(values, prefix=()):
    for key, value in values.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*prefix, key))


def test_the_example_holds_every_default():
    assert load(EXAMPLE, {}) == Config()


def test_the_example_holds_every_key():
    written = set(paths_of(yaml.safe_load(EXAMPLE.read_text())))

    assert written == {path for path, _ in key_paths(Config)}


def test_the_example_shows_every_key_of_a_meter():
    text = EXAMPLE.read_text()
    shown = text[text.index("# meters:\n") : text.index("\nmeters: []")]
    example = yaml.safe_load("\n".join(line.removeprefix("# ") for line in shown.splitlines()))

    meter = example["meters"][0]
    assert set(meter) == set(MeterConfig.model_fields)
    assert MeterConfig.model_validate(meter).slug == "tokens_total"


@pytest.mark.parametrize("path", [p for p, _ in key_paths(Config)], ids=".".join)
def test_every_key_can_be_given_by_the_environment(path):
    default = Config().model_dump()
    for key in path:
        default = default[key]

    found = load(None, {"METERSTREAM_" + "__".join(path).upper(): as_text(default)})

    assert found == Config()


def as_text(value):
    match value:
        case str() | Path():
            return str(value)
        case timedelta():
            return f"{value.total_seconds()}s"
        case dict():
            return json.dumps({k: json.loads(_json(v)) for k, v in value.items()})
    return _json(value)


def _json(value):
    return json.dumps(value, default=as_text)


def test_the_environment_wins_over_the_file(tmp_path):
    path = a_file(tmp_path, "api: {port: 1000}\nkafka: {partitions: 8}")

    config = load(path, {"METERSTREAM_API__PORT": "9000"})

    assert (config.api.port, config.kafka.partitions) == (9000, 8)


def test_meters_can_be_given_as_json():
    text = '[{"slug": "a", "aggregation": "SUM", "event_type": "t", "value_property": "$.v", "group_by": {"m": "$.m"}}]'

    config = load(None, {"METERSTREAM_METERS": text})

    assert config.meters[0].group_by == {"m": "$.m"}


def test_text_from_the_environment_is_taken_as_it_is():
    config = load(
        None, {"METERSTREAM_DATA_DIR": "/tmp/a: b #c", "METERSTREAM_CLICKHOUSE__PASSWORD": "0123"}
    )

    assert (str(config.data_dir), config.clickhouse.password) == ("/tmp/a: b #c", "0123")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kafka: {bootstrap_server: x}", "{file}: kafka.bootstrap_server: no such key, is kafka.bootstrap_servers meant?"),
        ("api: {prt: 1}", "{file}: api.prt: no such key, is api.port meant?"),
        ("datadir: x", "{file}: datadir: no such key, is data_dir meant?"),
        ("qqqqqq: x", "{file}: qqqqqq: no such key (every key is in config.example.yaml)"),
        ("api: {port: 70000}", "{file}: api.port: Input should be less than or equal to 65535"),
        ("dedupe: {window: 5}", "{file}: dedupe.window: a duration is a number with a unit: 200ms, 5s, 10m, 6h or 32d"),
        ("dedupe: {window: 50d}", "{file}: kafka.retention is shorter than dedupe.window: a restored state could not judge repeats"),
        ("api: {host: 0.0.0.0}", "{file}: api: host 0.0.0.0 can be reached from outside: say `auth: none` if that is meant"),
        ("- a", "{file}: a mapping of keys is expected, see config.example.yaml"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_with_its_key(tmp_path, text, message):
    path = a_file(tmp_path, text)

    with pytest.raises(ConfigProblem) as problem:
        load(path, {})

    assert str(problem.value) == message.format(file=path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("METERSTREAM_API_PORT", "1", "METERSTREAM_API_PORT: no such key, is METERSTREAM_API__PORT meant?"),
        ("METERSTREAM_API__PORT", "x", "METERSTREAM_API__PORT: api.port: Input should be a valid integer, unable to parse string as an integer"),
        ("METERSTREAM_METERS", "[{", "METERSTREAM_METERS: not YAML"),
        ("METERSTREAM_METERS", '[{"slug": "a"}]', "METERSTREAM_METERS: meters.0.aggregation: Field required"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named_with_its_key(name, value, message):
    with pytest.raises(ConfigProblem) as problem:
        load(None, {name: value})

    assert message in str(problem.value)


def test_every_wrong_key_has_a_line(tmp_path):
    path = a_file(tmp_path, "api: {port: x}\nworker: {slice: x}")

    with pytest.raises(ConfigProblem) as problem:
        load(path, {})

    assert len(str(problem.value).splitlines()) == 2


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(ConfigProblem, match=r"/nowhere\.yaml: No such file"):
        load(Path("/nowhere.yaml"), {})
