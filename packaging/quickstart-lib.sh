# Sourced by quickstart.sh: printing, starting and ending processes, requests, and the checks by openssl.
# Uses $root; keeps everything under $here.

here=$root/build/quickstart
bin=$root/build/release/bin
pki=$here/pki
reply=$here/reply
output=$here/output
input=/dev/null
token=
step=0
build_peak=0

# ---------------------------------------------------------------- printing

now_ms() { echo $(($(date +%s%N) / 1000000)); }
title() { step=$((step + 1)); printf '\n%2d. %s\n' "$step" "$1"; }
note() { printf '    %s\n' "$*"; }
indent() { sed 's/^/      /'; }
show() { note "$1"; indent <"$1"; }

surprise() {
    printf '\nSURPRISE in step %d: %s\n' "$step" "$*" >&2
    exit 1
}

# timed WHAT COMMAND…: runs it and prints how long it took
timed() {
    what=$1
    shift
    t0=$(now_ms)
    "$@" || surprise "$what"
    note "$what: $(($(now_ms) - t0)) ms"
}

# quietly LOG COMMAND…: output goes to the log, and to the terminal when it fails
quietly() {
    log=$1
    shift
    "$@" >"$log" 2>&1 || { tail -40 "$log" >&2; return 1; }
}

# build_measured FOLDER: builds, and keeps the peak memory of its largest process in build_peak (kB)
build_measured() {
    /usr/bin/python3 -c 'if True:
        import resource, subprocess, sys
        status = subprocess.call(sys.argv[2:])
        open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
        sys.exit(status)' "$here/build.peak" cmake --build "$1" || return 1
    build_peak=$(cat "$here/build.peak")
}

# command_ok COMMAND…: shows it and its output
command_ok() {
    note "\$ $*"
    status=0
    "$@" >"$output" 2>&1 </dev/null || status=$?
    indent <"$output"
    [ $status -eq 0 ] || { note "exit $status"; return 1; }
}

# command_shown STATUS sticps ARGUMENT…: what was asked ($input on standard input), what came back, how long
# it took; standard output is kept in $output
command_shown() {
    want=$1
    shift 2
    note "\$ sticps $*$([ "$input" = /dev/null ] || echo " < $input")"
    t0=$(now_ms)
    status=0
    "$bin/sticps" "$@" <"$input" >"$output" 2>"$output.err" || status=$?
    took=$(($(now_ms) - t0))
    cat "$output.err" "$output" | indent
    note "exit $status in $took ms"
    [ "$status" -eq "$want" ] || surprise "sticps $1 ended with $status, not with $want"
}

# ---------------------------------------------------------------- processes

