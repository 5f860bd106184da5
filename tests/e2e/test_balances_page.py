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
EXAMPLES = re.findall(r"^```sh\n(.*?)^```\n(?:```json\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL)
NAMESPACE = "balancespage"


@pytest.fixture
def running(tmp_path, kafka_address, postgres_dsn, clickhouse_url):
    stack = start_stack(NAMESPACE, tmp_path, kafka_address, postgres_dsn, clickhouse_url)
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


def has(shown, found) -> bool:
    """Whether everything shown is there; "…" stands for anything, and lists may go on."""
    if shown == "…":
        return found not in (None, "")
    if isinstance(shown, dict):
        return isinstance(found, dict) and all(has(shown[key], found.get(key)) for key in shown)
    if isinstance(shown, list):
        return isinstance(found, list) and all(map(has, shown, found)) and len(shown) <= len(found)
    return shown == found


def test_every_command_of_the_page_gives_what_the_page_shows(running):
    assert len(EXAMPLES) >= 8

    for text, shown in EXAMPLES:
        if not shown:
            run(text, running)
            continue
        wanted = json.loads(shown)
        seen = [run(text, running)]
        if has(wanted, json.loads(seen[0])):
            continue
        assert "-d" not in text, f"{text}\n{seen[0]}"

        def again(text=text, wanted=wanted, seen=seen):
            seen.append(run(text, running))
            return has(wanted, json.loads(seen[-1]))

        wait_until(again, 20, shown, lambda seen=seen: seen[-1])


def test_every_header_of_the_page_is_in_the_answers(running):
    for text, _ in EXAMPLES[:2]:
        run(text, running)

    answer = running.client.get("/api/v2/customers/acme/entitlements/ai-tokens/value")

    named = set(re.findall(r"^\| `(meterstream-[a-z-]+)` \|", PAGE, re.MULTILINE))
    assert named == {name for name in answer.headers if name.startswith("meterstream-")}
    assert datetime.fromisoformat(answer.headers["meterstream-as-of"]).tzinfo is not None
