/* sticps npdb info, verify, dump and diff: looking into a portability file. */
#include "client/cli/cli.h"
#include "client/report/report.h"
#include "client/tools/diff.h"
#include "client/tools/dump.h"
#include "client/tools/verify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct cli_option no_options[] = {
    {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
};

/* ---- verify ---- */

static int run_verify(int argc, char **argv)
{
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_npdb_verify, no_options, argc, argv, &rest, 1, 1, &status))
        return status;
    struct sticps_error err = {0};
    struct npdb *npdb = NULL;
    const char *path = rest.items[0];
    enum sticps_err code = npdb_open(path, NPDB_CHECK_ALL, &npdb, &err);
    if (code == STICPS_OK)
        code = verify_file(npdb, &err);
    npdb_close(npdb);
    if (code != STICPS_OK) {
        snprintf(err.where, sizeof(err.where), "%s", path);
        return cli_fail(&err);
    }
    if (cli_json())
        return cli_print_json(json_pack("{s:s, s:s, s:o}", "status", "verified", "code", "OK",
                                        "file", report_text(path)));
    printf("%s: verified\n", path);
    return CLI_OK;
}

const struct cli_command cli_npdb_verify = {
    "npdb verify",
    "FILE",
    "Checks every checksum and every row of a portability file; says what is wrong first.",
    run_verify,
};

/* ---- files of rows ---- */

#define ROWS_BUFFER ((size_t)1 << 20)

/* A file of rows; `path` NULL: nowhere, "-": standard output. */
static bool open_rows(const char *path, FILE **out, struct sticps_error *err)
{
    *out = NULL;
    if (path == NULL)
        return true;
    *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (*out == NULL)
        fail(err, STICPS_ERR_FILE, path, "cannot write: %s", strerror(errno));
    else
        setvbuf(*out, NULL, _IOFBF, ROWS_BUFFER);
    return *out != NULL;
}

/* main looks after standard output. */
static bool close_rows(const char *path, FILE *file, struct sticps_error *err)
{
    if (file == NULL || file == stdout)
        return true;
    bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed)
        return true;
    fail(err, STICPS_ERR_FILE, path, "cannot write: %s", strerror(errno));
    return false;
}

static bool is_stdout(const char *path)
{
    return path != NULL && strcmp(path, "-") == 0;
}

/* Where the figures go when standard output may be taken by rows. */
static FILE *beside_rows(const char *one, const char *other)
{
    return is_stdout(one) || is_stdout(other) ? stderr : stdout;
}

static bool rows_are_clear(const char *one, const char *other, int *status)
{
    if (is_stdout(one) && is_stdout(other))
        *status = cli_usage("only one of the two can be standard output");
    else if (cli_json() && beside_rows(one, other) == stderr)
        *status = cli_usage("standard output is either rows or --json");
    else
        return true;
    return false;
}

/* ---- dump ---- */

static int run_dump(int argc, char **argv)
{
    const char *blocks = NULL, *ports = NULL;
    const struct cli_option options[] = {
        {"blocks", 0, CLI_TEXT, &blocks, "CSV", "where the rows of blocks go", false, 0, 0},
        {"ports", 0, CLI_TEXT, &ports, "CSV", "where the ported numbers go", false, 0, 0},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_npdb_dump, options, argc, argv, &rest, 1, 1, &status))
        return status;
    if (blocks == NULL && ports == NULL)
        return cli_usage("--blocks and --ports are both missing; see sticps npdb dump --help");
    if (!rows_are_clear(blocks, ports, &status))
        return status;

    struct sticps_error err = {0};
    struct npdb *npdb = NULL;
    FILE *to_blocks = NULL, *to_ports = NULL;
    uint64_t blocks_rows = 0, ports_rows = 0;
    bool ok = npdb_open(rest.items[0], NPDB_CHECK_ALL, &npdb, &err) == STICPS_OK &&
              open_rows(blocks, &to_blocks, &err) && open_rows(ports, &to_ports, &err) &&
              dump_rows(npdb, to_blocks, to_ports, &blocks_rows, &ports_rows, &err) == STICPS_OK;
    ok = close_rows(blocks, to_blocks, ok ? &err : NULL) && ok;
    ok = close_rows(ports, to_ports, ok ? &err : NULL) && ok;
    npdb_close(npdb);
    if (!ok)
        return cli_fail(&err);
    if (cli_json())
        return cli_print_json(json_pack("{s:s, s:s, s:I, s:I}", "status", "dumped", "code", "OK",
                                        "blocks", (json_int_t)blocks_rows, "ports",
                                        (json_int_t)ports_rows));
    fprintf(beside_rows(blocks, ports), "%s: %" PRIu64 " blocks, %" PRIu64 " ports\n",
            rest.items[0], blocks_rows, ports_rows);
    return CLI_OK;
}

