/* sticps list show and list reset: what is held, and lowering the floor. */
#include "client/cli/client_options.h"

#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static json_t *entries_json(const struct sticps_list *list)
{
    bool cps = sticps_list_kind(list) == STICPS_LIST_CPS;
    json_t *entries = cps ? json_object() : json_array();
    for (size_t i = 0; i < sticps_list_count(list); i++) {
        json_t *value = json_string(sticps_list_value(list, i));
        int failed = cps ? json_object_set_new(entries, sticps_list_key(list, i), value)
                         : json_array_append_new(entries, value);
        if (failed != 0) {
            json_decref(entries);
            return NULL;
        }
    }
    return entries;
}

static int print_list_json(const struct sticps_list *list, bool expired)
{
    char fetched[21];
    clock_format(sticps_list_fetched_at(list), fetched);
    json_t *entries = entries_json(list);
    return cli_print_json(json_pack(
        "{s:I, s:I, s:b, s:I, s:s, s:s, s:s, s:o}", "sequence",
        (json_int_t)sticps_list_sequence(list), "exp", (json_int_t)sticps_list_exp(list), "expired",
        expired, "entries", (json_int_t)sticps_list_count(list), "sha256", sticps_list_sha256(list),
        "source", sticps_list_source(list), "fetchedAt", fetched,
        sticps_list_kind(list) == STICPS_LIST_CPS ? "cpsMapping" : "trustList", entries));
}

/* A certificate of the trustList may have any text around it. */
static void print_value(const char *value)
{
    for (; *value != '\0'; value++)
        putchar((*value >= 0x20 && *value <= 0x7e) || *value == '\n' ? *value : '?');
    putchar('\n');
}

static int print_list(const struct sticps_list *list)
{
    bool expired = sticps_list_exp(list) <= (int64_t)time(NULL);
    if (cli_json())
        return print_list_json(list, expired);
    char exp[21], fetched[21];
    clock_format(sticps_list_exp(list), exp);
    clock_format(sticps_list_fetched_at(list), fetched);
    printf("sequence  %" PRId64 "\n", sticps_list_sequence(list));
    printf("exp       %s%s\n", exp, expired ? "  EXPIRED" : "");
    printf("entries   %zu\n", sticps_list_count(list));
    printf("sha256    %s\n", sticps_list_sha256(list));
    printf("source    %s\n", sticps_list_source(list));
    printf("fetched   %s\n", fetched);
    for (size_t i = 0; i < sticps_list_count(list); i++) {
        printf("%s ", sticps_list_key(list, i));
        print_value(sticps_list_value(list, i));
    }
    return CLI_OK;
}

static int run_show(int argc, char **argv)
{
    struct client_options o = {0};
    const struct cli_option options[] = {OPTION_STATE(&o), OPTION_KIND(&o), OPTION_END};
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_list_show, options, argc, argv, &rest, 0, 0, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_list *list = NULL;
    enum sticps_list_kind kind;
    enum sticps_err code = client_list_kind(&o, &kind, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_load(client, kind, &err);
    if (code == STICPS_OK)
        list = sticps_list_held(client, kind);
    status = list != NULL ? print_list(list) : cli_fail(&err);
    sticps_list_unref(list);
    sticps_client_free(client);
    return status;
}

const struct cli_command cli_list_show = {
    "list show",
    "--state DIR [--kind cps|ca]",
    "Prints the held list. Exit status: 0, 1 when the state is damaged, 4 when there is none.",
    run_show,
};

static int print_reset(int64_t before, int64_t to, bool dropped)
{
    if (cli_json())
        return cli_print_json(json_pack("{s:s, s:s, s:I, s:I, s:b}", "status", "reset", "code",
                                        "OK", "previous", (json_int_t)before, "floor",
                                        (json_int_t)to, "dropped", dropped));
    printf("the floor is now %" PRId64 ", it was %" PRId64 "; %s\n", to, before,
           dropped ? "the held list was above it and is dropped" : "a list that is held stays");
    return CLI_OK;
}

static int run_reset(int argc, char **argv)
{
    struct client_options o = {0};
    int64_t to = -1, before = 0;
    bool dropped = false;
    const struct cli_option options[] = {
        OPTION_STATE(&o),
        OPTION_KIND(&o),
        {"to", 0, CLI_INTEGER, &to, "N", "lowest sequence to accept from now on", true, 0,
         9007199254740991},
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_list_reset, options, argc, argv, &rest, 0, 0, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    enum sticps_list_kind kind;
    enum sticps_err code = client_list_kind(&o, &kind, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_reset(client, kind, to, &before, &dropped, &err);
    status = code == STICPS_OK ? print_reset(before, to, dropped) : cli_fail(&err);
    sticps_client_free(client);
    return status;
}

const struct cli_command cli_list_reset = {
    "list reset",
    "--state DIR --to N [--kind cps|ca]",
    "Lowers the highest sequence seen to N, after the STI-PA itself went back and told you so by\n"
    "another way than the list. Never raises it.",
    run_reset,
};
