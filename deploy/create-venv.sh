#!/usr/bin/env bash
# Usage: create-venv.sh PYTHON FOLDER
# Makes a virtual environment, or says in one line what is missing and how to get it.
set -euo pipefail

python=$1
folder=$2

stop() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null ||
    stop "There is no '$python'." "On Debian or Ubuntu: sudo apt-get install python3 python3-venv" \
        "Another interpreter: make PYTHON=/path/to/python3.12 ..."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "'$python' is $("$python" -V 2>&1); the node needs Python 3.11 or later." \
        "Another interpreter: make PYTHON=/path/to/python3.12 ..."

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

if ! has_venv && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    package="$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    echo "Installing $package ..."
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$package" >/dev/null; } ||
        true
fi

has_venv || stop "'$python' cannot make virtual environments (its venv module is packaged apart)." \
    "On Debian or Ubuntu: sudo apt-get install python3-venv"

"$python" -m venv "$folder"
