/* sticps npdb build and npdb merge: the portability file from CSV. */
#include "client/cli/cli.h"
#include "client/cli/npdb_progress.h"
#include "client/report/report.h"
#include "sticps/npdb.h"

#include <inttypes.h>
#include <stdio.h>

static void on_fault(const char *file, uint64_t line, const char *what, void *arg)
{
    npdb_progress_clear(arg);
    if (line > 0)
        fprintf(stderr, "sticps: %s:%" PRIu64 ": %s\n", file, line, what);
    else
        fprintf(stderr, "sticps: %s\n", what);
}

typedef enum sticps_err add_fn(struct sticps_npdb_build *, const char *, struct sticps_error *);

static enum sticps_err add_all(struct sticps_npdb_build *build, const struct cli_texts *files,
                               add_fn *add, struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; i < files->len && code == STICPS_OK; i++)
        code = add(build, files->items[i], err);
    return code;
}

/* What is said about the CSV, in the order of enum sticps_npdb_build_option. */
#define BUILD_OPTIONS (STICPS_NPDB_SPC_MAP + 1)

static enum sticps_err set_all(struct sticps_npdb_build *build,
                               const char *const values[BUILD_OPTIONS], struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < BUILD_OPTIONS && code == STICPS_OK; i++)
        if (values[i] != NULL)
            code = sticps_npdb_build_set(build, i, values[i], err);
    return code;
}

static int print_build(const struct sticps_npdb_build *build, const char *output, bool is_merge)
{
    static const struct {
        const char *name;
        enum sticps_npdb_figure which;
    } figures[] = {
        {"bytes", STICPS_NPDB_BYTES},
        {"blocks", STICPS_NPDB_BLOCKS},
        {"ports", STICPS_NPDB_PORTS},
        {"spcs", STICPS_NPDB_SPCS},
        {"lrns", STICPS_NPDB_LRNS},
        {"lrnsWithoutOwner", STICPS_NPDB_LRNS_WITHOUT_OWNER},
        {"duplicates", STICPS_NPDB_DUPLICATES},
        {"overridden", STICPS_NPDB_OVERRIDDEN},
        {"superseded", STICPS_NPDB_SUPERSEDED},
        {"ended", STICPS_NPDB_ENDED},
        {"future", STICPS_NPDB_FUTURE},
        {"skipped", STICPS_NPDB_SKIPPED},
        {"portedIn", STICPS_NPDB_PORTED_IN}, /* and what follows: only a merge has them */
        {"moved", STICPS_NPDB_MOVED},
        {"portedBack", STICPS_NPDB_PORTED_BACK},
        {"blocksChanged", STICPS_NPDB_BLOCKS_CHANGED},
        {"unchanged", STICPS_NPDB_UNCHANGED},
    };
    const size_t all = sizeof(figures) / sizeof(figures[0]), count = is_merge ? all : all - 5;
    json_t *root = json_pack("{s:s, s:s, s:o}", "status", is_merge ? "merged" : "built", "code",
                             "OK", "file", report_text(output));
    for (size_t i = 0; i < count; i++) {
        uint64_t value = sticps_npdb_build_figure(build, figures[i].which);
        if (json_object_set_new(root, figures[i].name, json_integer((json_int_t)value)) != 0) {
            json_decref(root);
            return cli_print_json(NULL);
        }
    }
    if (cli_json())
        return cli_print_json(root);
    printf("%s:", output);
    for (size_t i = 0; i < count; i++)
        printf("%s %" PRIu64 " %s", i > 0 ? "," : "",
               sticps_npdb_build_figure(build, figures[i].which), figures[i].name);
    printf("\n");
    json_decref(root);
    return CLI_OK;
}

