#include "server/registry/checker_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

struct checker_process {
    pid_t pid;
    int fd;
};

/* Beside this program, and nowhere else. The caller frees *out. */
static enum sticps_err find_program(char **out, struct sticps_error *err)
{
    char self[4096], *path = NULL;
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (len <= 0)
        return fail(err, STICPS_ERR_FILE, "/proc/self/exe", "/proc is not mounted: %s",
                    strerror(errno));
    self[len] = '\0';
    if (asprintf(&path, "%.*s/" CPS_CHECK_PROGRAM, (int)(strrchr(self, '/') - self), self) < 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (access(path, X_OK) != 0) {
        fail(err, STICPS_ERR_FILE, path, "%s: %s; it belongs beside sticps-registryd", path,
             strerror(errno));
        free(path);
        return STICPS_ERR_FILE;
    }
    *out = path;
    return STICPS_OK;
}

enum sticps_err checker_program_check(struct sticps_error *err)
{
    char *path = NULL;
    enum sticps_err rc = find_program(&path, err);

    free(path);
    return rc;
}

/* ---- starting ---- */

/* Standard error stays: it is the log. */
static int prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes, int channel)
{
    sigset_t none, all;

    sigemptyset(&none);
    sigfillset(&all);
    int rc = posix_spawn_file_actions_adddup2(files, channel, STDIN_FILENO);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (rc == 0) /* an HSM's module may have opened what is not closed by exec */
        rc = posix_spawn_file_actions_addclosefrom_np(files, STDERR_FILENO + 1);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask(attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault(attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                      POSIX_SPAWN_SETSID);
    return rc;
}

static int spawn(const struct checker_program *program, const char *path, int channel, pid_t *pid)
{
    char *argv[5] = {CPS_CHECK_PROGRAM};
    /* not ours: a password or a library may be named in it */
    char *environment[] = {"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    size_t len = 1;

    if (program->lab)
        argv[len++] = "--lab";
    if (program->tls_ca != NULL) {
        argv[len++] = "--tls-ca";
        argv[len++] = (char *)program->tls_ca;
    }
    if (posix_spawn_file_actions_init(&files) != 0)
        return ENOMEM;
    posix_spawnattr_init(&attributes);
    int rc = prepare(&files, &attributes, channel);
    if (rc == 0)
        rc = posix_spawn(pid, path, &files, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return rc;
}

static enum sticps_err start(const struct checker_program *program, const char *path,
                             struct checker_process *process, struct sticps_error *err)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return fail(err, STICPS_ERR_STATE, NULL, "no socket pair: %s", strerror(errno));
    int why = spawn(program, path, pair[1], &process->pid);
    close(pair[1]);
    process->fd = pair[0];
    if (why == 0)
        return STICPS_OK;
    close(process->fd);
    return fail(err, STICPS_ERR_FILE, path, "%s: %s", path, strerror(why));
}

enum sticps_err checker_process_start(const struct checker_program *program,
                                      struct checker_process **out, struct sticps_error *err)
{
    struct checker_process *process = calloc(1, sizeof(*process));
    char *path = NULL;
    enum sticps_err rc = process == NULL ? fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory")
                                         : find_program(&path, err);

    if (rc == STICPS_OK)
        rc = start(program, path, process, err);
    free(path);
    if (rc != STICPS_OK) {
        free(process);
        return rc;
    }
    *out = process;
    return STICPS_OK;
}

void checker_process_stop(struct checker_process *process, char how[CHECKER_HOW])
{
    int status = 0;

    close(process->fd);
    /* It has nothing to save. One that has ended, or is about to, keeps the status of that. */
    kill(process->pid, SIGKILL);
    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (how != NULL)
        snprintf(how, CHECKER_HOW, WIFSIGNALED(status) ? "by signal %d" : "with status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    free(process);
}

/* ---- talking ---- */

int checker_process_fd(const struct checker_process *process)
{
    return process->fd;
}

bool checker_process_send(struct checker_process *process, const struct cps_check_order *order)
{
    return send(process->fd, order, sizeof(*order), MSG_DONTWAIT | MSG_NOSIGNAL) ==
           (ssize_t)sizeof(*order);
}

enum checker_receipt checker_process_receive(struct checker_process *process,
                                             struct cps_check_report *out)
{
    struct cps_check_report report;
    ssize_t len = recv(process->fd, &report, sizeof(report), MSG_DONTWAIT | MSG_TRUNC);

    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return CHECKER_NOTHING_YET;
    if (len != (ssize_t)sizeof(report))
        return CHECKER_GONE;
    report.detail[sizeof(report.detail) - 1] = '\0';
    for (char *c = report.detail; *c != '\0'; c++)
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    *out = report;
    return CHECKER_REPORT;
}
