/* sticps deliver and sticps retrieve: a PASSporT to the CPS of the called number, and from one's
 * own. */
#include "client/cli/sti_key.h"
#include "client/report/report.h"
#include "common/passport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOKEN 4096

static void print_outcomes(const struct sticps_delivery *delivery)
{
    for (size_t i = 0; i < sticps_delivery_count(delivery); i++) {
        const char *url = sticps_delivery_url(delivery, i);
        if (sticps_delivery_code(delivery, i) == STICPS_OK)
            printf("delivered to %s\n", url);
        else
            printf("not delivered to %s: %s %s %s\n", url,
                   sticps_err_name(sticps_delivery_code(delivery, i)),
                   sticps_delivery_problem(delivery, i), sticps_delivery_detail(delivery, i));
    }
}

/* A CPS whose address is closed is as good as unreachable here. */
static int report(enum sticps_err code, const struct sticps_error *err,
                  const struct sticps_delivery *delivery)
{
    if (delivery != NULL && !cli_json())
        print_outcomes(delivery);
    if (code != STICPS_OK)
        fprintf(stderr, "sticps: %s: %s%s%s%s\n", sticps_err_name(code), err->text,
                err->where[0] != '\0' ? " (" : "", err->where, err->where[0] != '\0' ? ")" : "");
    if (cli_json()) {
        json_t *root = code != STICPS_OK
                           ? cli_error_json(err)
                           : json_pack("{s:s, s:s}", "status", "delivered", "code", "OK");
        if (json_object_set_new(root, "deliveries", report_deliveries(delivery)) != 0) {
            json_decref(root);
            root = NULL;
        }
        int printed = cli_print_json(root);
        if (printed != CLI_OK)
            return printed;
    }
    return code == STICPS_ERR_ADDRESS ? (int)CLI_UNREACHABLE : (int)cli_exit_code(code);
}

static int run_deliver(int argc, char **argv)
{
    struct client_options o = {.deadline_ms = 5000};
    struct sti_key key = {0};
    const struct cli_option options[] = {
        OPTION_STATE(&o),
        OPTION_NPDB(&o),
        OPTION_ENUM(&o),
        OPTION_OVERRIDE(&o),
        OPTION_GRACE(&o),
        {"deadline", 0, CLI_INTEGER, &o.deadline_ms, "MS", "total (5000)", false, 1, 600000},
        OPTION_STI_KEY(&key),
        OPTION_TLS_CA(&o),
        OPTION_LAB(&o),
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_deliver, options, argc, argv, &rest, 0, 1, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_delivery *delivery = NULL;
    char *token = NULL;
    size_t len = 0;
    enum sticps_err code =
        cli_read(rest.len > 0 ? rest.items[0] : "-", PASSPORT_MAX_BYTES, &token, &len, &err);
    if (code == STICPS_OK)
        code = sti_key_open(&key, &o, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_list_load(client, STICPS_LIST_CPS, &err);
    if (code == STICPS_OK || code == STICPS_ERR_NO_LIST)
        code = sticps_deliver_wait(client, token, len, &delivery, &err);
    status = report(code, &err, delivery);
    sticps_delivery_free(delivery);
    sticps_client_free(client);
    sti_key_close(&key);
    free(token);
    return status;
}

const struct cli_command cli_deliver = {
    "deliver",
    "[FILE] --state DIR --npdb FILE [--deadline MS] < PASSporT",
    "Posts a PASSporT to the CPS of each called number; with --sti-key, also where the CPS "
    "demands\n"
    "a request token. Exit status: 0 taken (201), 2 refused, 3 unreachable, 4 no CPS known.",
    run_deliver,
};

static int print_passports(const struct sticps_passports *passports)
{
    size_t count = sticps_passports_count(passports);
    if (!cli_json()) {
        for (size_t i = 0; i < count; i++)
            puts(sticps_passports_get(passports, i));
        return CLI_OK;
    }
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        if (json_array_append_new(array, json_string(sticps_passports_get(passports, i))) != 0)
            return cli_print_json(NULL);
    return cli_print_json(json_pack("{s:o}", "passports", array));
}

/* From the option, the file or the environment, in this order; *owned is the caller's to free. */
static enum sticps_err find_token(const char *token, const char *file, const char **out,
                                  char **owned, struct sticps_error *err)
{
    if (token != NULL || file == NULL) {
        *out = token != NULL ? token : getenv("STICPS_TOKEN");
        return STICPS_OK;
    }
    size_t len = 0;
    enum sticps_err code = cli_read(file, MAX_TOKEN, owned, &len, err);
    if (code == STICPS_OK)
        *out = *owned;
    return code;
}

static int run_retrieve(int argc, char **argv)
{
    struct client_options o = {0};
    const char *url = NULL, *given = NULL, *file = NULL;
    int64_t wait = 0;
    const struct cli_option options[] = {
        {"url", 0, CLI_TEXT, &url, "URL", "of the CPS's private side", true, 0, 0},
        {"token", 0, CLI_TEXT, &given, "T", "bearer token, visible in the process list", false, 0,
         0},
        {"token-file", 0, CLI_TEXT, &file, "FILE", "bearer token; or $STICPS_TOKEN", false, 0, 0},
        {"wait", 0, CLI_INTEGER, &wait, "MS", "wait for one to arrive", false, 0, 600000},
        {"tls-cert", 0, CLI_TEXT, &o.tls_cert, "PEM", "client certificate", false, 0, 0},
        {"tls-key", 0, CLI_TEXT, &o.tls_key, "PEM", "its key", false, 0, 0},
        OPTION_TLS_CA(&o),
        OPTION_LAB(&o),
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_retrieve, options, argc, argv, &rest, 2, 2, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct sticps_passports *passports = NULL;
    char *owned = NULL;
    struct sticps_retrieve_request request = {
        .url = url,
        .dest = rest.items[0],
        .orig = rest.items[1],
        .wait_ms = (unsigned)wait,
    };
    enum sticps_err code = find_token(given, file, &request.token, &owned, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_retrieve_wait(client, &request, &passports, &err);
    status = code == STICPS_OK ? print_passports(passports) : cli_fail(&err);
    sticps_passports_free(passports);
    sticps_client_free(client);
    free(owned);
    return status;
}

const struct cli_command cli_retrieve = {
    "retrieve",
    "DEST ORIG --url URL [--token-file FILE] [--wait MS]",
    "Takes the PASSporTs that one's own CPS holds for a call, newest first, a line each. Exit\n"
    "status 4 when it holds none.",
    run_retrieve,
};
