# Sourced by quickstart.sh and test.sh: the Debian 12 packages they need, and how they come in.

export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

# building, and running the daemons
PACKAGES_BUILD="gcc libc6-dev cmake ninja-build pkg-config
    libssl-dev libh2o-evloop-dev libpq-dev libjansson-dev libjwt-dev libcurl4-openssl-dev libc-ares-dev libcyaml-dev libyaml-dev
    uthash-dev zlib1g-dev libp11-kit-dev"
# the quick start's walk
PACKAGES_RUN="postgresql postgresql-common openssl curl ca-certificates procps jq python3"
# the tests
PACKAGES_TEST="g++ mandoc libcmocka-dev python3 python3-pytest python3-jwt python3-cryptography python3-psycopg2
    python3-jsonschema python3-yaml softhsm2 nsd nginx haproxy secsipidx iproute2 libfaketime pgbouncer abigail-tools strace
    kamailio kamailio-secsipid-modules kamailio-utils-modules sip-tester liblmdb-dev libsqlite3-dev"
# the tests' linter of docs/openapi.yaml, where node and npm did not come from elsewhere
PACKAGES_NODE="nodejs npm"
# test.sh --preset coverage
PACKAGES_COVERAGE="gcovr"
# tests/fuzz/run
PACKAGES_FUZZ="clang"
# tests/bench/run and tests/bench/npdb
PACKAGES_BENCH="nginx wrk postgresql-contrib liblmdb-dev libsqlite3-dev"

# packages_missing NAME…: those of them that are not installed
packages_missing() {
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' ||
            printf '%s ' "$package"
    done
}

# packages_install NAME…: as root, installs what is missing and starts no service that comes with it.
packages_install() {
    missing=$(packages_missing "$@")
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "these packages are missing, and only root can install them: $missing" >&2
        return 1
    fi
    policy=
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        # Debian's own way of saying that an installation shall not start a server
        policy=/usr/sbin/policy-rc.d
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
    fi
    status=0
    # shellcheck disable=SC2086
    { apt-get -qq update && apt-get -qq -y -o Dpkg::Use-Pty=0 install --no-install-recommends $missing; } \
        >"${PACKAGES_LOG:-/dev/null}" 2>&1 </dev/null || status=$?
    [ -z "$policy" ] || rm -f "$policy"
    if [ $status -ne 0 ]; then
        tail -20 "${PACKAGES_LOG:-/dev/null}" >&2
        echo "apt-get could not install: $missing" >&2
    fi
    return $status
}
