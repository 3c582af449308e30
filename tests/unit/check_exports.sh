#!/bin/sh
# The symbols that libsticps exports are the checked-in ones: usage check_exports.sh LIBRARY EXPORTS.TXT
set -eu
found=$(nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort)
wanted=$(grep -v '^#' "$2")
[ "$found" = "$wanted" ] && exit 0
echo "the exported symbols (>) are not those of $2 (<):"
printf '%s\n' "$found" >"$2.found.$$"
printf '%s\n' "$wanted" | diff - "$2.found.$$" || true
rm -f "$2.found.$$"
exit 1