free_port() {
    /usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# start_daemon NAME COMMAND…: in the background; its id in NAME.pid, its output in log/NAME.log
start_daemon() {
    name=$1
    shift
    note "\$ $* &"
    setsid "$@" >>"$here/log/$name.log" 2>&1 </dev/null &
    echo $! >"$here/$name.pid"
}

daemon_pid() { cat "$here/$1.pid"; }

# wait_for URL: until it answers 200
wait_for() {
    tries=0
    until [ "$(curl -s -o /dev/null --cacert "$pki/tls-ca.crt" -w '%{http_code}' "$1")" = 200 ]; do
        tries=$((tries + 1))
        if [ $tries -gt 300 ]; then
            tail -20 "$here"/log/*.log >&2
            return 1
        fi
        sleep 0.1
    done
}

# A PostgreSQL of our own. Its files are not under $here: as root it runs as user postgres, who may not be
# able to reach the checkout.
start_postgres() {
    pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -1)
    pg_dir=$(mktemp -d "${TMPDIR:-/tmp}/sticps-quickstart.XXXXXX")
    echo "$pg_dir" >"$here/postgres.dir"
    pg_port=$(free_port)
    pg_password=$(openssl rand -hex 16)
    (umask 077 && echo "$pg_password" >"$pg_dir/password")
    [ "$(id -u)" -ne 0 ] || chown -R postgres:postgres "$pg_dir"
    (
        cd "$pg_dir"
        as_postgres "$pg_bin/initdb" -D "$pg_dir/data" -U postgres --pwfile="$pg_dir/password" \
            --auth=scram-sha-256 -E UTF8 --locale=C.UTF-8 &&
            as_postgres "$pg_bin/pg_ctl" -D "$pg_dir/data" -l "$pg_dir/log" -w -o \
                "-p $pg_port -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200" start
    ) >"$here/log/postgres.log" 2>&1 </dev/null || { cat "$here/log/postgres.log" >&2; return 1; }
    {
        cat "$root/packaging/database/roles.sql"
        for role in owner serving publishing auditing; do
            echo "ALTER ROLE sticps_$role PASSWORD '$pg_password';"
        done
        echo 'CREATE DATABASE sticps OWNER sticps_owner;'
    } | PGPASSWORD=$pg_password psql -q -h 127.0.0.1 -p "$pg_port" -U postgres -v ON_ERROR_STOP=1 postgres || return 1
    # for a person who looks: sees the rows of every account (docs/database.md)
    DATABASE_URL="$(database_url owner)?options=-csticps.scope%3D*"
}

# The connection string of one of the registry's roles.
database_url() {
    echo "postgresql://sticps_$1:$pg_password@127.0.0.1:$pg_port/sticps"
}

as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
    else
        "$@"
    fi
}

# Is process $1 one of the quick start's, and not another one that has the number now? Also true of a daemon
# that somebody started again with REGISTRY_START or CPS_START.
is_ours() {
    case $(cat "/proc/$1/comm" 2>/dev/null) in
    sticps-cpsd | sticps-registry*) sign=$here/ ;;
    python3*) sign=$root/packaging/file_server.py ;;
    *) return 1 ;;
    esac
    { tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -e "$sign"; } 2>/dev/null
}

our_pids() {
    for entry in /proc/[0-9]*; do
        ! is_ours "${entry#/proc/}" || echo "${entry#/proc/}"
    done
}

stop_everything() {
    for pid in $(our_pids); do
        kill "$pid" 2>/dev/null || continue
        tries=0
        while is_ours "$pid" && [ $tries -lt 150 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        ! is_ours "$pid" || kill -9 "$pid" 2>/dev/null || true
    done
    rm -f "$here"/*.pid "$here/env"
    if [ -e "$here/postgres.dir" ]; then
        pg_dir=$(cat "$here/postgres.dir")
        pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin | sort -V | tail -1)
        (cd / && as_postgres "$pg_bin/pg_ctl" -D "$pg_dir/data" -m immediate -w stop) >/dev/null 2>&1 || true
        rm -rf "$pg_dir"
        rm -f "$here/postgres.dir"
    fi
}

# At the end, however it comes.
finish() {
    trap - EXIT INT TERM
    if [ "$1" -ne 0 ] || [ $keep = no ]; then
        stop_everything
    fi
    if [ "$1" -ne 0 ]; then
        echo "quickstart.sh failed; the logs are in $here/log" >&2
    fi
    exit "$1"
}

# ---------------------------------------------------------------- requests

# request METHOD URL STATUS [BODY]: what was sent, what came back, how long it took. $token, when set, goes as
# bearer token. The body of the answer is kept in $reply. Passwords and tokens are not shown.
request() {
    method=$1 url=$2 want=$3 body=${4-}
    note "→ $method $url"
    [ -z "$body" ] || printf '%s\n' "$body" | hide | indent
    set -- -s -S --cacert "$pki/tls-ca.crt" -X "$method" -o "$reply" -w '%{http_code} %{time_total}'
    [ -z "$body" ] || set -- "$@" -H 'Content-Type: application/json' --data-binary "$body"
    [ -z "$token" ] || set -- "$@" -H "Authorization: Bearer $token"
    : >"$reply"
    answer=$(curl "$@" "$url") || surprise "no answer from $url"
    status=${answer% *}
    note "← $status in $(echo "${answer#* }" | awk '{ printf "%.1f", $1 * 1000 }') ms"
    { cat "$reply"; echo; } | hide | sed '/^$/d' | cut -c 1-1000 | indent
    [ "$status" = "$want" ] || surprise "$method $url answered $status, not $want"
}

hide() { sed -E 's/("(password|accessToken|refreshToken)": *")[^"]*/\1…/g'; }

# field FILTER: a member of the last answer
field() { jq -er "$1" "$reply" || surprise "the answer has no $1"; }

# segment N FILE: the decoded segment of a compact JWS
segment() {
    data=$(tr -d '\n' <"$2" | cut -d. -f"$1" | tr '_-' '/+')
    while [ $((${#data} % 4)) -ne 0 ]; do data=$data=; done
    printf '%s' "$data" | base64 -d
}

# Until the list holds the URL that was provisioned.
wait_published() {
    tries=0
    until curl -s --cacert "$pki/tls-ca.crt" -o "$here/list.jwt" "$REGISTRY_URL/download/v1/cps-list" &&
        [ "$(segment 2 "$here/list.jwt" 2>/dev/null | jq -r '.cpsMapping["1234"]' 2>/dev/null)" = "$CPS_URL" ]; do
        tries=$((tries + 1))
        [ $tries -le 100 ] || return 1
        sleep 0.05
    done
}

# The user and password that `init` printed, once.
read_pa_account() {
    PA_USER=$(sed -n 's/^userId: //p' "$output" | head -1)
    PA_PASSWORD=$(sed -n 's/^password: //p' "$output" | head -1)
    [ -n "$PA_USER" ] && [ -n "$PA_PASSWORD" ] || surprise "init printed no user and password"
}

# verify_list_by_openssl FILE: signature and chain of a signed list, with nothing of ours.
verify_list_by_openssl() {
    work=$here/openssl
    mkdir -p "$work"
    x5u=$(segment 1 "$1" | jq -r .x5u)
    curl -s -S --fail --cacert "$pki/tls-ca.crt" -o "$work/signer.crt" "$x5u" || surprise "no certificate at $x5u"
    command_ok openssl verify -CAfile "$pki/sti-pa-root.crt" "$work/signer.crt" ||
        surprise "openssl refuses the certificate"
    # a JWS has the bare R||S, openssl wants them in DER
    raw=$(segment 3 "$1" | od -An -v -tx1 | tr -d ' \n')
    [ ${#raw} -eq 128 ] || surprise "the signature is not 64 bytes"
    printf 'asn1=SEQUENCE:s\n[s]\nr=INTEGER:0x%s\ns=INTEGER:0x%s\n' \
        "$(echo "$raw" | cut -c 1-64)" "$(echo "$raw" | cut -c 65-128)" >"$work/signature.cnf"
    openssl asn1parse -genconf "$work/signature.cnf" -noout -out "$work/signature.der"
    tr -d '\n' <"$1" | cut -d. -f1,2 | tr -d '\n' >"$work/signed"
    openssl x509 -in "$work/signer.crt" -noout -pubkey >"$work/signer.pub"
    command_ok openssl dgst -sha256 -verify "$work/signer.pub" -signature "$work/signature.der" "$work/signed" ||
        surprise "openssl refuses the signature"
}

# ---------------------------------------------------------------- what is left behind

# quoted TEXT: for a shell's reading, bare where that is safe
quoted() {
    case $1 in
    *[!A-Za-z0-9_./:@%+,=-]* | "") printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")" ;;
    *) printf '%s' "$1" ;;
    esac
}

write_env() {
    BIN_DIR=$bin
    PKI_DIR=$pki
    REGISTRY_PID=$(daemon_pid registryd)
    CPS_PID=$(daemon_pid cpsd)
    # in the foreground: whoever starts one decides where its output goes
    REGISTRY_START="$(quoted "$bin/sticps-registryd") -c $(quoted "$registry_conf")"
    CPS_START="$(quoted "$bin/sticps-cpsd") -c $(quoted "$cps_conf")"
    [ $keep = yes ] || return 0
    (
        umask 077
        for name in REGISTRY_URL PA_USER PA_PASSWORD SP_ID SP_USER SP_PASSWORD LIST_ANCHOR TLS_CA STATE_DIR NPDB \
            CPS_URL CPS_PRIVATE_URL CPS_PRIVATE_TOKEN SP_KEY SP_X5U BIN_DIR DATABASE_URL REGISTRY_PID CPS_PID \
            REGISTRY_START CPS_START PKI_DIR; do
            eval "value=\$$name"
            printf '%s=%s\n' "$name" "$(quoted "$value")"
        done >"$here/env"
    )
}

# peak_kb PID: the most memory that the process ever had
peak_kb() { awk '/^VmHWM:/ { print $2 }' "/proc/$1/status"; }

summary() {
    total=0
    for name in registryd cpsd; do
        kb=$(peak_kb "$(daemon_pid $name)")
        note "$(printf '%-10s peak memory %5d kB' $name "$kb")"
    done
    kb=0
    for pid in $(head -1 "$(cat "$here/postgres.dir")/data/postmaster.pid") \
        $(pgrep -P "$(head -1 "$(cat "$here/postgres.dir")/data/postmaster.pid")"); do
        one=$(peak_kb "$pid")
        [ "${one:-0}" -le $kb ] || kb=$one
    done
    note "$(printf '%-10s peak memory %5d kB (its largest process)' postgres $kb)"
    note "$(printf '%-10s peak memory %5d kB (its largest process)' build "$build_peak")"
    note "the whole quick start: $((($(now_ms) - started) / 1000)) s"
    if [ $keep = yes ]; then
        note "still running; its variables are in $here/env"
        note "end it with: packaging/quickstart.sh --stop"
    fi
}
