/* sticps list recover: the way back after somebody published a huge sequence. Shows what is held
 * and what the source offers, and accepts it when the operator says so. */
#include "client/cli/client_options.h"
#include "client/client.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void print_row(const char *what, int64_t sequence, size_t entries, const char *verb,
                      int64_t when, const char *source)
{
    char time[21];
    clock_format(when, time);
    fprintf(stderr, "%-8s sequence %" PRId64 ", %zu entries, %s %s, %s\n", what, sequence, entries,
            verb, time, source);
}

/* What is held, and the offer beside it. */
static void show(struct sticps_client *client, const struct sticps_list *offered, int64_t floor)
{
    struct sticps_list *held = sticps_list_held(client, sticps_list_kind(offered));
    if (held != NULL)
        print_row("held", sticps_list_sequence(held), sticps_list_count(held), "fetched",
                  sticps_list_fetched_at(held), sticps_list_source(held));
    else
        fprintf(stderr, "%-8s no list\n", "held");
    sticps_list_unref(held);
    fprintf(stderr, "%-8s lists below sequence %" PRId64 " are refused\n", "floor", floor);
    print_row("offered", sticps_list_sequence(offered), sticps_list_count(offered), "valid until",
              sticps_list_exp(offered), sticps_list_source(offered));
    fprintf(stderr, "%-8s SHA-256 %s\n", "", sticps_list_sha256(offered));
}

/* On a terminal; anything but "yes" is no. */
static enum sticps_err ask(int64_t sequence, struct sticps_error *err)
{
    char answer[16] = "";
    if (cli_json() || !isatty(STDIN_FILENO))
        return fail(err, STICPS_ERR_USAGE, "--yes",
                    "nothing is changed: run it on a terminal, or with --yes once the STI-PA has "
                    "confirmed this sequence by another way than the list");
    fprintf(stderr,
            "Has the STI-PA confirmed sequence %" PRId64 " by another way than the list?\n"
            "Type yes to accept it and to forget every list at and above it: ",
            sequence);
    if (fgets(answer, sizeof(answer), stdin) != NULL && strcmp(answer, "yes\n") == 0)
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, NULL, "nothing is changed");
}

static int print_result(const struct sticps_list *list, int64_t floor)
{
    int64_t sequence = sticps_list_sequence(list);
    if (cli_json())
        return cli_print_json(
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "status", "recovered",
                      "code", "OK", "previous", (json_int_t)floor, "floor", (json_int_t)sequence,
                      "sequence", (json_int_t)sequence, "entries",
                      (json_int_t)sticps_list_count(list), "exp", (json_int_t)sticps_list_exp(list),
                      "sha256", sticps_list_sha256(list), "source", sticps_list_source(list)));
    printf("recovered: sequence %" PRId64 " is held; the floor is %" PRId64 ", it was %" PRId64
           "\n",
           sequence, sequence, floor);
    return CLI_OK;
}

static enum sticps_err recover(struct sticps_client *client, const struct client_options *o,
                               bool yes, struct sticps_list **offered, int64_t *floor,
                               struct sticps_error *err)
{
    enum sticps_list_kind kind;
    enum sticps_err code = client_list_kind(o, &kind, err);
    if (code == STICPS_OK)
        code = sticps_list_load(client, kind, err);
    if (code == STICPS_OK || code == STICPS_ERR_NO_LIST)
        code = sticps_list_offer_wait(client, kind, offered, err);
    if (code != STICPS_OK)
        return code;
    code = lists_may_recover(client->lists, *offered, floor, err);
    show(client, *offered, *floor);
    if (code == STICPS_OK && !yes)
        code = ask(sticps_list_sequence(*offered), err);
    if (code == STICPS_OK)
        code = sticps_list_recover(client, *offered, floor, err);
    return code;
}

static int run(int argc, char **argv)
{
    struct client_options o = {.log = client_warn_of_source};
    bool yes = false;
    const struct cli_option options[] = {
        OPTION_LIST(&o),
        OPTION_ANCHOR(&o),
        OPTION_STATE(&o),
        OPTION_KIND(&o),
        {"yes", 0, CLI_FLAG, &yes, NULL, "accept what is offered without asking", false, 0, 0},
        OPTION_CRL(&o),
        OPTION_TLS_CA(&o),
        OPTION_LAB(&o),
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_list_recover, options, argc, argv, &rest, 0, 0, &status))
        return status;
    if (o.list_urls.len + o.list_files.len == 0)
        return cli_usage("--url or --file is missing; see sticps list recover --help");

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_list *offered = NULL;
    int64_t floor = 0;
    enum sticps_err code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = recover(client, &o, yes, &offered, &floor, &err);
    status = code == STICPS_OK ? print_result(offered, floor) : cli_fail(&err);
    sticps_list_unref(offered);
    sticps_client_free(client);
    return status;
}

const struct cli_command cli_list_recover = {
    "list recover",
    "--url URL --anchor PEM... --state DIR [--yes] [options]",
    "The way back after a fast-forward: somebody who could sign published a huge sequence, and\n"
    "what the STI-PA goes on with is refused as ROLLBACK. Shows what is held and what is offered\n"
    "now, by all rules but the floor; accepts it when it is confirmed, and records that in\n"
    "audit.log of DIR. Exit status: 0 accepted, 1 not confirmed, 2 refused, 3 unreachable.",
    run,
};
