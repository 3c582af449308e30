#!/bin/sh
# Makes a test PKI with openssl: usage pki.sh DIR. For the quick start and the tests; never for production.
#
#   sti-pa-root   anchor of the signed lists       list-signer   signs them
#   sti-ca        approved STI-CA                  sp1, sp2      STI certificates, SPC 1234 and 5678
#   tls-ca        TLS root                         registry-tls, cps-tls, repo-tls   servers on loopback
#
# Each name gives NAME.crt and NAME.key. The roots have no path length, so that intermediates can be issued
# under them. Nothing is overwritten: a folder that already has a PKI is left as it is.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 1; }
mkdir -p "$1"
cd "$1"
[ ! -e complete ] || exit 0
umask 077

key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" 2>/dev/null; }

# root NAME SUBJECT
root() {
    key "$1"
    openssl req -new -x509 -key "$1.key" -out "$1.crt" -days 3650 -sha256 -subj "$2" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
}

# leaf NAME ISSUER SUBJECT EXTENSION…: one extension of openssl's config syntax per argument
leaf() {
    name=$1 issuer=$2 subject=$3
    shift 3
    key "$name"
    {
        echo "basicConstraints=critical,CA:FALSE"
        echo "subjectKeyIdentifier=hash"
        echo "authorityKeyIdentifier=keyid"
        printf '%s\n' "$@"
    } >"$name.ext"
    openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr" 2>/dev/null
    openssl x509 -req -in "$name.csr" -CA "$issuer.crt" -CAkey "$issuer.key" -out "$name.crt" -days 365 \
        -sha256 -set_serial "0x$(openssl rand -hex 12)" -extfile "$name.ext" 2>/dev/null
    rm -f "$name.csr" "$name.ext"
}

# TNAuthList (RFC 8226 s9) with one SPC of four characters: SEQUENCE { [0] { IA5String } }
tnauthlist() {
    printf '1.3.6.1.5.5.7.1.26=DER:30:08:A0:06:16:04'
    printf '%s' "$1" | od -An -v -tx1 | tr -d '\n' | tr ' ' ':'
}

tls() {
    leaf "$1" tls-ca "/O=Test $1/CN=localhost" "keyUsage=critical,digitalSignature" \
        "extendedKeyUsage=serverAuth" "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"
}

root sti-pa-root "/C=US/O=Test STI-PA/CN=Test STI-PA Root"
leaf list-signer sti-pa-root "/C=US/O=Test STI-PA/CN=Test STI-PA List Signer" \
    "keyUsage=critical,digitalSignature"

root sti-ca "/C=US/O=Test STI-CA/CN=Test STI-CA Root"
for sp in sp1:1234 sp2:5678; do
    leaf "${sp%:*}" sti-ca "/C=US/O=Test ${sp%:*}/CN=SHAKEN ${sp#*:}" \
        "keyUsage=critical,digitalSignature" \
        "certificatePolicies=2.16.840.1.114569.1.1.1" \
        "$(tnauthlist "${sp#*:}")"
done

root tls-ca "/O=Test/CN=Test TLS Root"
for server in registry-tls cps-tls repo-tls; do
    tls "$server"
done

chmod 644 ./*.crt
touch complete
