/* sticps list fetch: ask the network once, under the nine rules, and keep what is accepted. */
#include "client/cli/client_options.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>

/* The sources that were refused or out of reach, while another may have satisfied. */
struct failures {
    json_t *list; /* NULL: out of memory */
};

static void on_event(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                     const char *where, const char *text)
{
    struct failures *failures = ctx;
    client_warn_of_source(NULL, level, event, code, where, text);
    if (event != STICPS_EVENT_SOURCE)
        return;
    json_t *one = json_pack("{s:s, s:s, s:s}", "source", where, "code", sticps_err_name(code),
                            "detail", text);
    if (failures->list != NULL && json_array_append_new(failures->list, one) != 0) {
        json_decref(failures->list);
        failures->list = NULL;
    }
}

static json_t *result_json(const struct sticps_list *list, const char *word, int64_t previous,
                           int64_t missed, const struct failures *failures)
{
    char fetched[21];
    clock_format(sticps_list_fetched_at(list), fetched);
    json_t *result = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "status", word, "code", "OK",
        "sequence", (json_int_t)sticps_list_sequence(list), "previous", (json_int_t)previous,
        "missed", (json_int_t)missed, "entries", (json_int_t)sticps_list_count(list), "exp",
        (json_int_t)sticps_list_exp(list), "sha256", sticps_list_sha256(list), "source",
        sticps_list_source(list), "fetchedAt", fetched);
    if (json_object_set(result, "failed", failures->list) == 0)
        return result;
    json_decref(result);
    return NULL;
}

static int print_result(const struct sticps_list *list, enum sticps_list_status status,
                        int64_t previous, const struct failures *failures)
{
    char exp[21];
    int64_t sequence = sticps_list_sequence(list);
    int64_t missed = previous > 0 && sequence > previous ? sequence - previous - 1 : 0;
    const char *word = status == STICPS_LIST_TAKEN ? "taken" : "current";
    if (cli_json())
        return cli_print_json(result_json(list, word, previous, missed, failures));
    clock_format(sticps_list_exp(list), exp);
    printf("%s: sequence %" PRId64 ", %zu entries, valid until %s", word, sequence,
           sticps_list_count(list), exp);
    if (missed > 0)
        printf(", %" PRId64 " between it and %" PRId64 " never seen", missed, previous);
    printf("\n");
    return CLI_OK;
}

static int fetch(const struct client_options *o, struct failures *failures)
{
    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_list *list = NULL;
    enum sticps_list_kind kind;
    enum sticps_list_status what;
    int64_t previous = 0;
    enum sticps_err code = client_list_kind(o, &kind, &err);
    if (code == STICPS_OK)
        code = client_from_options(o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_refresh_wait(client, kind, &list, &what, &previous, &err);
    int status = code == STICPS_OK ? print_result(list, what, previous, failures) : cli_fail(&err);
    sticps_list_unref(list);
    sticps_client_free(client);
    return status;
}

static int run(int argc, char **argv)
{
    struct failures failures = {json_array()};
    struct client_options o = {.log = on_event, .log_ctx = &failures};
    const struct cli_option options[] = {
        OPTION_LIST(&o), OPTION_ANCHOR(&o), OPTION_STATE(&o), OPTION_KIND(&o),
        OPTION_CRL(&o),  OPTION_TLS_CA(&o), OPTION_LAB(&o),   OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (cli_parse(&cli_list_fetch, options, argc, argv, &rest, 0, 0, &status))
        status = o.list_urls.len + o.list_files.len > 0
                     ? fetch(&o, &failures)
                     : cli_usage("--url or --file is missing; see sticps list fetch --help");
    json_decref(failures.list);
    return status;
}

const struct cli_command cli_list_fetch = {
    "list fetch",
    "--url URL... [--file FILE...] --anchor PEM... --state DIR [options]",
    "Fetches the signed list, checks it, and keeps it when it is to be trusted and not older\n"
    "than the one held. Every URL is asked, a file only when no URL gave an acceptable list.\n"
    "Exit status: 0 taken or current, 1 usage, 2 refused, 3 unreachable.",
    run,
};
