#include "client/checker/confine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char secret[] = "/tmp/sticps-test-confine-XXXXXX";

static bool can_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* In the child: the number of what is wrong, 0 for nothing. `held` was opened before. */
static int look(int held)
{
    bool files_open = true;
    struct rlimit limit;
    if (!can_read(secret) || confine(&files_open, NULL) != STICPS_OK)
        return 1;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return 2;
    if (getuid() == 0 || geteuid() == 0 || getgid() == 0 || setuid(0) == 0)
        return 3;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, has) != 0 || has[0].permitted != 0 || has[0].effective != 0 ||
        has[1].permitted != 0)
        return 11;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_max != 0)
        return 4;
    if (getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_max != 0)
        return 5;
    /* what DNS and TLS need */
    if (!can_read("/etc/hosts") || !can_read("/etc/nsswitch.conf") || !can_read("/usr/bin/env"))
        return 6;
    if (files_open)
        return 77; /* this kernel has no Landlock: the rest cannot be seen */
    if (can_read(secret) || can_read("/etc/passwd") || can_read("/proc/self/environ"))
        return 7;
    if (open("/tmp/sticps-test-confine-new", O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0 ||
        errno != EACCES)
        return 8;
    char byte;
    if (pread(held, &byte, 1, 0) != 1) /* what is open stays open */
        return 9;
    execl("/usr/bin/env", "env", NULL);
    return errno == EACCES ? 0 : 10;
}

static void test_confine(void **state)
{
    (void)state;
    int held = mkstemp(secret), status;
    assert_true(held >= 0);
    assert_int_equal(write(held, "key", 3), 3);
    assert_int_equal(fchmod(held, 0644), 0); /* readable to whoever the child becomes */
    pid_t child = fork();
    if (child == 0)
        _exit(look(held));
    assert_int_equal(waitpid(child, &status, 0), child);
    unlink(secret);
    close(held);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_confine)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