/* What build and merge have in common: merge has an older file, of which the rows are changes. */
static int run(const struct cli_command *command, bool is_merge, int argc, char **argv)
{
    struct cli_texts blocks = {.len = 0}, ports = {.len = 0}, rest;
    const char *output = NULL, *said[BUILD_OPTIONS] = {NULL};
    bool last_wins = false;
    int64_t sequence = 0, threads = 0, max_faults = 0;
    const struct cli_option options[] = {
        {is_merge ? "block-changes" : "blocks", 0, CLI_TEXTS, &blocks, "CSV",
         is_merge ? "PREFIX,SPC, or delete for the SPC: its row goes"
                  : "PREFIX,SPC: who owns a block",
         false, 0, 0},
        {is_merge ? "changes" : "ports", 0, CLI_TEXTS, &ports, "CSV",
         is_merge ? "TN,LRN or TN,SPC, or - for a number ported back"
                  : "TN,LRN or TN,SPC: ported numbers",
         false, 0, 0},
        {"blocks-columns", 0, CLI_TEXT, &said[STICPS_NPDB_BLOCKS_COLUMNS], "LIST",
         "prefix, npa, nxx, block, spc, spid, status, date=COLUMN", false, 0, 0},
        {"ports-columns", 0, CLI_TEXT, &said[STICPS_NPDB_PORTS_COLUMNS], "LIST",
         "tn, lrn, spc, spid, status, date=COLUMN: a name, a position, or -", false, 0, 0},
        {"separator", 0, CLI_TEXT, &said[STICPS_NPDB_SEPARATOR], "NAME",
         "comma, semicolon, tab or bar; else found by looking", false, 0, 0},
        {"date-order", 0, CLI_TEXT, &said[STICPS_NPDB_DATE_ORDER], "ORDER",
         "ymd, mdy or dmy; else where only one is possible", false, 0, 0},
        {"as-of", 0, CLI_TEXT, &said[STICPS_NPDB_AS_OF], "DATE",
         "rows effective later do not count; else today, UTC", false, 0, 0},
        {"skip-status", 0, CLI_TEXT, &said[STICPS_NPDB_SKIP_STATUSES], "LIST",
         "leave rows with these out; else X, cancelled", false, 0, 0},
        {"end-status", 0, CLI_TEXT, &said[STICPS_NPDB_END_STATUSES], "LIST",
         "out of service from their date on; else D", false, 0, 0},
        {"spid-map", 0, CLI_TEXT, &said[STICPS_NPDB_SPID_MAP], "CSV", "SPID,OCN", false, 0, 0},
        {"ocn-map", 0, CLI_TEXT, &said[STICPS_NPDB_SPC_MAP], "CSV",
         "OCN,OCN: put in place of another, last", false, 0, 0},
        {"output", 'o', CLI_TEXT, &output, "FILE", "the file to write", true, 0, 0},
        {"last-wins", 0, CLI_FLAG, &last_wins, NULL, "the later of two contradictory rows counts",
         false, 0, 0},
        {"max-faults", 0, CLI_INTEGER, &max_faults, "N", "stop after N wrong rows (all are read)",
         false, 1, INT64_MAX},
        {"sequence", 0, CLI_INTEGER, &sequence, "N",
         is_merge ? "a number for the header of the file (one more than OLD has)"
                  : "a number for the header of the file (0)",
         false, is_merge, INT64_MAX},
        {"threads", 0, CLI_INTEGER, &threads, "N",
         "how many work (one for each processor, 8 at most)", false, 1, 8},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
    };
    int status;
    if (!cli_parse(command, options, argc, argv, &rest, is_merge, is_merge, &status))
        return status;
    if (blocks.len + ports.len == 0)
        return cli_usage("--%s and --%s are both missing; see sticps %s --help", options[0].name,
                         options[1].name, command->name);

    struct sticps_error err = {0};
    struct npdb_progress progress = {.shown = false};
    struct sticps_npdb_build *build = NULL;
    enum sticps_err code = sticps_npdb_build_new(&build, &err);
    if (code == STICPS_OK && is_merge)
        code = sticps_npdb_build_set_base(build, rest.items[0], &err);
    if (code == STICPS_OK)
        code = add_all(build, &blocks, sticps_npdb_build_add_blocks, &err);
    if (code == STICPS_OK)
        code = add_all(build, &ports, sticps_npdb_build_add_ports, &err);
    if (code == STICPS_OK)
        code = set_all(build, said, &err);
    if (code == STICPS_OK) {
        sticps_npdb_build_set_last_wins(build, last_wins);
        sticps_npdb_build_set_fault_limit(build, (uint64_t)max_faults);
        sticps_npdb_build_set_sequence(build, (uint64_t)sequence);
        sticps_npdb_build_set_threads(build, (unsigned)threads);
        npdb_progress_start(&progress);
        sticps_npdb_build_on_fault(build, on_fault, &progress);
        sticps_npdb_build_on_progress(build, npdb_progress_on, &progress);
        code = sticps_npdb_build_run(build, output, &err);
    }
    npdb_progress_clear(&progress);
    status = code == STICPS_OK ? print_build(build, output, is_merge) : cli_fail(&err);
    sticps_npdb_build_free(build);
    return status;
}

static int run_build(int argc, char **argv)
{
    return run(&cli_npdb_build, false, argc, argv);
}

const struct cli_command cli_npdb_build = {
    "npdb build",
    "--blocks CSV... --ports CSV... -o FILE",
    "Builds the portability file from CSV and puts it in place at once.",
    run_build,
};

static int run_merge(int argc, char **argv)
{
    return run(&cli_npdb_merge, true, argc, argv);
}

const struct cli_command cli_npdb_merge = {
    "npdb merge",
    "OLD --changes CSV... --block-changes CSV... -o NEW",
    "Builds the portability file that OLD becomes by changes; NEW may be OLD.",
    run_merge,
};
