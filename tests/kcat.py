"""`kcat -P` for machines without kcat: the options that docs/producers.md uses, sent by the same library (librdkafka)."""

import argparse
import sys

from confluent_kafka import Producer


def main() -> None:
    parser = argparse.ArgumentParser(prog="kcat")
    parser.add_argument("-P", action="store_true", required=True)
    parser.add_argument("-b", required=True)
    parser.add_argument("-t", required=True)
    parser.add_argument("-k")
    parser.add_argument("-X", action="append", default=[])
    parser.add_argument("-H", action="append", default=[])
    chosen = parser.parse_args()
    settings = dict(option.removeprefix("topic.").split("=", 1) for option in chosen.X)
    producer = Producer({"bootstrap.servers": chosen.b, **settings})
    headers = [tuple(header.split("=", 1)) for header in chosen.H]
    for line in sys.stdin.read().splitlines():
        producer.produce(chosen.t, line, chosen.k, headers=headers)
    sys.exit(producer.flush(30))


if __name__ == "__main__":
    main()
