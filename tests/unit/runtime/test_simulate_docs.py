"""What docs/simulate.md and `--help` show is what the command does."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import runtime.cli
from runtime.simulate.command import results
from runtime.simulate.document import read_document, written
from runtime.simulate.kind import Kind

PAGE = (Path(__file__).parents[3] / "docs" / "simulate.md").read_text()
SHOWN = re.findall(r"^```json (\w+)\n(.+?)^```\n^```json result\n(.+?)^```$", PAGE, re.M | re.S)
HELP = runtime.cli.simulate.__doc__ or ""
EXAMPLES = [
    line.strip() for line in HELP.splitlines() if line.strip().startswith("meterstream simulate ")
]
FILES = {"bill.json": "rating", "grants.json": "credits", "phase.json": "periods"}


def test_every_kind_is_shown():
    assert {kind for kind, _, _ in SHOWN} == set(Kind)
    assert len(SHOWN) == len(re.findall(r"^```json (?!result)", PAGE, re.M))


@pytest.mark.parametrize(("kind", "case", "result"), SHOWN)
def test_the_page_shows_what_comes_out(kind: str, case: str, result: str):
    got = written(results(Kind(kind), read_document(case.encode())))

    assert json.loads(got) == json.loads(result)


def test_help_has_an_example_of_every_option_that_needs_no_more_packages():
    assert len(EXAMPLES) == 4
    assert "--explain" in " ".join(EXAMPLES)
    assert "--plot" in " ".join(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_of_help_run(example: str, tmp_path: Path):
    for name, kind in FILES.items():
        shown = next(case for of, case, _ in SHOWN if of == kind)
        (tmp_path / name).write_text(shown)

    done = run_in_a_shell(example, tmp_path)

    assert (done.stderr, done.returncode) == ("", 0)
    assert len(done.stdout.splitlines()) > 2


def run_in_a_shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    assert re.fullmatch(r"[\w\-. <|/]+", command)
    here = shlex.quote(sys.executable)
    line = command.replace("meterstream ", f"{here} -m runtime.cli ", 1)
    root = str(Path(__file__).parents[3])
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=os.environ | {"PYTHONPATH": root}, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
