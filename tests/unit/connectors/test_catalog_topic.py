"""The catalog topic without a Kafka."""

import time

import pytest

from connectors.kafka.catalog_topic import CatalogTopic, Options
from domain.errors import Unavailable
from runtime.embedded.service import free_port


async def test_a_kafka_that_is_not_there_is_unavailable_within_its_bound():
    topic = CatalogTopic(
        Options(bootstrap_servers=f"127.0.0.1:{free_port()}", topic="om_x_catalog", timeout_s=1.0)
    )
    began = time.monotonic()

    with pytest.raises(Unavailable, match="Kafka"):
        async with topic.write():
            pass

    assert time.monotonic() - began < 8
