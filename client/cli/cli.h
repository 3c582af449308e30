/* What the commands of `sticps` share: options from a table, errors, exit codes, small output
 * helpers. Each command is one file with one function, listed in main.c. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "common/error.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cli_exit {
    CLI_OK = 0,
    CLI_USAGE = 1,       /* the call, a local file, or this machine */
    CLI_REFUSED = 2,     /* what came was refused, or the peer refused */
    CLI_UNREACHABLE = 3, /* nothing whole came */
    CLI_NO_ANSWER = 4,   /* there is no such list, carrier, CPS or PASSporT */
};

/* ---- options ---- */

#define CLI_MAX_TEXTS 256

struct cli_texts {
    const char *items[CLI_MAX_TEXTS];
    size_t len;
};

enum cli_type {
    CLI_FLAG,    /* bool */
    CLI_TEXT,    /* const char * */
    CLI_TEXTS,   /* struct cli_texts, repeatable */
    CLI_INTEGER, /* int64_t between min and max */
};

/* One option of a command. A table ends with an entry without name. */
struct cli_option {
    const char *name;
    char letter; /* or 0 */
    enum cli_type type;
    void *to;
    const char *argument; /* how the help names the value */
    const char *help;
    bool required;
    int64_t min, max;
};

/* --help and --json belong to every command. */
struct cli_command {
    const char *name; /* e.g. "list fetch" */
    const char *arguments;
    const char *summary;
    int (*run)(int argc, char **argv);
};

/* Reads the options of argv[1…], which may stand before, between and after the other arguments;
 * those are left in *rest. Returns false when the command ends here, with *status set: a usage
 * error, or help. */
bool cli_parse(const struct cli_command *command, const struct cli_option *options, int argc,
               char **argv, struct cli_texts *rest, size_t min_rest, size_t max_rest, int *status);

/* Was --json given? */
bool cli_json(void);

/* Looks for it before anything else is read, so that an error in the line itself is printed as
 * asked. */
void cli_look_for_json(int argc, char **argv);

/* ---- results ---- */

/* Prints an error and returns the exit code that stands for it. */
int cli_fail(const struct sticps_error *err);
int cli_usage(const char *format, ...) STICPS_PRINTF(1, 2);
enum cli_exit cli_exit_code(enum sticps_err code);

/* Prints one JSON value on a line of its own and frees it. `value` NULL is out of memory. Returns
 * CLI_OK or CLI_USAGE. */
int cli_print_json(json_t *value);

/* {"status":"error","code":…,"where":…,"detail":…}; NULL when out of memory. */
json_t *cli_error_json(const struct sticps_error *err);

/* ---- input ---- */

/* Reads a file, or standard input for "-", of `max` bytes at most; white space around it is cut
 * off. The caller frees *out. */
enum sticps_err cli_read(const char *path, size_t max, char **out, size_t *len,
                         struct sticps_error *err) STICPS_MUST_CHECK;

/* The commands that go to no network take any x5u; this warns of one that only a lab accepts. */
void cli_warn_of_lab_x5u(const char *x5u, bool lab);

/* ---- the commands ---- */

extern const struct cli_command cli_list_fetch, cli_list_show, cli_list_reset, cli_list_recover;
extern const struct cli_command cli_npdb_build, cli_npdb_lookup, cli_npdb_info, cli_npdb_verify;
extern const struct cli_command cli_npdb_dump, cli_npdb_diff, cli_npdb_merge;
extern const struct cli_command cli_resolve, cli_deliver, cli_retrieve;
extern const struct cli_command cli_provision_get, cli_provision_put, cli_provision_delete;
extern const struct cli_command cli_agent;
extern const struct cli_command cli_doctor;
extern const struct cli_command cli_passport_sign, cli_passport_inspect, cli_passport_verify;

#endif
