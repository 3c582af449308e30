#!/bin/sh
# A program of ten lines is built against the installed library, by pkg-config and by CMake, in C and in C++
# with every public header: usage check_consumer.sh BUILD_DIR CMAKE
set -eu
build=$1 cmake=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$cmake" --install "$build" --prefix "$work/prefix" >"$work/install.log" 2>&1 || { cat "$work/install.log"; exit 1; }
libdir=$(dirname "$(find "$work/prefix" -name libsticps.so)")

cat >"$work/main.c" <<'C'
#include <sticps/sticps.h>

#include <stdio.h>

int main(void)
{
    struct sticps_options *options = sticps_options_new();
    struct sticps_client *client = NULL;
    struct sticps_error err;
    if (sticps_client_new(options, &client, &err) != STICPS_OK)
        return 1;
    printf("%s %d\n", sticps_version(), sticps_client_fd(client) >= 0);
    sticps_client_free(client);
    sticps_options_free(options);
    return 0;
}
C
# each header stands alone, in every language that it is for
for header in "$work"/prefix/include/sticps/*.h; do
    name=sticps/$(basename "$header")
    for language in "c -std=c99" "c -std=c11" "c -std=c17" "c++ -std=c++11" "c++ -std=c++17" "c++ -std=c++20"; do
        # shellcheck disable=SC2086
        printf '#include <%s>\n#include <%s>\n' "$name" "$name" |
            cc -fsyntax-only -pedantic-errors -Wall -Wextra -Wshadow -Wconversion -Werror -I"$work/prefix/include" -x $language - || {
            echo "$name does not compile as $language"
            exit 1
        }
    done
done
{
    for header in "$work"/prefix/include/sticps/*.h; do
        echo "#include <sticps/$(basename "$header")>"
    done
    echo 'int main() { return sticps_version() == nullptr; }'
} >"$work/main.cpp"

run() { LD_LIBRARY_PATH="$libdir" "$@"; }

export PKG_CONFIG_PATH="$libdir/pkgconfig"
flags=$(pkg-config --define-variable=prefix="$work/prefix" --define-variable=libdir="$libdir" \
    --define-variable=includedir="$work/prefix/include" --cflags --libs sticps)
# shellcheck disable=SC2086
cc -std=c99 -pedantic-errors -Wall -Wextra -Werror ${SANITIZE:-} "$work/main.c" $flags -o "$work/by-pkg-config"
run "$work/by-pkg-config" | grep -q '^[0-9.]* 1$'
# shellcheck disable=SC2086
c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror ${SANITIZE:-} "$work/main.cpp" $flags -o "$work/in-cpp"
run "$work/in-cpp"

cat >"$work/CMakeLists.txt" <<'CMAKE'
cmake_minimum_required(VERSION 3.25)
project(consumer C)
find_package(sticps 0.1 REQUIRED)
add_executable(consumer main.c)
target_link_libraries(consumer sticps::sticps)
CMAKE
"$cmake" -G Ninja -S "$work" -B "$work/b" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_FLAGS="${SANITIZE:-}" >"$work/cmake.log" 2>&1 &&
    "$cmake" --build "$work/b" >>"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; exit 1; }
run "$work/b/consumer" | grep -q '^[0-9.]* 1$'
[ ! -e "$work/prefix/bin/sticps" ] || run "$work/prefix/bin/sticps" --version
