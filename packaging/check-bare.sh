#!/bin/sh
# Does the checkout stand on a bare Debian 12? Usage (as root): check-bare.sh [DIR [COMMAND…]]
#
# Makes a minimal Debian 12 with debootstrap in DIR/base (kept for the next time; default
# build/bare), copies it to DIR/root, puts the committed files of this checkout into it and runs there
# packaging/quickstart.sh and packaging/test.sh, or COMMAND in a shell. The mirror is the one that this
# machine's own apt uses. Mounts and processes live in namespaces of their own and end with the script.
set -eu

checkout=$(cd "$(dirname "$0")/.." && pwd)
dir=$(realpath -m "${1:-$checkout/build/bare}")
[ $# -eq 0 ] || shift
[ "$(id -u)" -eq 0 ] || { echo "$0: root only" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "$0: apt-get install debootstrap" >&2; exit 1; }

# "URI suite component" of every Debian 12 source of this machine
sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
        'Created-By: Packages' 'Origin: Debian' | grep ' bookworm' | sort -u
}

mkdir -p "$dir"
if [ ! -e "$dir/base/complete" ]; then
    rm -rf "$dir/base"
    mirror=$(sources | awk '$2 == "bookworm" { print $1; exit }')
    [ -n "$mirror" ] || { echo "$0: this machine's apt knows no Debian 12 mirror" >&2; exit 1; }
    debootstrap --variant=minbase bookworm "$dir/base" "$mirror" >"$dir/debootstrap.log" 2>&1 ||
        { tail "$dir/debootstrap.log" >&2; exit 1; }
    sources | sed 's/^/deb /' >"$dir/base/etc/apt/sources.list"
    apt-config dump | grep -i '^Acquire::.*Proxy' >"$dir/base/etc/apt/apt.conf.d/01proxy" || true
    touch "$dir/base/complete"
fi

rm -rf --one-file-system "$dir/root"
cp -a "$dir/base" "$dir/root"
cp -L /etc/resolv.conf "$dir/root/etc/resolv.conf"
mkdir -p "$dir/root/srv/sticps"
git -C "$checkout" archive HEAD | tar x -C "$dir/root/srv/sticps"

run='packaging/quickstart.sh && packaging/test.sh'
[ $# -eq 0 ] || run=$*
# shellcheck disable=SC2016
exec unshare --mount --pid --fork --kill-child sh -euc '
    mount --bind "$1" "$1" # a root of its own, as a machine has one: namespaces are made in it
    cd "$1"
    mount -t proc proc proc
    mount --bind /dev dev
    mount -t tmpfs -o mode=1777 tmpfs dev/shm
    mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
    exec chroot . env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb \
        sh -c "cd /srv/sticps && $2"
' sh "$dir/root" "$run"
