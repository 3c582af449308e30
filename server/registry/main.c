/* sticps-registryd: the STI-PA's registry of CPS URLs. Command line and exit status. */
#include "common/signed_list.h"
#include "server/registry/audit_verify.h"
#include "server/registry/ca_directory.h"
#include "server/registry/config.h"
#include "server/registry/crl_file.h"
#include "server/registry/daemon.h"
#include "server/registry/exporter.h"
#include "server/registry/init.h"
#include "server/registry/publish_command.h"
#include "server/registry/sequence_command.h"
#include "server/registry/witness.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef STICPS_VERSION
#define STICPS_VERSION "unknown"
#endif

enum { EXIT_DONE = 0, EXIT_USAGE = 1, EXIT_FAILED = 2, EXIT_HELD = 3 };

static const char usage[] =
    "Usage: sticps-registryd [-t] [-c FILE]\n"
    "       sticps-registryd init [-c FILE] [--pa-user NAME]\n"
    "       sticps-registryd audit verify [-c FILE]\n"
    "       sticps-registryd publish [-c FILE] [--dry-run [--json] | --confirm NAME]\n"
    "       sticps-registryd sequence raise --to N [--list cps-list|ca-list] [-c FILE]\n"
    "Keeps who owns which SPC and its CPS URL, and publishes the signed list of them.\n"
    "\n"
    "  init               make or update the schema, and the first PA administrator, whose "
    "one-time\n"
    "                     password is printed; safe to run again\n"
    "  audit verify       read the whole history, and name the first row that was changed\n"
    "  publish            have the list published now\n"
    "      --dry-run      show instead what the next lists would change; with --json for programs\n"
    "      --confirm NAME publish although entries are lost: NAME is what the brake calls that "
    "loss\n"
    "  sequence raise     pass over the numbers up to --to N, because the publications that had\n"
    "                     them are lost; of the cps-list unless --list says ca-list\n"
    "  -c, --config FILE  the configuration (default /etc/sticps/registryd.yaml)\n"
    "  -t, --test         check the configuration and the files that it names, and exit\n"
    "      --pa-user NAME the first administrator's user id (default pa-admin)\n"
    "  -h, --help         this text\n"
    "  -V, --version      the version\n"
    "\n"
    "Exit status: 0 done, 1 wrong usage or configuration, 2 failed while starting or running,\n"
    "or the history does not hold, 3 the brake would hold (--dry-run).\n";

struct arguments {
    const char *config;
    const char *pa_user;
    bool test, init, verify, publish, raise;
    struct publish_options publication;
    int64_t raise_to; /* 0: not given */
    const char *list; /* NULL: not given */
};

static int complain(const struct sticps_error *err, int status)
{
    bool named = err->where[0] == '\0' || strstr(err->text, err->where) != NULL;

    fprintf(stderr, "sticps-registryd: %s%s%s\n", named ? "" : err->where, named ? "" : ": ",
            err->text);
    return status;
}

static bool is_user_id(const char *text)
{
    static const char letters[] =
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._@-";
    size_t len = strlen(text);

    return len >= 1 && len <= 64 && strspn(text, letters) == len && strchr("._@-", text[0]) == NULL;
}

static enum sticps_err check_cas(const struct config *config, struct sticps_error *err)
{
    struct ca_set *cas = NULL;
    enum sticps_err rc = STICPS_OK;

    if (config->ca_list.directory != NULL)
        rc = ca_directory_read(config->ca_list.directory, &cas, err);
    ca_set_free(cas);
    return rc;
}

static int run_publish(const struct arguments *arguments, const struct config *config)
{
    struct sticps_error err = {0};
    bool held = false;

    if (publish_command(config, &arguments->publication, &held, &err) != STICPS_OK)
        return complain(&err, EXIT_FAILED);
    return held ? EXIT_HELD : EXIT_DONE;
}

/* LIST_KINDS for what is none. */
static enum list_kind kind_of(const char *name)
{
    enum list_kind kind = LIST_CPS;

    while (kind < LIST_KINDS && name != NULL && strcmp(name, list_kind_name(kind)) != 0)
        kind++;
    return kind;
}

/* A sequence that leaves room for the next one. */
static bool read_sequence(const char *text, int64_t *out)
{
    long long number = strtoll(text, NULL, 10); /* LLONG_MAX when it is too large */
    bool good = text[0] != '\0' && strspn(text, "0123456789") == strlen(text) && number >= 1 &&
                number < SIGNED_LIST_MAX_SEQUENCE;

    if (good)
        *out = number;
    else
        fputs("sticps-registryd: --to must be a sequence number, from 1 to 2^53-2\n", stderr);
    return good;
}

static bool read_list(const char *text, const char **out)
{
    bool good = kind_of(text) != LIST_KINDS;

    *out = text;
    if (!good)
        fputs("sticps-registryd: --list must be cps-list or ca-list\n", stderr);
    return good;
}

