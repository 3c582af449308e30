#include "client/checker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY 65534
#define MAX_FILES 512 /* sockets, and what a resolver thread opens, for each check */

static enum sticps_err refuse(struct sticps_error *err, const char *what)
{
    return fail(err, STICPS_ERR_STATE, NULL, "the checker cannot be confined: %s: %s", what,
                strerror(errno));
}

static enum sticps_err become_nobody(struct sticps_error *err)
{
    if (geteuid() != 0)
        return STICPS_OK;
    if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
        setresuid(NOBODY, NOBODY, NOBODY) != 0)
        return refuse(err, "root's rights");
    return STICPS_OK;
}

/* A service manager may have given the daemon some, to listen on port 443. */
static enum sticps_err drop_capabilities(struct sticps_error *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capset, &header, none) != 0)
        return refuse(err, "capabilities");
    return STICPS_OK;
}

static enum sticps_err set_limits(struct sticps_error *err)
{
    const struct rlimit none = {0, 0}, files = {MAX_FILES, MAX_FILES};

    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &none) != 0 ||
        setrlimit(RLIMIT_NOFILE, &files) != 0)
        return refuse(err, "limits");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return refuse(err, "privileges");
    return STICPS_OK;
}

/* ---- files: Landlock, of which glibc 2.36 has no functions ---- */

/* What may be read. Of /etc the single files of the resolver and the TLS roots: the daemon's own
 * folder is there too. A file that is replaced later is a new file and closed; the registry starts
 * a new checker every few minutes. */
static const char *const readable[] = {
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/resolv.conf",
    "/etc/protocols",
    "/etc/nsswitch.conf",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/dev/urandom",
    "/dev/null",
};

static bool allow(int ruleset, const char *path)
{
    /* O_PATH follows links, so that /etc/resolv.conf means what it points to */
    struct landlock_path_beneath_attr rule = {.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE |
                                                                LANDLOCK_ACCESS_FS_READ_DIR,
                                              .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    bool ok;

    if (rule.parent_fd < 0)
        return true; /* not there: nothing to allow */
    ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    if (!ok && errno == EINVAL) { /* a single file has no directory to list */
        rule.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE;
        ok = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    }
    close(rule.parent_fd);
    return ok;
}

/* All rights on files that the first version of Landlock knows; each later version knows these. */
#define ALL_OF_VERSION_1 ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1)

static enum sticps_err close_files(bool *files_open, struct sticps_error *err)
{
    const struct landlock_ruleset_attr attr = {.handled_access_fs = ALL_OF_VERSION_1};
    int ruleset =
        (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);

    *files_open = ruleset < 0;
    if (ruleset < 0) /* not in this kernel, not enabled, or not allowed by a sandbox around us */
        return STICPS_OK;
    bool ok = true;
    for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]) && ok; i++)
        ok = allow(ruleset, readable[i]);
    ok = ok && syscall(SYS_landlock_restrict_self, ruleset, 0) == 0;
    close(ruleset);
    return ok ? STICPS_OK : refuse(err, "Landlock");
}

enum sticps_err confine(bool *files_open, struct sticps_error *err)
{
    enum sticps_err rc = become_nobody(err);

    if (rc == STICPS_OK)
        rc = drop_capabilities(err);
    if (rc == STICPS_OK)
        rc = set_limits(err);
    return rc == STICPS_OK ? close_files(files_open, err) : rc;
}
