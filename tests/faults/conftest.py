"""Workers that are killed and started again on the session's services."""

import pytest

from tests.faults.cluster import Cluster
from tests.zygote import Zygote


@pytest.fixture(scope="session")
def zygote():
    found = Zygote()
    yield found
    found.close()


@pytest.fixture
def cluster(zygote, kafka_address, clickhouse_url, unique, tmp_path):
    found = Cluster(zygote, kafka_address, clickhouse_url, unique, tmp_path)
    yield found
    found.stop()
