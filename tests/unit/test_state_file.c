/* Files of the state directory: what is no whole file of ours is not read, and what cannot be
 * written whole leaves the old one as it was. That all is synced: tests/attack/test_list_crash.py.
 */
#include "client/state_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h> /* after ours: it has a macro fail() */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64], path[96], temp[96];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/sticps-test-state-XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(path, sizeof(path), "%s/file", dir);
    snprintf(temp, sizeof(temp), "%s/file.tmp", dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    rmdir(path);
    unlink(temp);
    rmdir(temp);
    return rmdir(dir);
}

static enum sticps_err write_text(const char *text)
{
    return state_file_write(dir, path, temp, text, strlen(text), STATE_FILE_DURABLE, NULL);
}

static enum sticps_err read_text(size_t max, char **text)
{
    size_t len = 0;
    struct sticps_error err = {0};
    *text = NULL;
    enum sticps_err code = state_file_read(path, max, text, &len, &err);
    if (code != STICPS_OK)
        assert_string_equal(err.where, path);
    else if (*text != NULL)
        assert_int_equal(strlen(*text), len);
    return code;
}

static void a_file_is_read_and_replaced(void **state)
{
    (void)state;
    static const char *const texts[] = {"one", "", "three"};
    char *text;
    assert_int_equal(read_text(9, &text), STICPS_OK);
    assert_null(text); /* there is none */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(write_text(texts[i]), STICPS_OK);
        assert_int_equal(access(temp, F_OK), -1);
        assert_int_equal(read_text(5, &text), STICPS_OK);
        assert_string_equal(text, texts[i]);
        free(text);
    }
}

static void what_is_no_file_of_ours_is_not_read(void **state)
{
    (void)state;
    char *text;
    assert_int_equal(write_text("12345"), STICPS_OK);
    assert_int_equal(read_text(4, &text), STICPS_ERR_STATE);
    assert_null(text);
    assert_int_equal(rename(path, temp), 0);
    assert_int_equal(symlink(temp, path), 0);
    assert_int_equal(read_text(9, &text), STICPS_ERR_STATE);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_text(1 << 20, &text), STICPS_ERR_STATE);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_text(9, &text), STICPS_ERR_STATE);
}

/* The size that a process may write stands for a disk that is full. */
static void what_cannot_be_written_leaves_the_old_file(void **state)
{
    (void)state;
    char *text;
    struct rlimit kept, small;
    struct sticps_error err = {0};
    assert_int_equal(write_text("old"), STICPS_OK);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &kept), 0);
    small = kept;
    small.rlim_cur = 2;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum sticps_err code = state_file_write(dir, path, temp, "newer", 5, STATE_FILE_DURABLE, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &kept), 0);
    assert_int_equal(code, STICPS_ERR_FILE);
    assert_int_equal(err.code, STICPS_ERR_FILE);
    assert_int_equal(access(temp, F_OK), -1);
    assert_int_equal(read_text(9, &text), STICPS_OK);
    assert_string_equal(text, "old");
    free(text);

    assert_int_equal(mkdir(temp, 0700), 0); /* where the new one is to be made */
    assert_int_equal(write_text("newer"), STICPS_ERR_FILE);
    assert_int_equal(rmdir(temp), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0); /* where it is to go */
    assert_int_equal(write_text("newer"), STICPS_ERR_FILE);
    assert_int_equal(access(temp, F_OK), -1);
}

static void a_folder_that_is_gone_cannot_be_synced(void **state)
{
    (void)state;
    struct sticps_error err = {0};
    assert_int_equal(state_file_sync_dir(dir, &err), STICPS_OK);
    assert_int_equal(state_file_sync_dir(path, &err), STICPS_ERR_FILE);
    assert_string_equal(err.where, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_and_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_file_of_ours_is_not_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_written_leaves_the_old_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_cannot_be_synced, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
