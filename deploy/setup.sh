#!/usr/bin/env bash
# Makes .venv and .cache from nothing but Python >= 3.11: packages as requirements.lock says, then Kafka's jars.
# Whatever goes wrong ends with one message that says what and what to do; a second run goes on from what was fetched.
set -euo pipefail
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
give_up() { say "setup: $*"; exit 1; }

find_python() {
  local name names=${PYTHON:-python3 python3.13 python3.12 python3.11}
  for name in $names; do
    if "$name" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  say "setup: Python 3.11 or newer is needed; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>/dev/null || echo not there)."
  say "Install one, or name it: make setup PYTHON=/path/to/python3.11"
  exit 1
}

may_write() {
  [ -w . ] || give_up "$PWD cannot be written: packages go into .venv and .cache there. Copy the project to a directory that is yours."
}

has_room() {
  local free
  free=$(df -Pk . | awk 'NR == 2 { print int($4 / 1024) }')
  if [ "$free" -lt "${SETUP_FREE_MIB_MIN:-3000}" ]; then
    give_up "$free MiB are free on the disk of $PWD, ${SETUP_FREE_MIB_MIN:-3000} MiB are needed: make room, or copy the project to another disk."
  fi
}

# Everything is chained: `set -e` does not hold in a function whose failure is caught.
install_packages() {
  if command -v uv >/dev/null; then
    uv venv --quiet --allow-existing --python "$1" .venv && with_uv uv
  else
    "$1" -m venv .venv && install_uv && { with_uv .venv/bin/uv || with_pip; }
  fi
}

# The one package that pip installs: uv is several times as fast with the others.
install_uv() {
  awk '/^uv==/ { on = 1 } on { print } on && !/\\$/ { exit }' requirements.lock >.venv/uv.txt &&
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt
}

with_uv() {
  "$1" pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock &&
    "$1" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
}

# pip knows its own configuration (pip.conf, PIP_INDEX_URL, PIP_CERT), uv does not.
with_pip() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock &&
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
}

# What the installer said, in one message of ours: $1 is all of it.
explain() {
  local reason
  reason=$(grep -iE '^ *(error|caused by|×|├─▶|╰─▶)|No space left|Read-only file system|Permission denied' <<<"$1" | tail -n 1 | cut -c1-300) || true
  case "$1" in
    *ensurepip*)
      give_up "$python has no ensurepip, so it makes no environment: install your system's package for it (Debian, Ubuntu: apt install python3-venv), or uv." ;;
    *"No space left"* | *"os error 28"*)
      give_up "the disk is full (also ${TMPDIR:-/tmp} and the installer's cache need room): make room and run it again. Said: $reason" ;;
    *"Read-only file system"* | *"Permission denied"*)
      give_up "a directory cannot be written: run it as the owner of $PWD. Said: $reason" ;;
    *"onnection"* | *"Could not fetch"* | *"Max retries"* | *"dns error"* | *"name resolution"* | *"timed out"* | *"roxyError"* | *"o matching distribution"* | *"error sending request"*)
      give_up "packages could not be fetched: check the network (or HTTPS_PROXY) and run it again, what was fetched is kept. Said: $reason" ;;
    *"THESE PACKAGES DO NOT MATCH THE HASHES"* | *"ash mismatch"*)
      give_up "a package is not the one that requirements.lock names: the index or a proxy on the way gives another file. Said: $reason" ;;
    *)
      say "$1"
      give_up "packages could not be installed, see above." ;;
  esac
}

python=$(find_python)
may_write
has_room
say "setup: packages into .venv (half a minute when nothing is cached)"
said=$(install_packages "$python" 2>&1) || explain "$said"
say "setup: Kafka's jars into ${METERSTREAM_CACHE_DIR:-.cache}"
.venv/bin/python -m runtime.embedded
touch .venv/.ready
