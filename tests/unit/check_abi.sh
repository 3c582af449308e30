#!/bin/sh
# The ABI of libsticps is still that of the last release, additions apart: usage check_abi.sh SOURCE LIBRARY CMAKE
# First it shows, on a copy of the source, that it would tell a harmful change. Exit 77 (skipped) where there is no tag
# to compare with.
set -eu
source=$1 library=$2 cmake=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What is behind a handle may change. A new enumerator moves the one that counts them, as the headers say.
cat >"$work/suppressions" <<'S'
[suppress_type]
  source_location_not_regexp = include/sticps/

[suppress_type]
  type_kind = enum
  changed_enumerators = STICPS_ERR_COUNT, STICPS_EVENT_COUNT, STICPS_STAT_COUNT
S

# compare OLD NEW: nothing that a program built against OLD uses has changed in NEW
compare() {
    abidiff --no-added-syms --suppressions "$work/suppressions" "$1" "$2"
}

# build TREE: its library, as a release is built
build() {
    {
        "$cmake" -G Ninja -S "$1" -B "$1.build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF &&
            "$cmake" --build "$1.build" --target sticps
    } >"$1.log" 2>&1 || {
        tail -40 "$1.log" >&2
        exit 1
    }
}

mkdir "$work/shorter"
(cd "$source" && cp -r CMakeLists.txt include common client server docs packaging "$work/shorter")
sed -i 's/char text\[512\]/char text[500]/' "$work/shorter/include/sticps/error.h"
build "$work/shorter"
"$here/check_symbols.sh" "$work/shorter.build/lib/libsticps.so" # where $library counts its lines, it has symbols more
if compare "$library" "$work/shorter.build/lib/libsticps.so" >"$work/said" || ! grep -q "struct sticps_error" "$work/said"; then
    echo "a public structure that became shorter is not told"
    exit 1
fi

tag=$(git -C "$source" describe --tags --abbrev=0 2>/dev/null) || {
    echo "there is no tag: nothing to compare with"
    exit 77
}
mkdir "$work/tag"
git -C "$source" archive "$tag" | tar -x -C "$work/tag"
build "$work/tag"
compare "$work/tag.build/lib/libsticps.so" "$library" || {
    echo "programs built against $tag would break: give what changed a new name, or raise SOVERSION"
    exit 1
}
echo "the ABI is that of $tag"
