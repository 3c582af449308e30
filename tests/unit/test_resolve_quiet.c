/* sticps_resolve neither locks, allocates nor calls the kernel: counted. tests/CMakeLists.txt links
 * this with --wrap, so that every allocation and lock of the library comes through here; and a
 * process that the kernel ends at its next system call (seccomp's strict mode) resolves on. */
#include "sticps/sticps.h"

#include "client/npdb_build.h"
#include "tests/unit/held_list.h"

#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMES 1000

static size_t counted; /* by the one thread that there is */

#define COUNTED(type, name, parameters, arguments) \
    type __real_##name parameters;                 \
    type __wrap_##name parameters;                 \
    type __wrap_##name parameters                  \
    {                                              \
        counted++;                                 \
        return __real_##name arguments;            \
    }

COUNTED(void *, malloc, (size_t size), (size))
COUNTED(void *, calloc, (size_t count, size_t size), (count, size))
COUNTED(void *, realloc, (void *p, size_t size), (p, size))
COUNTED(char *, strdup, (const char *s), (s))
COUNTED(char *, strndup, (const char *s, size_t len), (s, len))
COUNTED(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
COUNTED(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
COUNTED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
COUNTED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
COUNTED(int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock))

static char dir[64];
static struct sticps_client *client;

/* Ported with an owner that the list has not, by block with an override and a URL, unknown, and no
 * number at all. */
static const struct {
    const char *number;
    enum sticps_err code;
} rows[] = {
    {"2025550123", STICPS_OK},
    {"+1 (202) 555-0124", STICPS_OK},
    {"2025550125", STICPS_ERR_CARRIER_HAS_NO_CPS},
    {"+442071838750", STICPS_ERR_NO_CARRIER},
    {"12x", STICPS_ERR_NOT_A_NUMBER},
};

static void write_file(char path[128], const char *name, const char *text)
{
    snprintf(path, 128, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    (void)state;
    char blocks[128], ports[128], overrides[128], npdb[128];
    const char *blocks_path = blocks, *ports_path = ports, *npdb_path = npdb;
    const struct cps_entry entries[] = {{{"1234"}, "https://one.example.com/cps"},
                                        {{"5678"}, "https://two.example.com/cps"}};
    strcpy(dir, "/tmp/sticps-test-quiet-XXXXXX");
    assert_non_null(mkdtemp(dir));
    EVP_PKEY *key = pki_p256();
    hold_list(dir, key, entries, 2, 7, INT64_C(4102444800));
    EVP_PKEY_free(key);
    write_file(blocks, "blocks.csv", "202-555,1234\n303-555,5678\n404-555,NONE\n");
    write_file(ports, "ports.csv", "12025550124,3035550000\n12025550125,4045550000\n");
    write_file(overrides, "overrides.csv", "1234,5678\n");
    snprintf(npdb, sizeof(npdb), "%s/numbers.npdb", dir);
    const struct npdb_build_options build = {.blocks = &blocks_path,
                                             .blocks_len = 1,
                                             .ports = &ports_path,
                                             .ports_len = 1,
                                             .output = npdb};
    assert_int_equal(npdb_build(&build, NULL, NULL), STICPS_OK);
    struct sticps_options *options = sticps_options_new();
    assert_int_equal(sticps_options_set_state_dir(options, dir, NULL), STICPS_OK);
    assert_int_equal(sticps_options_set_override_file(options, overrides, NULL), STICPS_OK);
    assert_int_equal(sticps_client_new(options, &client, NULL), STICPS_OK);
    sticps_options_free(options);
    assert_int_equal(sticps_client_set_npdb(client, &npdb_path, 1, NULL), STICPS_OK);
    assert_int_equal(sticps_list_load(client, STICPS_LIST_CPS, NULL), STICPS_OK);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    sticps_client_free(client);
    snprintf(command, sizeof(command), "rm -r '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

/* How many came out as they should. With an error too, whose text is more work. */
static unsigned resolve_all(struct sticps_answer *answer)
{
    struct sticps_error err;
    unsigned right = 0;
    for (unsigned i = 0; i < TIMES; i++) {
        size_t row = i % (sizeof(rows) / sizeof(rows[0]));
        right += sticps_resolve(client, rows[row].number, answer, i % 2 == 0 ? &err : NULL) ==
                 rows[row].code;
    }
    return right;
}

static void test_no_allocation_and_no_lock(void **state)
{
    (void)state;
    counted = 0;
    struct sticps_answer *answer = sticps_answer_new();
    assert_int_equal(counted, 1); /* it does count */
    assert_int_equal(resolve_all(answer), TIMES);
    assert_int_equal(counted, 1);
    sticps_answer_free(answer);
}

/* In a child, which writes how many came out right and is ended by anything but read, write and
 * exit. `loud`: it makes one call more, to show that it would be. */
static void resolve_in_strict_mode(int out, struct sticps_answer *answer, bool loud)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        syscall(SYS_exit, 2);
    unsigned right = resolve_all(answer);
    if (loud)
        syscall(SYS_getppid);
    ssize_t written = write(out, &right, sizeof(right));
    syscall(SYS_exit, written == (ssize_t)sizeof(right) ? 0 : 1);
}

static int run_child(bool loud, unsigned *right)
{
    int fds[2], status = 0;
    struct sticps_answer *answer = sticps_answer_new();
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0)
        resolve_in_strict_mode(fds[1], answer, loud);
    assert_true(pid > 0);
    close(fds[1]);
    if (read(fds[0], right, sizeof(*right)) != (ssize_t)sizeof(*right))
        *right = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    sticps_answer_free(answer);
    return status;
}

static void test_no_system_call(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    print_message("skipped: a sanitizer makes system calls of its own\n");
    skip();
#endif
    unsigned right;
    int status = run_child(false, &right);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
        print_message("skipped: this kernel has no seccomp\n");
        skip();
    }
    assert_int_equal(status, 0);
    assert_int_equal(right, TIMES);
    status = run_child(true, &right);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(right, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_allocation_and_no_lock),
        cmocka_unit_test(test_no_system_call),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
