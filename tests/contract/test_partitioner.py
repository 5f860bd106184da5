"""The partition of a key is the one that Kafka's own producers choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.partitioner import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_gives_what_apache_kafkas_own_test_expects(key, signed):
    """Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2."""
    assert murmur2(key) == signed & 0xFFFFFFFF


@given(st.binary(max_size=600), st.integers(1, 1024))
def test_every_key_has_a_partition_and_always_the_same(key, partitions):
    found = partition_of(key, partitions)

    assert 0 <= found < partitions
    assert found == partition_of(bytes(bytearray(key)), partitions)
