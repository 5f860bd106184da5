"""Every metric is declared in a room's metrics.py, explained on the page, and has labels with few values."""

import importlib
import pkgutil
import re

from prometheus_client import REGISTRY

from tests import metrics_page
from tests.metrics_page import PAGE, PLACES, declared, labels_of, name_of

ALL = [metric for module in PLACES.values() for metric in declared(module)]
BESIDE = re.compile(r"(process|python)_")


def test_the_page_is_what_the_declarations_say():
    text = PAGE.read_text()

    assert text == metrics_page.page_with(text, metrics_page.tables()), (
        "run .venv/bin/python -m tests.metrics_page"
    )


def test_whatever_a_process_shows_is_on_the_page():
    for room in ("api", "connectors", "runtime", "schemas", "streams", "tables"):
        package = importlib.import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not found.name.endswith("__main__"):
                importlib.import_module(found.name)

    shown = {f.name for f in REGISTRY.collect() if not BESIDE.match(f.name)}

    assert shown == {name_of(metric).removesuffix("_total") for metric in ALL}


def test_names_are_unique_and_say_what_they_are():
    names = [name_of(metric) for metric in ALL]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"meterstream_[a-z_]+", name) for name in names)


def test_every_metric_is_explained_in_a_sentence():
    for metric in ALL:
        (family,) = metric.describe()
        assert re.fullmatch(r"[A-Z0-9].{10,}\.", family.documentation), family.name


def test_labels_are_those_whose_values_the_page_says():
    section = PAGE.read_text().split("## Labels")[1].split("\n## ")[0]
    explained = set(re.findall(r"^\| ([a-z_]+) \|", section, re.MULTILINE)) - {"label"}

    assert {label for metric in ALL for label in labels_of(metric)} == explained
