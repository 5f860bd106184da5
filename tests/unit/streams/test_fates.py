"""Log lines of a chunk: refusals with their codes, everything else at debug, never a line an event."""

import logging

import msgspec

from tests.builders import an_event
from tests.unit.streams.fakes import FakeLog, Owned, a_chunk


async def lines(tmp_path, caplog, level, *values):
    owned = Owned(tmp_path, FakeLog())
    with caplog.at_level(level, "streams.fates"):
        await owned.submit(a_chunk(*values))
        await owned.settle()
    await owned.partition.close()
    return [record for record in caplog.records if record.name == "streams.fates"]


def events(*ids):
    return [msgspec.json.encode(an_event(id)) for id in ids]


async def test_events_that_count_or_counted_before_make_no_line_at_info(tmp_path, caplog):
    assert await lines(tmp_path, caplog, logging.INFO, *events("1", "2", "1")) == []


async def test_refusals_of_a_chunk_are_one_line_with_codes_and_positions(tmp_path, caplog):
    (line,) = await lines(tmp_path, caplog, logging.INFO, b"{", *events("1"), b'{"id":"x"}', b"{")

    assert (line.levelname, line.partition) == ("WARNING", 0)
    assert line.codes == {"invalid_json": 2, "not_a_cloudevent": 1}
    assert line.at == ["0/0", "2/0", "3/0"]


async def test_debug_says_what_a_chunk_was_and_which_events_had_counted_before(tmp_path, caplog):
    (line,) = await lines(tmp_path, caplog, logging.DEBUG, *events("1", "2", "1"))

    assert (line.first, line.next) == ("0/0", "3/0")
    assert (line.accepted, line.duplicates) == (2, 1)
    assert line.duplicate_events == ["2/0 1"]
