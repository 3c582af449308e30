/* The sticps command: each step of the library by hand. */
#include "client/cli/cli.h"
#include "sticps/sticps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct cli_command *const commands[] = {
    &cli_list_fetch,    &cli_list_show,        &cli_list_reset,      &cli_list_recover,
    &cli_npdb_build,    &cli_npdb_lookup,      &cli_npdb_info,       &cli_npdb_verify,
    &cli_npdb_dump,     &cli_npdb_diff,        &cli_npdb_merge,      &cli_resolve,
    &cli_passport_sign, &cli_passport_inspect, &cli_passport_verify, &cli_deliver,
    &cli_retrieve,      &cli_provision_get,    &cli_provision_put,   &cli_provision_delete,
    &cli_agent,         &cli_doctor,
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *to)
{
    fputs("usage: sticps COMMAND ...\n\n", to);
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(to, "  sticps %s %s\n", commands[i]->name, commands[i]->arguments);
    fputs("\nsticps COMMAND --help says more; every command takes --json.\n"
          "Exit status: 0 done, 1 usage or local trouble, 2 refused, 3 unreachable, 4 no answer.\n",
          to);
}

/* How many words of the line are the command's name; 0 when they are not. */
static int words_of(const struct cli_command *command, int argc, char **argv)
{
    const char *space = strchr(command->name, ' ');
    size_t first = space != NULL ? (size_t)(space - command->name) : strlen(command->name);
    if (argc < 2 || strlen(argv[1]) != first || strncmp(argv[1], command->name, first) != 0)
        return 0;
    if (space == NULL)
        return 1;
    return argc > 2 && strcmp(argv[2], space + 1) == 0 ? 2 : 0;
}

static int run(int argc, char **argv)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        int words = words_of(commands[i], argc, argv);
        if (words > 0)
            return commands[i]->run(argc - words, argv + words);
    }
    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)) {
        printf("sticps %s\n", sticps_version());
        return CLI_OK;
    }
    if (argc > 1 && (strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0 ||
                     strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return CLI_OK;
    }
    cli_look_for_json(argc, argv);
    if (cli_json())
        return cli_usage("no such command; see sticps --help");
    print_usage(stderr);
    return CLI_USAGE;
}

/* What was printed may still be in the buffer, and a full disk says so only now: a PASSporT that
 * was retrieved is nowhere else any more. */
int main(int argc, char **argv)
{
    int status = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    fprintf(stderr, "sticps: FILE: standard output cannot be written: %s\n", strerror(errno));
    return CLI_USAGE;
}
