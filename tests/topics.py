"""Topics read whole, as tests want to see them."""

from confluent_kafka import Consumer, TopicPartition


def read_all(kafka: str, topic: str) -> list:
    """Every record of a topic, partition after partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "reads-all",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 0,
        }
    )
    try:
        found = []
        for number in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            tp = TopicPartition(topic, number, 0)
            low, high = consumer.get_watermark_offsets(tp, timeout=30)
            tp.offset = low
            consumer.assign([tp])
            while low < high:
                for message in consumer.consume(min(1000, high - low), timeout=1):
                    found.append(message)
                    low = message.offset() + 1
                (position,) = consumer.position([tp])  # past the holes that compaction left
                low = max(low, position.offset)
        return found
    finally:
        consumer.close()


def read_compacted(kafka: str, topic: str) -> dict[bytes, bytes]:
    """Key → newest value, as after compaction: keys whose newest value is a tombstone are gone."""
    newest = {message.key(): message.value() for message in read_all(kafka, topic)}
    return {key: value for key, value in newest.items() if value is not None}
