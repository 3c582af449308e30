/* sticps provision get, put, delete: an SP's own CPS URL at the STI-PA's registry, with nothing but
 * its STI certificate. */
#include "client/cli/cli.h"
#include "client/cli/sti_key.h"
#include "common/hsm/hsm_key.h"
#include "sticps/provision.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_answer(enum sticps_provision_op op, const char *answer)
{
    if (op == STICPS_PROVISION_DELETE)
        return cli_json() ? cli_print_json(json_pack("{s:s}", "status", "success")) : CLI_OK;
    json_t *entry = json_loads(answer, 0, NULL);
    const char *url = json_string_value(json_object_get(entry, "url"));
    if (url == NULL) {
        json_decref(entry);
        struct sticps_error err = {STICPS_ERR_FETCH, "", "the registry's answer is no entry"};
        return cli_fail(&err);
    }
    if (cli_json())
        return cli_print_json(entry);
    int status = puts(url) >= 0 ? CLI_OK : CLI_USAGE;
    json_decref(entry);
    return status;
}

static int provision(const struct cli_command *command, enum sticps_provision_op op, int argc,
                     char **argv)
{
    struct client_options o = {0};
    struct sticps_provision_request r = {.op = op};
    struct sti_key key = {0};
    struct cli_option options[] = {
        {"registry", 0, CLI_TEXT, &r.registry, "URL", "of the STI-PA's registry", true, 0, 0},
        {"sp", 0, CLI_TEXT, &r.account, "SP", "account there", true, 0, 0},
        {"spc", 0, CLI_TEXT, &r.spc, "SPC", "of the STI certificate", true, 0, 0},
        {"key", 0, CLI_TEXT, &key.key, "KEY", "of the STI certificate: PEM or pkcs11: URI", true, 0,
         0},
        {"x5u", 0, CLI_TEXT, &r.x5u, "URL", "where that certificate is", true, 0, 0},
        {"cert", 0, CLI_TEXT, &key.cert, "PEM", "that certificate, for a key in an HSM", false, 0,
         0},
        {"module", 0, CLI_TEXT, &key.module, "SO", "the HSM's PKCS#11 library", false, 0, 0},
        {"pin-file", 0, CLI_TEXT, &key.pin_file, "FILE", "the HSM's user PIN", false, 0, 0},
        OPTION_TLS_CA(&o),
        OPTION_LAB(&o),
        OPTION_END, /* for PUT: the CPS URL */
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (op == STICPS_PROVISION_PUT)
        options[10] =
            (struct cli_option){"url", 0, CLI_TEXT, &r.url, "URL", "of the CPS", true, 0, 0};
    if (!cli_parse(command, options, argc, argv, &rest, 0, 0, &status))
        return status;

    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    char *answer = NULL;
    enum sticps_err code = STICPS_OK;
    if (hsm_is_uri(key.key)) {
        code = sti_key_load(&key, &err);
        o.sti_hsm = key.hsm;
    } else {
        r.key_file = key.key;
    }
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = sticps_provision_wait(client, &r, &answer, &err);
    status = code == STICPS_OK ? print_answer(op, answer) : cli_fail(&err);
    sticps_client_free(client);
    sti_key_close(&key);
    free(answer);
    return status;
}

static int run_get(int argc, char **argv)
{
    return provision(&cli_provision_get, STICPS_PROVISION_GET, argc, argv);
}

static int run_put(int argc, char **argv)
{
    return provision(&cli_provision_put, STICPS_PROVISION_PUT, argc, argv);
}

static int run_delete(int argc, char **argv)
{
    return provision(&cli_provision_delete, STICPS_PROVISION_DELETE, argc, argv);
}

#define WHO "--registry URL --sp SP --spc SPC --key KEY --x5u URL"

const struct cli_command cli_provision_get = {
    "provision get",
    WHO,
    "Prints the CPS URL that the registry has for one's SPC. Exit status 4 when it has none.",
    run_get,
};
const struct cli_command cli_provision_put = {
    "provision put",
    WHO " --url URL",
    "Sets the CPS URL of one's SPC and prints it. The STI certificate is all that it takes.",
    run_put,
};
const struct cli_command cli_provision_delete = {
    "provision delete",
    WHO,
    "Takes one's SPC off the list. Exit status 4 when it was not there.",
    run_delete,
};
