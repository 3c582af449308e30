/* server/http/unix_socket: what stands at a path is replaced only when it is a socket that nobody
 * listens on. */
#include "server/http/unix_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char folder[] = "/tmp/sticps-test-socket-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof(path), "%s/s", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static bool connects(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(address.sun_path, path, strlen(path) + 1);
    int connected = connect(fd, (struct sockaddr *)&address, sizeof(address));
    close(fd);
    return connected == 0;
}

static int listen_at(mode_t mode, struct unix_socket *made)
{
    struct sticps_error err = {0};
    int fd = -1;
    if (unix_socket_listen(path, mode, NULL, &fd, made, &err) != STICPS_OK)
        fail_msg("%s: %s", err.where, err.text);
    return fd;
}

static void refused(const char *at, const char *group, enum sticps_err code, const char *word)
{
    struct sticps_error err = {0};
    struct unix_socket made = {NULL, 0, 0};
    int fd = -1;
    assert_int_equal(unix_socket_listen(at, 0, group, &fd, &made, &err), code);
    assert_int_equal(fd, -1);
    assert_null(made.path);
    if (strstr(err.text, word) == NULL)
        fail_msg("%s", err.text);
}

static void test_listens_with_its_mode_and_goes(void **state)
{
    struct unix_socket made;
    struct stat st;
    const mode_t modes[] = {0, 0600, 0666};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        int fd = listen_at(modes[i], &made);
        assert_true(connects());
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, i == 0 ? 0660 : modes[i]);
        unix_socket_remove(&made);
        assert_int_equal(stat(path, &st), -1);
        close(fd);
    }
    unix_socket_remove(&made); /* twice is once */
}

static void test_a_dead_one_is_replaced(void **state)
{
    struct unix_socket first, second;
    (void)state;
    close(listen_at(0, &first));
    assert_false(connects());
    int fd = listen_at(0, &second);
    assert_true(connects());
    unix_socket_remove(&first); /* the name is another's now */
    assert_true(connects());
    unix_socket_remove(&second);
    close(fd);
}

static void test_a_living_one_is_left_alone(void **state)
{
    struct unix_socket made;
    (void)state;
    int fd = listen_at(0, &made);
    refused(path, NULL, STICPS_ERR_USAGE, "another process listens there");
    assert_true(connects());
    unix_socket_remove(&made);
    close(fd);
}

static void test_what_is_no_socket_is_left_alone(void **state)
{
    struct stat st;
    (void)state;
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    refused(path, NULL, STICPS_ERR_USAGE, "no socket");
    assert_int_equal(stat(path, &st), 0);
    unlink(path);
    assert_int_equal(symlink("/dev/null", path), 0);
    refused(path, NULL, STICPS_ERR_USAGE, "no socket");
    unlink(path);
}

static void test_paths_and_groups_that_cannot_be(void **state)
{
    char longest[200];
    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    longest[sizeof(longest) - 1] = '\0';
    refused(longest, NULL, STICPS_ERR_USAGE, "too long");
    longest[97] = '\0';
    refused(longest, NULL, STICPS_ERR_USAGE, "at most 96 bytes");
    refused("relative", NULL, STICPS_ERR_USAGE, "absolute");
    refused("/nonexistent/s", NULL, STICPS_ERR_FILE, "cannot be made");
    refused(path, "no-such-group", STICPS_ERR_USAGE, "no such group");
}

static void test_the_group_is_set(void **state)
{
    struct group *mine = getgrgid(getgid());
    struct unix_socket made;
    struct stat st;
    int fd = -1;
    (void)state;
    if (mine == NULL)
        skip();
    assert_int_equal(unix_socket_listen(path, 0, mine->gr_name, &fd, &made, NULL), STICPS_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_gid, getgid());
    unix_socket_remove(&made);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listens_with_its_mode_and_goes),
        cmocka_unit_test(test_a_dead_one_is_replaced),
        cmocka_unit_test(test_a_living_one_is_left_alone),
        cmocka_unit_test(test_what_is_no_socket_is_left_alone),
        cmocka_unit_test(test_paths_and_groups_that_cannot_be),
        cmocka_unit_test(test_the_group_is_set),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
