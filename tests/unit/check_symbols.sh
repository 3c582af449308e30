#!/bin/sh
# What libsticps asks of the C library, and keeps: it prints nothing, ends no process, touches no signal, takes no
# memory past sticps_set_allocator (client/allocator.c), and has no state of its own beside the few words below.
# usage check_symbols.sh LIBRARY
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# to look at the streams, print, log; to end the process; signals and processes; what belongs to the whole process
BANNED="stdout stderr stdin printf vprintf puts putchar fprintf vfprintf dprintf vdprintf perror psignal syslog vsyslog
    abort exit _exit _Exit quick_exit __assert_fail err errx warn warnx
    signal sigaction sigprocmask raise kill alarm fork vfork system popen execve
    setenv putenv unsetenv setlocale umask chdir srand srandom"
# memory that the C library, or jansson, would give out for us to free
PAST="strdup strndup asprintf vasprintf reallocarray getline getdelim open_memstream realpath canonicalize_file_name
    scandir get_current_dir_name posix_memalign aligned_alloc memalign valloc wcsdup tempnam json_dumps"
# Writable words of the process. allocator.c: the host's functions. forks.c: a handler, its lock and count. client.c:
# that libcurl is initialised, once. enum_query.c: that c-ares is. es256.c: the place for a signer at an OpenSSL key. The last are the compiler's.
KEPT="malloc_now calloc_now realloc_now free_now in_use
    count changes once watching
    curl_once curl_ready ares_once ares_ready
    slot
    completed __dso_handle __TMC_END__ __cpu_model __cpu_features2"

# among LIST NAME: is it in the list, as itself or as the checked form of _FORTIFY_SOURCE?
among() {
    plain=${2#__}
    plain=${plain%_chk}
    for one in $1; do
        [ "$one" != "$2" ] && [ "$one" != "$plain" ] || return 0
    done
    return 1
}

# found LIBRARY: what is wrong with it, a line each
found() {
    nm -D --undefined-only "$1" | awk '{ sub(/@.*/, "", $2); print $2 }' >"$work/undefined"
    while read -r name; do
        ! among "$BANNED" "$name" || echo "it uses $name"
        ! among "$PAST" "$name" || echo "it takes memory by $name: add it to --wrap (client/CMakeLists.txt)"
    done <"$work/undefined"
    objdump -t "$1" | awk '$0 ~ / O \.(t?data|t?bss)[ \t]/ { sub(/\.[0-9]+$/, "", $NF); print $NF }' >"$work/kept"
    while read -r name; do
        among "$KEPT" "$name" || echo "it keeps $name, which every client of the process shares"
    done <"$work/kept"
}

# it finds what there is to find
cat >"$work/bad.c" <<'C'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
char *kept;
void bad(const char *text);
void bad(const char *text)
{
    kept = strdup(text);
    if (kept == NULL)
        abort();
    fprintf(stderr, "%s %d\n", kept, printf("%s", text));
}
C
cc -shared -fPIC -O0 "$work/bad.c" -o "$work/bad.so"
for wrong in "uses stderr" "uses abort" "uses fprintf" "uses printf" "memory by strdup" "keeps kept"; do
    found "$work/bad.so" | grep -q "$wrong" || { echo "the check does not find: $wrong"; exit 1; }
done

found "$1" >"$work/wrong"
[ -s "$work/wrong" ] || exit 0
sed "s|^|$1: |" "$work/wrong"
exit 1
