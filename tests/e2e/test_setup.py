"""`make setup` when something is wrong: one message that says what and what to do, whatever the installer printed."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


@pytest.fixture
def project():
    """A copy of what setup reads, in a place that other users can reach."""
    with tempfile.TemporaryDirectory(prefix="meterstream-setup-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "deploy").mkdir()
        shutil.copy(ROOT / "deploy" / "setup.sh", folder / "deploy")
        for file in ("Makefile", "requirements.lock", "pyproject.toml"):
            shutil.copy(ROOT / file, folder)
        yield folder


def a_python(folder: Path, *, version: str = "3.11.7", installer_says: str = "") -> Path:
    """A Python of `version` that makes an environment whose pip fails with these words."""
    new_enough = int(tuple(map(int, version.split("."))) < (3, 11))
    pip = folder / "pip.sh"
    pip.write_text(f"#!/bin/sh\ncat <<'SAID' >&2\n{installer_says}\nSAID\nexit 1\n")
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'case "$1" in --version) echo "Python {version}" ;; -c) exit {new_enough} ;;\n'
        f'-m) mkdir -p "$3/bin" && cp "{pip}" "$3/bin/python" ;; esac\n'
    )
    for file in (pip, python):
        file.chmod(0o755)
    return python


def set_up(folder: Path, python: Path | str, *, user: str | None = None, **environment: str):
    """(exit code, lines of ours that say what is wrong)."""
    done = subprocess.run(
        ["make", "setup"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        user=user,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHON": str(python),
            "SETUP_FREE_MIB_MIN": "1",
            **environment,
        },
    )
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make:")]
    return done.returncode, [line for line in lines if not line.startswith("setup: packages into")]


def test_a_python_that_is_too_old_is_named_with_its_version(project):
    code, said = set_up(project, a_python(project, version="3.8.18"))

    assert code != 0
    assert said == [
        f"setup: Python 3.11 or newer is needed; {project}/python is Python 3.8.18.",
        "Install one, or name it: make setup PYTHON=/path/to/python3.11",
    ]


def test_a_python_that_is_not_there_is_named(project):
    _, said = set_up(project, "/nowhere/python")

    assert said[0] == "setup: Python 3.11 or newer is needed; /nowhere/python is not there."


def test_too_little_room_is_seen_before_anything_is_fetched(project):
    code, said = set_up(project, a_python(project), SETUP_FREE_MIB_MIN="999999999")

    assert code != 0
    (line,) = said
    assert f"MiB are free on the disk of {project}, 999999999 MiB are needed: make room" in line
    assert not (project / ".venv").exists()


@pytest.mark.parametrize(
    ("installer_says", "message"),
    [
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'\n"
            "ERROR: No matching distribution found for aiohappyeyeballs==2.7.1",
            "packages could not be fetched: check the network (or HTTPS_PROXY) and run it again",
        ),
        (
            "  error: Failed to fetch: `https://pypi.org/simple/aiokafka/`\n  ├─▶ Request failed after 3 retries\n"
            "  ╰─▶ dns error: failed to lookup address information",
            "packages could not be fetched: check the network",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
            "the disk is full (also /tmp and the installer's cache need room): make room",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 13] Permission denied: '/x'",
            "a directory cannot be written: run it as the owner of",
        ),
        (
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
            "a package is not the one that requirements.lock names",
        ),
    ],
)
def test_what_the_installer_said_becomes_one_line_with_what_to_do(project, installer_says, message):
    code, said = set_up(project, a_python(project, installer_says=installer_says))

    assert code != 0
    (line,) = said
    assert line.startswith(f"setup: {message}")
    assert installer_says.splitlines()[-1].strip() in line
    assert not (project / ".venv" / ".ready").exists()


def test_an_error_of_the_installer_that_nobody_foresaw_is_shown_whole(project):
    _, said = set_up(project, a_python(project, installer_says="first line\nsomething new"))

    assert said == [
        "first line",
        "something new",
        "setup: packages could not be installed, see above.",
    ]


def test_a_python_without_ensurepip_names_the_package_that_is_missing(project):
    python = a_python(project)
    python.write_text(
        python.read_text().replace("-m) ", "-m) echo 'ensurepip is not available' >&2; exit 1; ")
    )

    _, said = set_up(project, python)

    (line,) = said
    assert "has no ensurepip" in line
    assert "apt install python3-venv" in line


def test_a_directory_that_cannot_be_written_is_named(project):
    python = a_python(project)
    project.chmod(0o555)
    somebody_else = pwd.getpwnam("nobody").pw_name if os.geteuid() == 0 else None

    code, said = set_up(project, python, user=somebody_else)

    assert code != 0
    (line,) = said
    assert f"{project} cannot be written" in line
    project.chmod(0o755)
