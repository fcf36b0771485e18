#!/bin/sh
# Makes .venv, or refreshes it, with the pinned versions of constraints.txt. Safe to repeat; each failure is a sentence.
# Usage: PYTHON=/path/to/python scripts/environment.sh (from the repository's root; PYTHON may be left out)
set -u
venv=.venv
log=$venv/install.log

fail() {
    echo "error: $1" >&2
    exit 1
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        new_enough "$PYTHON" || fail "PYTHON=$PYTHON is not a Python of version 3.11 or later; name one that is."
        echo "$PYTHON"
        return
    fi
    for name in python3.11 python3 python3.12 python3.13 python3.14 python; do
        if new_enough "$name"; then
            echo "$name"
            return
        fi
    done
    found=$(python3 --version 2>/dev/null || echo "no python3 at all")
    fail "Python 3.11 or later is needed and was not found ($found is on the path); install it, or run make PYTHON=/path/to/python3.11."
}

[ -f pyproject.toml ] && [ -f constraints.txt ] || fail "run this in the repository's root, where pyproject.toml and constraints.txt are."

# An environment whose interpreter is gone, is too old, or that stood elsewhere is of no use: its scripts name old paths.
if [ -d "$venv" ]; then
    prefix=$("$venv/bin/python" -c 'import sys; print(sys.prefix)' 2>/dev/null || true)
    if ! new_enough "$venv/bin/python" || [ ! "$prefix" -ef "$venv" ] || ! "$venv/bin/pip" --version >/dev/null 2>&1; then
        echo "$venv does not work here (its Python is missing, too old, or it was moved): making it afresh."
        rm -rf "$venv" || fail "$venv cannot be removed; remove it by hand and run make again."
    fi
fi

if [ ! -d "$venv" ]; then
    python=$(find_python) || exit 1
    echo "Making $venv with $("$python" --version)."
    if ! "$python" -m venv "$venv" >/dev/null 2>&1; then
        rm -rf "$venv"
        fail "$python cannot make a virtual environment here; on Debian and Ubuntu, 'apt install python3-venv' adds what is missing, and the disk must have about 1.5 GB free."
    fi
fi

echo "Installing pushforward and its pinned dependencies into $venv (a few minutes the first time, log in $log)."
if ! "$venv/bin/python" -m pip install --no-input --disable-pip-version-check --retries 2 \
    -c constraints.txt -e ".[dev]" >"$log" 2>&1; then
    reason=$(sed -n 's/^ *ERROR: *//p' "$log" | tail -n 1)
    fail "the installation did not finish (pip: ${reason:-no reason given}); check the network connection and the free disk space, then run make again. The whole log is in $log."
fi
