/* Files that are there whole or not at all. */
#include "server/registry/static_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    char path[64];
    int root;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    assert_non_null(place);
    snprintf(place->path, sizeof(place->path), "/tmp/static_file.XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->root = open(place->path, O_RDONLY | O_DIRECTORY);
    assert_true(place->root >= 0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    char command[128];

    close(place->root);
    snprintf(command, sizeof(command), "rm -r %s", place->path);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void assert_content(const struct place *place, const char *path, const char *content)
{
    char data[64] = "";
    int fd = openat(place->root, path, O_RDONLY);

    assert_true(fd >= 0);
    assert_int_equal(read(fd, data, sizeof(data) - 1), strlen(content));
    assert_string_equal(data, content);
    close(fd);
}

static void a_file_replaces_the_one_before(void **state)
{
    const struct place *place = *state;
    struct sticps_error err;
    struct stat info;

    umask(0077);
    for (int i = 0; i < 2; i++) {
        const char *content = i == 0 ? "first" : "2";

        assert_int_equal(
            static_file_write(place->root, "a/b/file", content, strlen(content), 1000 + i, &err),
            STICPS_OK);
        assert_content(place, "a/b/file", content);
    }
    assert_int_equal(fstatat(place->root, "a/b/file", &info, 0), 0);
    assert_int_equal(info.st_mtime, 1001);
    assert_int_equal(info.st_mode & 07777, 0644);
    assert_int_equal(fstatat(place->root, "a/b", &info, 0), 0);
    assert_int_equal(info.st_mode & 07777, 0755);
    assert_true(static_file_exists(place->root, "a/b/file"));
    assert_false(static_file_exists(place->root, "a/b"));
    assert_false(static_file_exists(place->root, "a/b/.file.new"));
}

static void what_is_prepared_is_not_there_yet(void **state)
{
    const struct place *place = *state;
    struct static_file file = {.folder = -1};
    struct sticps_error err;

    static_file_abort(&file);
    assert_int_equal(static_file_write(place->root, "name", "old", 3, 1, &err), STICPS_OK);
    assert_int_equal(static_file_prepare(place->root, "name", "new", 3, 1, &file, &err), STICPS_OK);
    assert_content(place, "name", "old");
    static_file_abort(&file);
    assert_int_equal(file.folder, -1);
    assert_content(place, "name", "old");
    assert_false(static_file_exists(place->root, ".name.new"));
    assert_int_equal(static_file_prepare(place->root, "name", "new", 3, 1, &file, &err), STICPS_OK);
    assert_int_equal(static_file_commit(&file, &err), STICPS_OK);
    assert_content(place, "name", "new");
    static_file_abort(&file);
    assert_content(place, "name", "new");
}

static void removing_what_is_not_there_is_no_error(void **state)
{
    const struct place *place = *state;
    struct sticps_error err;

    assert_int_equal(static_file_write(place->root, "a/x", "", 0, 1, &err), STICPS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(static_file_remove(place->root, "a/x", &err), STICPS_OK);
        assert_false(static_file_exists(place->root, "a/x"));
    }
}

static void what_cannot_be_written_leaves_nothing(void **state)
{
    const struct place *place = *state;
    static const char *const paths[] = {
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901",
        "file/below",
        "link/below",
        "/absolute",
        "a//b",
        "folder",
        "0123456789012345678901234567890123456789012345678901234567890123456789012345678901/x"};
    struct sticps_error err;

    assert_int_equal(static_file_write(place->root, "file", "1", 1, 1, &err), STICPS_OK);
    assert_int_equal(symlinkat("/tmp", place->root, "link"), 0);
    assert_int_equal(mkdirat(place->root, "folder", 0755), 0);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        err = (struct sticps_error){0};
        assert_int_equal(static_file_write(place->root, paths[i], "2", 1, 1, &err),
                         STICPS_ERR_FILE);
        assert_non_null(strstr(err.text, "cannot be written"));
    }
    assert_content(place, "file", "1");
    assert_false(static_file_exists(place->root, ".folder.new"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_replaces_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_prepared_is_not_there_yet, setup, teardown),
        cmocka_unit_test_setup_teardown(removing_what_is_not_there_is_no_error, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_leaves_nothing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
