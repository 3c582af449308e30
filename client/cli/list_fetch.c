/* sticps list fetch: ask the network once, under the nine rules, and keep what is accepted. */
#include "client/cli/client_options.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>

static int print_result(const struct sticps_list *list, enum sticps_list_status status,
                        int64_t previous)
{
    char exp[21], fetched[21];
    int64_t sequence = sticps_list_sequence(list);
    int64_t missed = previous > 0 && sequence > previous ? sequence - previous - 1 : 0;
    const char *word = status == STICPS_LIST_TAKEN ? "taken" : "current";
    clock_format(sticps_list_exp(list), exp);
    clock_format(sticps_list_fetched_at(list), fetched);
    if (cli_json())
        return cli_print_json(
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s}", "status", word, "code",
                      "OK", "sequence", (json_int_t)sequence, "previous", (json_int_t)previous,
                      "missed", (json_int_t)missed, "entries", (json_int_t)sticps_list_count(list),
                      "exp", (json_int_t)sticps_list_exp(list), "sha256", sticps_list_sha256(list),
                      "source", sticps_list_source(list), "fetchedAt", fetched));
    printf("%s: sequence %" PRId64 ", %zu entries, valid until %s", word, sequence,
           sticps_list_count(list), exp);
    if (missed > 0)
        printf(", %" PRId64 " between it and %" PRId64 " never seen", missed, previous);
    printf("\n");
    return CLI_OK;
}

static int run(int argc, char **argv)
{
    struct client_options o = {0};
    const char *url = NULL;
    const struct cli_option options[] = {
        {"url", 0, CLI_TEXT, &url, "URL", "of the list, either form", true, 0, 0},
        {"anchor", 0, CLI_TEXTS, &o.anchors, "PEM", "STI-PA certificate to trust", true, 0, 0},
        OPTION_STATE(&o),
        OPTION_KIND(&o),
        {"x5u-host", 0, CLI_TEXTS, &o.x5u_hosts, "HOST", "where its certificate may be", false, 0,
         0},
        {"max-lifetime", 0, CLI_INTEGER, &o.max_lifetime, "S", "exp at most S ahead (604800)",
         false, 1, 315360000},
        {"allow-port", 0, CLI_TEXTS, &o.ports, "N", "port for CPS URLs besides 443", false, 0, 0},
        {"accept-shrink", 0, CLI_FLAG, &o.accept_shrink, NULL, "many entries may be gone", false, 0,
         0},
        {"timeout", 0, CLI_INTEGER, &o.timeout_s, "S", "total, with the certificate (30)", false, 1,
         3600},
        OPTION_CRL(&o),
        OPTION_TLS_CA(&o),
        OPTION_LAB(&o),
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_list_fetch, options, argc, argv, &rest, 0, 0, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_list *list = NULL;
    enum sticps_list_kind kind;
    enum sticps_list_status what;
    int64_t previous = 0;
    enum sticps_err code = client_list_kind(&o, &kind, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_fetch_wait(client, kind, url, &list, &what, &previous, &err);
    status = code == STICPS_OK ? print_result(list, what, previous) : cli_fail(&err);
    sticps_list_unref(list);
    sticps_client_free(client);
    return status;
}

const struct cli_command cli_list_fetch = {
    "list fetch",
    "--url URL --anchor PEM... --state DIR [options]",
    "Fetches the signed list, checks it, and keeps it when it is to be trusted and not older\n"
    "than the one held. Exit status: 0 taken or current, 1 usage, 2 refused, 3 unreachable.",
    run,
};
