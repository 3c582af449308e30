/* sticps resolve: from numbers to CPS URLs, each step named. */
#include "client/cli/client_options.h"
#include "client/report/report.h"

#include <inttypes.h>
#include <stdio.h>

static void print_line(const struct sticps_answer *answer, const struct sticps_error *err)
{
    const char *tn = sticps_answer_tn(answer);
    bool found = sticps_answer_reason(answer) == STICPS_OK;
    printf("%s", tn[0] != '\0' ? tn : err->where); /* the number as typed, made printable */
    if (sticps_answer_lrn(answer)[0] != '\0')
        printf(" lrn %s", sticps_answer_lrn(answer));
    else if (sticps_answer_ported(answer))
        printf(" ported");
    if (sticps_answer_carrier(answer)[0] != '\0')
        printf(" spc %s", sticps_answer_spc(answer));
    if (found)
        printf(" url %s sequence %" PRId64 " %s\n", sticps_answer_url(answer),
               sticps_answer_sequence(answer),
               sticps_freshness_name(sticps_answer_freshness(answer)));
    else
        printf(" %s: %s\n", sticps_err_name(err->code), err->text);
}

/* A line for each number; 4 when one has no CPS. */
static int resolve_all(struct sticps_client *client, const struct cli_texts *numbers)
{
    struct sticps_answer *answer = sticps_answer_new();
    int status = CLI_OK;
    for (size_t i = 0; answer != NULL && i < numbers->len; i++) {
        struct sticps_error err = {0};
        enum sticps_err code = sticps_resolve_wait(client, numbers->items[i], answer, &err);
        int printed = CLI_OK;
        if (cli_json())
            printed = cli_print_json(report_answer(numbers->items[i], answer, &err));
        else
            print_line(answer, &err);
        if (printed != CLI_OK)
            status = printed;
        else if (code != STICPS_OK)
            status = cli_exit_code(code);
    }
    if (answer == NULL)
        return cli_usage("out of memory");
    sticps_answer_free(answer);
    return status;
}

static int run(int argc, char **argv)
{
    struct client_options o = {0};
    const struct cli_option options[] = {
        OPTION_STATE(&o), OPTION_NPDB(&o), OPTION_OVERRIDE(&o),
        OPTION_GRACE(&o), OPTION_ENUM(&o), OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_resolve, options, argc, argv, &rest, 1, CLI_MAX_TEXTS, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    enum sticps_err code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_load(client, STICPS_LIST_CPS, &err);
    if (code == STICPS_ERR_NO_LIST) /* each number's answer says so */
        code = STICPS_OK;
    status = code == STICPS_OK ? resolve_all(client, &rest) : cli_fail(&err);
    sticps_client_free(client);
    return status;
}

const struct cli_command cli_resolve = {
    "resolve",
    "TN... --state DIR --npdb FILE [--override CSV] [--grace S] [--enum-apex NAME ...]",
    "Says for each number who serves it and where its CPS is, from the held list, without the\n"
    "network but ENUM where it is given. Exit status 4 when a number has none.",
    run,
};
