"""Plays the conversations of tests/contract/conversations against a running worker and api."""

import json
import re
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from tests.api_app import problem_of

pytestmark = pytest.mark.e2e

FILES = sorted((Path(__file__).parent / "conversations").glob("*.yaml"))
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}\Z")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
PATIENCE_S = 30


class Memory:
    """What has been kept, and how it is put into texts."""

    def __init__(self):
        self.began = datetime.now(UTC).replace(second=0, microsecond=0)  # noqa: TID251  real servers, real clock
        self.kept = {"run": f"r{uuid.uuid4().hex[:8]}"}

    def value(self, name: str) -> str:
        shifted = re.fullmatch(r"now(?:([+-]\d+)([smhd]))?", name)
        if shifted is None:
            return str(self.kept[name])
        shift = timedelta(**{UNITS[shifted[2]]: int(shifted[1])}) if shifted[1] else timedelta()
        return (self.began + shift).strftime("%Y-%m-%dT%H:%M:%SZ")

    def fill(self, given, encode=str):
        if isinstance(given, dict):
            return {self.fill(key): self.fill(value) for key, value in given.items()}
        if isinstance(given, list):
            return [self.fill(value) for value in given]
        if not isinstance(given, str):
            return given
        return re.sub(r"\$\{([^}]+)\}", lambda found: encode(self.value(found[1])), given)


def fits(expected, got) -> bool:
    """Members that are expected must be there and fit; lists have the same length."""
    if expected == "<any>":
        return True
    if expected in ("<ulid>", "<time>"):
        return isinstance(got, str) and bool((ULID if expected == "<ulid>" else TIME).match(got))
    if isinstance(expected, dict):
        return isinstance(got, dict) and all(
            key in got and fits(value, got[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        return isinstance(got, list) and len(expected) == len(got) and all(map(fits, expected, got))
    if isinstance(expected, float):
        return got == pytest.approx(expected, rel=1e-12)
    return expected == got and isinstance(expected, bool) is isinstance(got, bool)


def check(step, answer, memory):
    assert answer.status_code == step["status"], answer.text
    if "code" in step:
        assert problem_of(answer)[1] == step["code"], answer.text
    if "field" in step:
        assert problem_of(answer)[2] == step["field"], answer.text
    is_json = "json" in answer.headers.get("content-type", "")
    body = answer.json() if is_json else answer.text
    if "equals" in step:
        assert body == memory.fill(step["equals"])
    if "has" in step:
        assert fits(memory.fill(step["has"]), body), body
    for name in step.get("lacks", []):
        assert name not in body
    for name, path in step.get("keep", {}).items():
        at = body
        for part in path.split("."):
            at = at[int(part)] if isinstance(at, list) else at[part]
        memory.kept[name] = at


def say(client, step, memory):
    method, _, path = step["send"].partition(" ")
    headers = memory.fill(step.get("headers", {}))
    content = None
    if "json" in step:
        content = json.dumps(memory.fill(step["json"])).encode()
        headers.setdefault("content-type", "application/json")
    elif "text" in step:
        content = memory.fill(step["text"]).encode()
    path = memory.fill(path, lambda value: quote(value, safe=""))
    return client.request(method, path.replace(" ", "%20"), content=content, headers=headers)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_conversation(stack, file):
    conversation = yaml.safe_load(file.read_text())
    memory = Memory()

    for number, step in enumerate(conversation["steps"]):
        deadline = time.monotonic() + (PATIENCE_S if step.get("eventually") else 0)
        while True:
            answer = say(stack.client, step, memory)
            try:
                check(step, answer, memory)
                break
            except AssertionError as error:
                if time.monotonic() > deadline:
                    error.add_note(f"{file.name}, step {number}: {step['send']}")
                    raise
            time.sleep(0.1)
