#!/usr/bin/env bash
# Installs what running a node needs into an empty environment and writes the versions that came to
# deploy/constraints.txt. Run it, then every test, before a release.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip -qq --disable-pip-version-check)
"${pip[@]}" install ".[postgresql,remote,onnxruntime]"
{
    echo "# The versions that a release was tested with: pip install -c deploy/constraints.txt ."
    echo "# Written by deploy/write-constraints.sh; pyproject.toml says what else may be used."
    "${pip[@]}" freeze --exclude dicom-node
} >"$folder/constraints.txt"
mv "$folder/constraints.txt" deploy/constraints.txt
chmod 644 deploy/constraints.txt