static int run(const struct arguments *arguments, const struct config *config)
{
    struct sticps_error err = {0};

    if (arguments->init)
        return init_run(config, arguments->pa_user, &err) == STICPS_OK
                   ? EXIT_DONE
                   : complain(&err, EXIT_FAILED);
    if (arguments->verify)
        return audit_verify_run(config, &err) == STICPS_OK ? EXIT_DONE
                                                           : complain(&err, EXIT_FAILED);
    if (arguments->publish)
        return run_publish(arguments, config);
    if (arguments->raise)
        return sequence_raise(config, kind_of(arguments->list), arguments->raise_to, &err) ==
                       STICPS_OK
                   ? EXIT_DONE
                   : complain(&err, EXIT_FAILED);
    if (daemon_check(config, &err) != STICPS_OK)
        return complain(&err, EXIT_USAGE);
    if (arguments->test) {
        /* a start goes on without these: the lists are worth more */
        if (check_cas(config, &err) != STICPS_OK || witness_check(config, &err) != STICPS_OK ||
            (config->crl != NULL &&
             crl_file_check(config->crl, clock_now(&clock_system), &err) != STICPS_OK) ||
            (config->export != NULL && exporter_check(config, &err) != STICPS_OK))
            return complain(&err, EXIT_USAGE);
        printf("sticps-registryd: %s and the files that it names are in order\n",
               arguments->config);
        return EXIT_DONE;
    }
    return daemon_run(arguments->config, config, &err) == STICPS_OK ? EXIT_DONE
                                                                    : complain(&err, EXIT_FAILED);
}

/* The command after the options, with what belongs to it: false for anything else. */
static bool parse_command(int argc, char **argv, bool user_given, struct arguments *out)
{
    const struct publish_options *publication = &out->publication;

    if (optind < argc && strcmp(argv[optind], "init") == 0) {
        out->init = true;
        optind++;
    } else if (optind < argc && strcmp(argv[optind], "publish") == 0) {
        out->publish = true;
        optind++;
    } else if (optind + 1 < argc && strcmp(argv[optind], "audit") == 0 &&
               strcmp(argv[optind + 1], "verify") == 0) {
        out->verify = true;
        optind += 2;
    } else if (optind + 1 < argc && strcmp(argv[optind], "sequence") == 0 &&
               strcmp(argv[optind + 1], "raise") == 0) {
        out->raise = true;
        optind += 2;
    }
    if (optind < argc || ((out->init || out->verify || out->publish || out->raise) && out->test))
        return false;
    if (out->raise != (out->raise_to != 0) || (out->list != NULL && !out->raise))
        return false;
    if ((publication->dry_run || publication->confirm != NULL) && !out->publish)
        return false;
    return (!user_given || out->init) && (!publication->json || publication->dry_run) &&
           (!publication->dry_run || publication->confirm == NULL);
}

/* -1 to go on, else the exit status. */
static int parse(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"test", no_argument, NULL, 't'},
                                            {"pa-user", required_argument, NULL, 'u'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"dry-run", no_argument, NULL, 'd'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"confirm", required_argument, NULL, 'y'},
                                            {"to", required_argument, NULL, 'n'},
                                            {"list", required_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    bool user_given = false;
    int option;

    while ((option = getopt_long(argc, argv, "c:thV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            out->config = optarg;
            break;
        case 't':
            out->test = true;
            break;
        case 'u':
            out->pa_user = optarg;
            user_given = true;
            break;
        case 'd':
            out->publication.dry_run = true;
            break;
        case 'j':
            out->publication.json = true;
            break;
        case 'y':
            out->publication.confirm = optarg;
            break;
        case 'n':
            if (!read_sequence(optarg, &out->raise_to))
                return EXIT_USAGE;
            break;
        case 'l':
            if (!read_list(optarg, &out->list))
                return EXIT_USAGE;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_DONE;
        case 'V':
            puts("sticps-registryd " STICPS_VERSION);
            return EXIT_DONE;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (!parse_command(argc, argv, user_given, out)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    if (!is_user_id(out->pa_user)) {
        fputs("sticps-registryd: --pa-user must be 1 to 64 letters, digits, '.', '_', '@' and '-', "
              "beginning with a letter or digit\n",
              stderr);
        return EXIT_USAGE;
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.config = "/etc/sticps/registryd.yaml", .pa_user = "pa-admin"};
    struct sticps_error err = {0};
    struct config *config = NULL;
    int status = parse(argc, argv, &arguments);

    if (status >= 0)
        return status;
    if (config_load(arguments.config, &config, &err) != STICPS_OK)
        return complain(&err, EXIT_USAGE);
    status = run(&arguments, config);
    config_free(config);
    if (fflush(stdout) != 0 && status == EXIT_DONE)
        status = EXIT_FAILED; /* the password was not seen by anybody */
    return status;
}
