#!/bin/sh
# Installs what is missing (as root), builds, and runs every test: unit (ctest), integration and attack
# (pytest), under a private PostgreSQL. The last line says "N passed, N failed"; exit 0 only when
# something ran and nothing failed. The integration tests of the registry, of the client and the CPS, the others and
# the attack tests run side by side, for they mostly wait; one after the other when pytest gets arguments.
#
#   test.sh [--preset release|debug|asan|tsan|coverage] [--only unit|integration] [--no-install] [-- PYTEST ARGUMENTS]
#
# With asan and tsan the daemons and the command that the integration tests drive are the instrumented
# ones, and any finding in their output fails the test. With coverage, which is built as release is, the lines of
# server/ that ran are counted and printed by folder; less than 90 % of them in a whole run counts as a failure.
set -eu

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0"
    exit "$1"
}

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/packaging/packages.sh"

preset=release only=all install=yes
while [ $# -gt 0 ]; do
    case $1 in
    --preset) [ $# -gt 1 ] || usage 1; preset=$2; shift ;;
    --only) [ $# -gt 1 ] || usage 1; only=$2; shift ;;
    --no-install) install=no ;;
    --help | -h) usage 0 ;;
    --) shift; break ;;
    *) usage 1 >&2 ;;
    esac
    shift
done
case $preset in release | debug | asan | tsan | coverage) ;; *) usage 1 >&2 ;; esac
case $only in all | unit | integration) ;; *) usage 1 >&2 ;; esac

python=/usr/bin/python3
build=$root/build/$preset
results=$build/results

# Runs this script again for the tests of KIND, with a PostgreSQL of their own. It ends with 0 whatever the tests
# say, which report through $results: at any other status pg_virtualenv prints the whole server log.
under_postgresql() {
    kind=$1
    shift
    # A port of its own: left to choose, two runs that start together choose the same.
    port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
    STICPS_TEST_INSIDE=$kind pg_virtualenv -t -c "--port=$port" -o max_connections=200 \
        "$root/packaging/test.sh" --preset "$preset" -- "$@"
}

if [ -z "${STICPS_TEST_INSIDE:-}" ]; then
    cd "$root"
    mkdir -p "$results"
    rm -f "$results"/*.xml
    [ "$preset" != coverage ] || find "$build" -name '*.gcda' -delete
    started=$(date +%s)
    if [ $install = yes ]; then
        echo "== packages"
        PACKAGES_LOG=$results/apt.log
        # shellcheck disable=SC2086
        packages_install $PACKAGES_BUILD $PACKAGES_RUN $PACKAGES_TEST
        # shellcheck disable=SC2086
        command -v npm >/dev/null || packages_install $PACKAGES_NODE
        # shellcheck disable=SC2086
        [ "$preset" != coverage ] || packages_install $PACKAGES_COVERAGE
    fi
    echo "== build ($preset)"
    cmake --preset "$preset" -DBUILD_TESTING=ON >"$results/cmake.log" 2>&1 || { cat "$results/cmake.log" >&2; exit 1; }
    cmake --build "$build" >"$results/build.log" 2>&1 || { tail -60 "$results/build.log" >&2; exit 1; }
    echo "   built in $(($(date +%s) - started)) s, packages included"

    runners=
    if [ $only != integration ]; then
        runners=unit
        under_postgresql unit || true
    fi
    if [ $only != unit ] && [ $# -gt 0 ]; then
        runners="$runners pytest"
        under_postgresql pytest "$@" || true
    elif [ $only != unit ]; then
        runners="$runners integration registry clients attack"
        under_postgresql registry >"$results/registry.log" 2>&1 &
        under_postgresql clients >"$results/clients.log" 2>&1 &
        under_postgresql attack >"$results/attack.log" 2>&1 &
        under_postgresql integration || true
        wait
        cat "$results/registry.log" "$results/clients.log" "$results/attack.log"
    fi
    whole=no
    [ "$only" != all ] || [ $# -gt 0 ] || whole=yes
    if [ "$preset" = coverage ]; then
        $python "$root/packaging/coverage.py" "$root" "$build" $whole
    fi
    # shellcheck disable=SC2086
    exec $python "$root/packaging/test_totals.py" "$results" $runners
fi

# ---- under pg_virtualenv ----
# the name localhost needs a hosts file, which a bare chroot may lack
PGHOST=127.0.0.1
export PGHOST PYTHONDONTWRITEBYTECODE=1 STICPS_BIN_DIR="$build/bin"

# for the unit tests; the integration tests set their own (tests/integration/lib/process.py)
export ASAN_OPTIONS="detect_leaks=1:detect_stack_use_after_return=1"
export UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
export LSAN_OPTIONS="suppressions=$root/tests/lsan.supp:print_suppressions=0"
export TSAN_OPTIONS="halt_on_error=1"
[ ! -e "$root/tests/tsan.supp" ] || TSAN_OPTIONS="$TSAN_OPTIONS:suppressions=$root/tests/tsan.supp"

kind=$STICPS_TEST_INSIDE
echo "== $kind tests"
if [ "$kind" = unit ]; then
    ctest --test-dir "$build" --output-on-failure --no-tests=error -j 2 --timeout 300 \
        --output-junit "$results/unit.xml" || true
    exit 0
fi
# packaging/pki.sh and the daemons are driven from here
cd "$root"
case $kind in
registry | clients | integration)
    paths=
    for file in tests/integration/test_*.py; do
        case ${file##*/test_} in
        registry_*) group=registry ;;
        agent* | bench_* | client_* | cps_* | doctor* | enum* | kamailio* | manual_* | npdb_*) group=clients ;;
        *) group=integration ;;
        esac
        [ $group != "$kind" ] || paths="$paths $file"
    done
    ;;
attack) paths=tests/attack ;;
*) paths="tests/integration tests/attack" ;;
esac
# shellcheck disable=SC2086
$python -m pytest -p no:cacheprovider -q -ra --tb=short --junitxml="$results/$kind.xml" $paths "$@" || true
exit 0
