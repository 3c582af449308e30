/* sticps-agent: delivers PASSporTs and resolves numbers for an STI-AS of the same machine. Command
 * line and exit status. */
#include "common/error.h"
#include "server/agent/config.h"
#include "server/agent/daemon.h"
#include "server/agent/flags.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#ifndef STICPS_VERSION
#define STICPS_VERSION "unknown"
#endif

#define DEFAULT_PATH "/etc/sticps/agent.yaml"

enum { EXIT_DONE = 0, EXIT_USAGE = 1, EXIT_FAILED = 2 };

static const char usage[] =
    "Usage: sticps-agent [-t] [-c FILE] [SETTING...]\n"
    "Delivers PASSporTs to CPSs, and resolves numbers, for an STI-AS of this machine.\n"
    "\n"
    "  -c, --config FILE  the configuration (default " DEFAULT_PATH ", without SETTINGs)\n"
    "  -t, --test         check the configuration and the files it names, and exit\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n"
    "\n"
    "SETTINGs are laid over the file, or stand in its place; those with * may be repeated:\n"
    "  --listen ADDRESS*  unix:/PATH, or a loopback address with its port\n"
    "  --url URL*         of the list              --file FILE*       a copy of it\n"
    "  --anchor PEM*      who may sign it          --state DIR        folder of the held list\n"
    "  --period S         between two refreshes    --max-lifetime S   exp at most S ahead\n"
    "  --grace S          serve an expired list    --x5u-host HOST*   of its certificate\n"
    "  --allow-port N*    of CPS URLs, beside 443  --crl FILE         --crl-signer PEM\n"
    "  --npdb FILE*       portability file         --override CSV     codes to use for others\n"
    "  --deadline MS      of a delivery            --tls-ca PEM*      further roots for TLS\n"
    "  --sti-key PEM      signs request tokens     --sti-spc SPC      --sti-x5u URL\n"
    "  --lab              open loopback and private addresses: never for real calls\n"
    "\n"
    "Exit status: 0 done, 1 wrong usage or configuration, 2 failed while starting or running.\n";

static int complain(const struct sticps_error *err, int status)
{
    fprintf(stderr, "sticps-agent: %s%s%s\n", err->where, err->where[0] != '\0' ? ": " : "",
            err->text);
    return status;
}

static int serve(const char *path, const struct agent_flags *flags, bool test)
{
    struct sticps_error err = {0};
    struct agent_config *config = NULL;
    if (agent_config_load(path, flags, &config, &err) != STICPS_OK)
        return complain(&err, EXIT_USAGE);
    int status = EXIT_DONE;
    if (daemon_check(config, &err) != STICPS_OK)
        status = complain(&err, EXIT_USAGE);
    else if (test)
        printf("sticps-agent: %s is well formed\n", path != NULL ? path : "the command line");
    if (status != EXIT_DONE || test) {
        agent_config_free(config);
        return status;
    }
    return daemon_run(path, flags, config, &err) == STICPS_OK ? EXIT_DONE
                                                              : complain(&err, EXIT_FAILED);
}

int main(int argc, char **argv)
{
    static const struct option own[] = {{"config", required_argument, NULL, 'c'},
                                        {"test", no_argument, NULL, 't'},
                                        {"help", no_argument, NULL, 'h'},
                                        {"version", no_argument, NULL, 'V'}};
    static struct agent_flags flags;
    struct option options[AGENT_MAX_OPTIONS];
    const char *path = NULL;
    bool test = false;
    int option;
    agent_flags_options(own, sizeof(own) / sizeof(*own), options);
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
            if (agent_flags_note(&flags, option, optarg))
                break;
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (path == NULL && flags.len == 0)
        path = DEFAULT_PATH;
    return serve(path, &flags, test);
}
