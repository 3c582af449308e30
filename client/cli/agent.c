/* sticps agent: the daemon, which is a program of its own (sticps-agent), started in this one's
 * place. */
#include "client/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PROGRAM "sticps-agent"

/* Beside this program, as in the folder where both were built. False when that is not to be known.
 */
static bool beside(char *out, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", out, size);
    char *slash = len > 0 ? memrchr(out, '/', (size_t)len) : NULL;
    if (slash == NULL || (size_t)(slash + 1 - out) + sizeof(PROGRAM) > size)
        return false;
    memcpy(slash + 1, PROGRAM, sizeof(PROGRAM));
    return true;
}

static int run(int argc, char **argv)
{
    static char name[] = PROGRAM;
    char path[4096];
    (void)argc;
    argv[0] = name;
    if (beside(path, sizeof(path)))
        execv(path, argv);
    execv(STICPS_SBINDIR "/" PROGRAM, argv);
    return cli_usage("%s/%s cannot be started: %s", STICPS_SBINDIR, PROGRAM, strerror(errno));
}

const struct cli_command cli_agent = {
    "agent",
    "[-t] [-c FILE] [SETTING...]",
    "Delivers and resolves for an STI-AS of this machine, by HTTP; see sticps-agent(8).",
    run,
};
