"""docs/balances.md does what it says: every command is run as it stands on the page, and gives what the page shows."""

import json
import os
import re
import subprocess
from datetime import datetime

import pytest

from tests.stack import start_stack, stop_stack, wait_until
from tests.workers import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PAGE = (ROOT / "docs" / "balances.md").read_text()
EXAMPLES = re.findall(
    r"^```sh\n(.*?)^```\n(?:```(?:json|text)\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL
)
NAMESPACE = "balancespage"


@pytest.fixture(scope="module")
def running(services_dir, kafka_address, postgres_dsn, clickhouse_url):
    stack = start_stack(
        NAMESPACE,
        services_dir / NAMESPACE,
        kafka_address,
        postgres_dsn,
        clickhouse_url,
    )
    yield stack
    stop_stack(stack)


def run(text: str, running) -> str:
    """What a person would see who has `make up` on its usual port."""
    text = text.replace("localhost:8888", running.api.url.removeprefix("http://"))
    path = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", text],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
        env={**os.environ, **running.api.environment, "PATH": path},
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def has(shown: str, found: str) -> bool:
    """Whether a part of a JSON document is there, or whether lines are, one after the other; "…" stands for anything."""
    if shown.startswith("{"):
        return holds(json.loads(shown), json.loads(found))
    lines = [re.escape(line).replace("…", ".*") for line in shown.splitlines()]
    return re.search("(?s:.*)".join(lines), found) is not None


def holds(shown, found) -> bool:
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(
            holds(part, found.get(key)) for key, part in shown.items()
        )
    return shown == found


def test_every_command_of_the_page_gives_what_the_page_shows(running):
    assert len(EXAMPLES) >= 9

    for text, shown in EXAMPLES:
        seen = [run(text, running)]
        if not shown or has(shown, seen[0]):
            continue
        assert " -d " not in text, f"{text}\n{seen[0]}"

        def again(text=text, shown=shown, seen=seen):
            seen.append(run(text, running))
            return has(shown, seen[-1])

        wait_until(again, 20, shown, lambda seen=seen: seen[-1])


def test_every_header_of_the_page_is_in_the_answers(running):
    answer = running.client.get("/api/v2/customers/acme/entitlements/ai_tokens/value")

    named = set(re.findall(r"^\| `(meterstream-[a-z-]+)` \|", PAGE, re.MULTILINE))
    assert named == {name for name in answer.headers if name.startswith("meterstream-")}
    assert datetime.fromisoformat(answer.headers["meterstream-as-of"]).tzinfo is not None
