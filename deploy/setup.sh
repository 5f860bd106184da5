#!/usr/bin/env bash
# Makes .venv and .cache from nothing but Python >= 3.11: packages as requirements.lock says, then Kafka's jars.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }

find_python() {
  local name names=${PYTHON:-python3 python3.13 python3.12 python3.11}
  for name in $names; do
    if "$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  say "setup: Python 3.11 or newer is needed; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || echo none)."
  say "Install one, or name it: make setup PYTHON=/path/to/python3.11"
  exit 1
}

has_room() {
  local free
  free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
  if [ "$free" -lt 3000 ]; then
    say "setup: $free MiB free in $PWD, 3000 MiB are needed."
    exit 1
  fi
}

install_packages() {
  if command -v uv >/dev/null; then
    uv venv --quiet --allow-existing --python "$1" .venv
    uv pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
    uv pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
  else
    "$1" -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
  fi
}

python=$(find_python)
has_room
say "setup: packages into .venv (a minute when nothing is cached)"
install_packages "$python" || {
  say "setup: packages could not be installed. Is there a network? What was fetched is kept: run it again."
  exit 1
}
say "setup: Kafka's jars into ${METERSTREAM_CACHE_DIR:-.cache}"
.venv/bin/python -m runtime.embedded
touch .venv/.ready