const struct cli_command cli_npdb_dump = {
    "npdb dump",
    "FILE [--blocks CSV] [--ports CSV]",
    "Writes the rows from which the same portability file can be built; - is standard output.",
    run_dump,
};

/* ---- diff ---- */

/* As of diff(1). */
enum { DIFF_SAME = 0, DIFF_DIFFERENT = 1, DIFF_TROUBLE = 2 };

static int print_diff(const struct diff_counts *counts, FILE *to)
{
    const struct {
        const char *name, *key;
        uint64_t count;
    } figures[] = {
        {"ported in", "portedIn", counts->ported_in},
        {"ported back", "portedBack", counts->ported_back},
        {"moved", "moved", counts->moved},
        {"blocks added", "blocksAdded", counts->blocks_added},
        {"removed", "blocksRemoved", counts->blocks_removed},
        {"changed", "blocksChanged", counts->blocks_changed},
    };
    const size_t len = sizeof(figures) / sizeof(figures[0]);
    uint64_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum += figures[i].count;
    int status = sum == 0 ? DIFF_SAME : DIFF_DIFFERENT;
    if (!cli_json()) {
        for (size_t i = 0; i < len; i++)
            fprintf(to, "%s%" PRIu64 " %s", i > 0 ? ", " : "", figures[i].count, figures[i].name);
        fputc('\n', to);
        return status;
    }
    json_t *root = json_pack("{s:s, s:s}", "status", sum == 0 ? "same" : "different", "code", "OK");
    for (size_t i = 0; i < len; i++)
        json_object_set_new(root, figures[i].key, json_integer((json_int_t)figures[i].count));
    return cli_print_json(root) == CLI_OK ? status : DIFF_TROUBLE;
}

static int run_diff(int argc, char **argv)
{
    const char *changes = NULL, *block_changes = NULL;
    const struct cli_option options[] = {
        {"changes", 0, CLI_TEXT, &changes, "CSV", "where the changes of ported numbers go", false,
         0, 0},
        {"block-changes", 0, CLI_TEXT, &block_changes, "CSV", "where the changes of blocks go",
         false, 0, 0},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_npdb_diff, options, argc, argv, &rest, 2, 2, &status))
        return status == CLI_OK ? CLI_OK : DIFF_TROUBLE;
    if (!rows_are_clear(changes, block_changes, &status))
        return DIFF_TROUBLE;

    struct sticps_error err = {0};
    struct npdb *old = NULL, *new = NULL;
    struct diff_counts counts;
    FILE *to_changes = NULL, *to_blocks = NULL;
    bool ok = npdb_open(rest.items[0], NPDB_CHECK_ALL, &old, &err) == STICPS_OK &&
              npdb_open(rest.items[1], NPDB_CHECK_ALL, &new, &err) == STICPS_OK &&
              open_rows(changes, &to_changes, &err) && open_rows(block_changes, &to_blocks, &err) &&
              diff_rows(old, new, to_changes, to_blocks, &counts, &err) == STICPS_OK;
    ok = close_rows(changes, to_changes, ok ? &err : NULL) && ok;
    ok = close_rows(block_changes, to_blocks, ok ? &err : NULL) && ok;
    npdb_close(old);
    npdb_close(new);
    if (ok)
        return print_diff(&counts, beside_rows(changes, block_changes));
    cli_fail(&err);
    return DIFF_TROUBLE;
}

const struct cli_command cli_npdb_diff = {
    "npdb diff",
    "OLD NEW [--changes CSV] [--block-changes CSV]",
    "Says what has changed, as rows for npdb merge. Exit status 0 same, 1 different, 2 trouble.",
    run_diff,
};
