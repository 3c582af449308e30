#!/bin/sh
# The whole path on one machine, with real parts, on a Debian 12: packages, build, PostgreSQL, both
# daemons, and one call's PASSporT from the calling provider to the called one. Ends non-zero at the first
# surprise.
#
#   quickstart.sh           walk the path and take everything down again
#   quickstart.sh --keep    leave it running; build/quickstart/env has the variables to drive it with
#   quickstart.sh --stop    end what --keep left
#
# Run it as root; or as another user, when the packages are installed.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/packaging/packages.sh"
. "$root/packaging/quickstart-lib.sh"

keep=no
case ${1:-} in
"") ;;
--keep) keep=yes ;;
--stop) stop_everything && echo "stopped"; exit 0 ;;
--help | -h) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 0 ;;
*) sed -n '6,8s/^# \{0,1\}//p' "$0" >&2; exit 1 ;;
esac
[ $# -le 1 ] || { echo "$0: one option at most" >&2; exit 1; }

started=$(now_ms)
umask 022
mkdir -p "$here"
stop_everything
rm -rf "$here"
mkdir -p "$here/log"
trap 'finish $?' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# ---------------------------------------------------------------- preparing

title "Packages and build"
PACKAGES_LOG=$here/log/apt.log
# shellcheck disable=SC2086
timed "Debian packages" packages_install $PACKAGES_BUILD $PACKAGES_RUN
cd "$root"
timed "configure" quietly "$here/log/cmake.log" cmake --preset release -DBUILD_TESTING=OFF -B build/release
timed "build" quietly "$here/log/build.log" build_measured build/release
command_ok "$bin/sticps" --version

title "A test PKI, by openssl"
timed "keys and certificates" quietly "$here/log/pki.log" "$root/packaging/pki.sh" "$pki"
for name in sti-pa-root list-signer sti-ca sp1 sp2 tls-ca; do
    note "$(printf '%-12s %s' "$name" "$(openssl x509 -in "$pki/$name.crt" -noout -subject -nameopt compat)")"
done

title "A private PostgreSQL"
timed "cluster and database" start_postgres
note "$DATABASE_URL"

title "The STI certificate repository, where an x5u leads"
repository_port=$(free_port)
start_daemon repository /usr/bin/python3 "$root/packaging/file_server.py" 127.0.0.1 "$repository_port" \
    "$pki/repo-tls.crt" "$pki/repo-tls.key" "$pki"
repository=https://127.0.0.1:$repository_port
timed "first answer" wait_for "$repository/sp1.crt"
note "$repository/sp1.crt"

# ---------------------------------------------------------------- the daemons

title "sticps-registryd, as the STI-PA runs it"
registry_port=$(free_port)
REGISTRY_URL=https://127.0.0.1:$registry_port
registry_conf=$here/registryd.yaml
cat >"$registry_conf" <<YAML
listen:
  - 127.0.0.1:$registry_port
threads: 2
tls:
  certificate: $pki/registry-tls.crt
  key: $pki/registry-tls.key
database:
  url: $(database_url serving)
  publisher_url: $(database_url publishing)
  auditor_url: $(database_url auditing)
  owner_url: $(database_url owner)
  connections: 8
base_url: $REGISTRY_URL
signer:
  id: 1
  key: $pki/list-signer.key
  certificate: $pki/list-signer.crt
lab: true
YAML
chmod 600 "$registry_conf"
show "$registry_conf"
timed "config check" command_ok "$bin/sticps-registryd" -t -c "$registry_conf"
timed "schema and first PA admin" command_ok "$bin/sticps-registryd" -c "$registry_conf" init
read_pa_account
start_daemon registryd "$bin/sticps-registryd" -c "$registry_conf"
timed "ready" wait_for "$REGISTRY_URL/ready"

title "sticps-cpsd, as the called provider runs it for its SPC 1234"
cps_port=$(free_port)
cps_private_port=$(free_port)
CPS_URL=https://127.0.0.1:$cps_port/cps/company/1234
CPS_PRIVATE_URL=https://127.0.0.1:$cps_private_port
CPS_PRIVATE_TOKEN=$(openssl rand -hex 24)
(umask 077 && echo "$CPS_PRIVATE_TOKEN" >"$here/cps-private.token")
cps_conf=$here/cpsd.yaml
cat >"$cps_conf" <<YAML
listen:
  - 127.0.0.1:$cps_port
threads: 2
tls:
  certificate: $pki/cps-tls.crt
  key: $pki/cps-tls.key
private:
  listen:
    - 127.0.0.1:$cps_private_port
  token_file: $here/cps-private.token
spcs:
  - "1234"
anchors:
  bundle: $pki/sti-ca.crt
tls_ca: $pki/tls-ca.crt
lab: true
YAML
show "$cps_conf"
timed "config check" command_ok "$bin/sticps-cpsd" -t -c "$cps_conf"
start_daemon cpsd "$bin/sticps-cpsd" -c "$cps_conf"
timed "healthy" wait_for "https://127.0.0.1:$cps_port/health"

# ---------------------------------------------------------------- provisioning

SP_ID=example-sp
SP_USER=example-admin
SP_PASSWORD=$(openssl rand -hex 12)

title "The STI-PA's admin signs in and admits the SP"
token=
request POST "$REGISTRY_URL/api/v1/auth/login" 200 \
    "$(printf '{"userId":"%s","password":"%s"}' "$PA_USER" "$PA_PASSWORD")"
token=$(field .accessToken)
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID" 201 '{"name":"Example Telephone"}'
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID/spc/1234" 201
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID/user/$SP_USER" 201 \
    "$(printf '{"role":"sp-admin","password":"%s"}' "$SP_PASSWORD")"

title "The SP's admin signs in and provisions the CPS URL of SPC 1234"
token=
request POST "$REGISTRY_URL/api/v1/auth/login" 200 \
    "$(printf '{"userId":"%s","password":"%s"}' "$SP_USER" "$SP_PASSWORD")"
sp_token=$(field .accessToken)
token=$sp_token
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID/cps/1234" 201 "$(printf '{"url":"%s"}' "$CPS_URL")"
provisioned=$(now_ms)
note "and what it may not do: another SP's code, a plain http URL"
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID/cps/5678" 403 "$(printf '{"url":"%s"}' "$CPS_URL")"
request PUT "$REGISTRY_URL/api/v1/account/$SP_ID/cps/1234" 422 '{"url":"http://cps.example.com/"}'

title "The registry signs and publishes the list"
token=
timed "published" wait_published
note "$(($(now_ms) - provisioned)) ms after the change was acknowledged, refusals above included"
request GET "$REGISTRY_URL/download/v1/cps-list" 200
cp "$reply" "$here/list.jwt"
note "header:"
segment 1 "$here/list.jwt" | jq . | indent
note "payload:"
segment 2 "$here/list.jwt" | jq . | indent
note "and the SP sees that its entry is in it:"
token=$sp_token
request GET "$REGISTRY_URL/api/v1/account/$SP_ID/cps/1234" 200
token=
note "The same list by OpenSSL alone:"
verify_list_by_openssl "$here/list.jwt"

# ---------------------------------------------------------------- a call

STATE_DIR=$here/state
NPDB=$here/numbers.npdb
LIST_ANCHOR=$pki/sti-pa-root.crt
TLS_CA=$pki/tls-ca.crt
SP_KEY=$pki/sp1.key
SP_X5U=$repository/sp1.crt

title "The calling provider fetches the list and checks it"
command_shown 0 sticps list fetch --url "$REGISTRY_URL/download/v1/cps-list" --anchor "$LIST_ANCHOR" \
    --state "$STATE_DIR" --tls-ca "$TLS_CA" --lab
command_shown 0 sticps list show --state "$STATE_DIR"

title "It builds the portability file"
cat >"$here/blocks.csv" <<CSV
prefix,SPC
1202555,5678
1303555,1234
CSV
cat >"$here/ports.csv" <<CSV
TN,LRN
12025550123,13035550000
CSV
show "$here/blocks.csv"
show "$here/ports.csv"
command_shown 0 sticps npdb build --blocks "$here/blocks.csv" --ports "$here/ports.csv" -o "$NPDB"

title "It resolves called numbers"
note "ported to the SP with a CPS:"
command_shown 0 sticps resolve 12025550123 --state "$STATE_DIR" --npdb "$NPDB"
note "not ported, the same SP's own number, as a person writes it:"
command_shown 0 sticps resolve "(303) 555-0199" --state "$STATE_DIR" --npdb "$NPDB"
note "not ported, and its carrier has no CPS:"
command_shown 4 sticps resolve 12025550124 --state "$STATE_DIR" --npdb "$NPDB"

title "It signs a PASSporT with its STI certificate (SPC 5678) and delivers it"
command_shown 0 sticps passport sign --key "$pki/sp2.key" --x5u "$repository/sp2.crt" --attest A \
    --orig 12015550100 --dest 12025550123 --lab
cp "$output" "$here/passport.jwt"
segment 1 "$here/passport.jwt" | jq -c . | indent
segment 2 "$here/passport.jwt" | jq -c . | indent
input=$here/passport.jwt
command_shown 0 sticps deliver --state "$STATE_DIR" --npdb "$NPDB" --tls-ca "$TLS_CA" --lab
input=/dev/null

title "The called provider's STI-VS takes it"
command_shown 0 sticps retrieve --url "$CPS_PRIVATE_URL" --token-file "$here/cps-private.token" \
    --tls-ca "$TLS_CA" --lab 12025550123 12015550100
grep -qF "$(tr -d '\n' <"$here/passport.jwt")" "$output" || surprise "this is not the PASSporT that was sent"
note "it is the very PASSporT that was sent; a second time there is none:"
command_shown 4 sticps retrieve --url "$CPS_PRIVATE_URL" --token-file "$here/cps-private.token" \
    --tls-ca "$TLS_CA" --lab 12025550123 12015550100

title "A forged one is refused and not held"
# signed with a key that is not the one of the certificate it names
command_shown 0 sticps passport sign --key "$pki/sp1.key" --x5u "$repository/sp2.crt" --attest A \
    --orig 12015550100 --dest 12025550123 --lab
input=$output.forged
cp "$output" "$input"
command_shown 2 sticps deliver --state "$STATE_DIR" --npdb "$NPDB" --tls-ca "$TLS_CA" --lab
grep -q INVALID_IDENTITY_HEADER "$output" "$output.err" || surprise "the verdict is not INVALID_IDENTITY_HEADER"
input=/dev/null
command_shown 4 sticps retrieve --url "$CPS_PRIVATE_URL" --token-file "$here/cps-private.token" \
    --tls-ca "$TLS_CA" --lab 12025550123 12015550100

write_env
title "Done"
summary
