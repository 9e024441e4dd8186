#!/usr/bin/env bash
# Emulators of S3 (moto) and Azure Blob (Azurite) for tests, below target/emulators or COFFER_TEST_EMULATORS_DIR. Installs what is
# missing, from PyPI and npm, and changes nothing on the machine besides. Prints the names of what is there: `s3 azure`.
#
# Both are pinned: what is run here is what was tried. Azurite's newer versions want a newer Node than Debian has.
set -uo pipefail
cd "$(dirname "$0")/.."
directory=${COFFER_TEST_EMULATORS_DIR:-${CARGO_TARGET_DIR:-$PWD/target}/emulators}
moto=5.2.5
azurite=3.35.0

mkdir -p "$directory"
exec 6>"$directory/.lock"
# Two runs on one machine: the second finds what the first installed.
flock 6

# The mark is written last: an installation that was interrupted begins anew.
install_moto() {
    [[ $(cat "$directory/moto/.version" 2>/dev/null) == "$moto" ]] && return 0
    echo "Installing moto $moto for tests" >&2
    rm -rf "$directory/moto"
    python3 -m venv "$directory/moto" &&
        "$directory/moto/bin/pip" install --quiet --disable-pip-version-check "moto[s3,server]==$moto" >&2 &&
        echo "$moto" >"$directory/moto/.version"
}

install_azurite() {
    [[ $(cat "$directory/azurite/.version" 2>/dev/null) == "$azurite" ]] && return 0
    command -v npm >/dev/null || {
        echo "npm is missing: Azurite cannot be installed" >&2
        return 1
    }
    echo "Installing Azurite $azurite for tests" >&2
    rm -rf "$directory/azurite"
    mkdir -p "$directory/azurite" &&
        npm install --prefix "$directory/azurite" --no-audit --no-fund --loglevel=error "azurite@$azurite" >&2 &&
        echo "$azurite" >"$directory/azurite/.version"
}

code=0
there=()
if install_moto; then there+=(s3); else code=1; fi
if install_azurite; then there+=(azure); else code=1; fi
echo "${there[*]}"
exit "$code"
