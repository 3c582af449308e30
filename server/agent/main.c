/* sticps-agent: delivers PASSporTs and resolves numbers for an STI-AS of the same machine. Command
 * line and exit status.
 */
#include "common/error.h"
#include "server/agent/config.h"
#include "server/agent/daemon.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#ifndef STICPS_VERSION
#define STICPS_VERSION "unknown"
#endif

enum { EXIT_DONE = 0, EXIT_USAGE = 1, EXIT_FAILED = 2 };

static const char usage[] =
    "Usage: sticps-agent [-t] [-c FILE]\n"
    "Delivers PASSporTs to CPSs, and resolves numbers, for an STI-AS of this machine.\n"
    "\n"
    "  -c, --config FILE  the configuration (default /etc/sticps/agent.yaml)\n"
    "  -t, --test         check the configuration and the files it names, and exit\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n"
    "\n"
    "Exit status: 0 done, 1 wrong usage or configuration, 2 failed while starting or running.\n";

static int complain(const struct sticps_error *err, int status)
{
    fprintf(stderr, "sticps-agent: %s%s%s\n", err->where, err->where[0] != '\0' ? ": " : "",
            err->text);
    return status;
}

static int serve(const char *path, bool test)
{
    struct sticps_error err = {0};
    struct agent_config *config = NULL;
    if (agent_config_load(path, &config, &err) != STICPS_OK)
        return complain(&err, EXIT_USAGE);
    int status = EXIT_DONE;
    if (daemon_check(config, &err) != STICPS_OK)
        status = complain(&err, EXIT_USAGE);
    else if (test)
        printf("sticps-agent: %s is well formed\n", path);
    if (status != EXIT_DONE || test) {
        agent_config_free(config);
        return status;
    }
    return daemon_run(path, config, &err) == STICPS_OK ? EXIT_DONE : complain(&err, EXIT_FAILED);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"test", no_argument, NULL, 't'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *path = "/etc/sticps/agent.yaml";
    bool test = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:thV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            path = optarg;
            break;
        case 't':
            test = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        case 'V':
            puts("sticps-agent " STICPS_VERSION);
            return EXIT_DONE;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return serve(path, test);
}
