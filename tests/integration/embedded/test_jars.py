"""The broker's jars are the ones that this version was tested with, or nothing starts."""

import os
import shutil

import pytest

from runtime.embedded.jars import cache_dir, kafka_class_path
from runtime.embedded.service import ServiceProblem

pytestmark = pytest.mark.integration


@pytest.fixture
def cache(tmp_path):
    """What setup fetched, linked file by file."""
    shutil.copytree(cache_dir() / "jgo", tmp_path / "jgo", copy_function=os.link)
    shutil.copytree(cache_dir() / "kafka", tmp_path / "kafka", copy_function=os.link)
    return tmp_path


def damage(jar):
    """Another content in a file of its own: the linked one stays as it is."""
    content = jar.read_bytes()
    jar.unlink()
    jar.write_bytes(content[:-1] + b"?")


def test_a_damaged_jar_is_taken_anew_from_what_was_fetched(cache):
    damage(cache / "kafka" / "kafka-raft-4.2.0.jar")

    path = kafka_class_path(cache)

    good = cache_dir() / "kafka" / "kafka-raft-4.2.0.jar"
    assert (cache / "kafka" / good.name).read_bytes() == good.read_bytes()
    assert str(cache / "kafka" / good.name) in path.split(os.pathsep)


def test_a_fetched_jar_with_a_wrong_checksum_is_named_and_not_used(cache):
    (cache / "kafka" / "kafka-raft-4.2.0.jar").unlink()
    for fetched in cache.glob("jgo/**/kafka-raft-4.2.0.jar"):
        damage(fetched)

    with pytest.raises(ServiceProblem, match=r"kafka-raft-4\.2\.0\.jar: wrong checksum"):
        kafka_class_path(cache)

    assert not (cache / "kafka" / "kafka-raft-4.2.0.jar").exists()
