"""Log lines are JSON, and a warning that comes over and over is thinned out without hiding that it does."""

import json
import logging

import pytest

from runtime.logs import BURST, PAUSE_S, JsonLines, Thinned


class Written(logging.Handler):
    """What passes the filter, as lines."""

    def __init__(self, now):
        super().__init__()
        self.addFilter(Thinned(now))
        self.setFormatter(JsonLines())
        self.lines = []

    def emit(self, record):
        self.lines.append(json.loads(self.format(record)))


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def written(clock):
    return Written(lambda: clock[0])


@pytest.fixture
def log(written, unique):
    logger = logging.getLogger(f"test.{unique}")
    logger.propagate = False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(written)
    return logger


def test_a_line_has_the_fields_of_the_call(log, written):
    log.warning("Kafka", extra={"cause": "down", "partition": 3})

    (line,) = written.lines
    assert (line["level"], line["message"], line["cause"], line["partition"]) == (
        "warning",
        "Kafka",
        "down",
        3,
    )


def test_a_warning_twenty_times_a_second_is_a_line_every_ten_seconds(log, written, clock):
    for n in range(20 * 60):
        clock[0] = n / 20
        log.warning("Kafka", extra={"cause": f"broker {n % 3} is down"})

    assert len(written.lines) <= BURST + 60 / PAUSE_S
    told = len(written.lines) + sum(line.get("suppressed", 0) for line in written.lines)
    assert 20 * 50 < told <= 20 * 60


def test_warnings_of_other_kinds_are_written_meanwhile(log, written):
    for _ in range(100):
        log.warning("Kafka")
    log.warning("ClickHouse")
    log.error("Kafka")

    assert [line["message"] for line in written.lines[BURST:]] == ["ClickHouse", "Kafka"]


def test_after_a_pause_the_first_line_says_how_many_are_missing(log, written, clock):
    for _ in range(BURST + 7):
        log.warning("Kafka")
    clock[0] = PAUSE_S
    log.warning("Kafka")

    assert [line.get("suppressed") for line in written.lines] == [None] * BURST + [7]


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.CRITICAL])
def test_what_is_no_warning_is_never_left_out(log, written, level):
    for _ in range(50):
        log.log(level, "partition restored")

    assert len(written.lines) == 50


def test_errors_with_another_cause_are_another_kind(log, written):
    for error in [ValueError("a")] * 20 + [KeyError("b")]:
        log.error("request failed", exc_info=error)

    assert len(written.lines) == BURST + 1
    assert "KeyError" in written.lines[-1]["error"]


def test_kinds_without_end_do_not_fill_the_memory(log, written):
    for n in range(3_000):
        log.warning("%s", f"text {n}")
        log.warning(f"text {n}")  # noqa: G004 - a library may do so

    assert len(written.filters[0]._kinds) <= 500
