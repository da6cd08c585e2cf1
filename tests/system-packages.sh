#!/usr/bin/env bash
# Installs the programs that the integration tests play against, where that is possible: on Debian or
# Ubuntu, as root. Elsewhere it names what is missing; the tests that need it then skip, with that
# reason. With CI=true a missing program is a failure, here and in the tests.
set -euo pipefail

has_dcmtk() { command -v storescu >/dev/null && command -v storescp >/dev/null; }
has_orthanc() { command -v Orthanc >/dev/null || [ -x /usr/sbin/Orthanc ]; }
has_dicom3tools() { command -v dciodvfy >/dev/null; }
has_redis-server() { command -v redis-server >/dev/null; }
has_postgresql() { command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; }
has_libfaketime() { compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null; }

has_openssl() { command -v openssl >/dev/null; }
has_systemd() { command -v systemd-analyze >/dev/null; }
has_mount() { command -v mount >/dev/null; }
has_util-linux() { command -v unshare >/dev/null && command -v nsenter >/dev/null && command -v setpriv >/dev/null; }
has_passwd() { command -v useradd >/dev/null; }

packages=(
    dcmtk orthanc dicom3tools redis-server postgresql libfaketime openssl systemd
    mount util-linux passwd
)

missing() {
    local package
    for package in "${packages[@]}"; do
        "has_$package" || printf '%s\n' "$package"
    done
}

mapfile -t wanted < <(missing)
[ "${#wanted[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Installing ${wanted[*]} ..."
    export DEBIAN_FRONTEND=noninteractive
    # The tests start their own servers on free ports; the packages' services stay off.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    install() { apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
    install "${wanted[@]}" 2>/dev/null || {
        apt-get update -qq || true
        # One by one: a package that this release does not have must not keep the others away.
        for package in "${wanted[@]}"; do
            install "$package" || echo "Could not install $package." >&2
        done
    }
    mapfile -t wanted < <(missing)
fi

if [ "${#wanted[@]}" -gt 0 ]; then
    echo "Missing: ${wanted[*]}. On Debian or Ubuntu:" >&2
    echo "    sudo apt-get install --no-install-recommends ${wanted[*]}" >&2
    if [ "${CI:-}" = true ]; then
        exit 1
    fi
    echo "The tests that need them will skip." >&2
fi
