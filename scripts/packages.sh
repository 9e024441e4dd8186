# Sourced by ./quickstart and ./test: Debian packages that are missing are installed, or named.

# install_packages PACKAGE …
#
# As root, installs them by apt; as another user, says the command and fails. Debian's PostgreSQL packages make and start a
# server on port 5432 when they are installed. Nobody asked for one here, so they are told not to, for this installation only.
install_packages() {
    if [[ $(id -u) != 0 ]]; then
        printf 'error: missing programs; run: sudo apt-get install --no-install-recommends %s\n' "$*" >&2
        return 1
    fi
    echo "Installing: $*"
    local settings=/etc/postgresql-common/createcluster.d code=0
    mkdir -p "$settings"
    echo "create_main_cluster = false" >"$settings/coffer.conf"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } || code=1
    rm -f "$settings/coffer.conf"
    ((code == 0)) || printf 'error: apt-get could not install: %s\n' "$*" >&2
    return "$code"
}

# True when a PostgreSQL server's programs are there, of any major version.
postgres_programs() {
    local found
    [[ -n ${COFFER_TEST_PG_BIN:-} ]] && return 0
    for found in /usr/lib/postgresql/*/bin/initdb; do
        [[ -x $found ]] && return 0
    done
    return 1
}
