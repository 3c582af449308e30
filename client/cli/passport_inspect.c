/* sticps passport inspect: what a PASSporT says, without believing any of it. */
#include "client/cli/cli.h"
#include "common/passport.h"
#include "common/strict_json.h"

#include <stdio.h>
#include <stdlib.h>

/* The segment as JSON, or null when it is none. */
static json_t *segment_json(const unsigned char *data, size_t len)
{
    json_t *value = strict_json_parse(data, len, STICPS_ERR_MALFORMED, NULL);
    return value != NULL ? value : json_null();
}

static int print_segment(const char *name, const unsigned char *data, size_t len)
{
    json_t *value = segment_json(data, len);
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    json_decref(value);
    if (text == NULL)
        return cli_print_json(NULL);
    printf("%s %s\n", name, text);
    free(text);
    return CLI_OK;
}

/* `code` is what passport_parse found. */
static int print(const struct jws *jws, enum sticps_err code, const struct sticps_error *err)
{
    int status;
    if (cli_json()) {
        status = cli_print_json(json_pack(
            "{s:o, s:o, s:I, s:s, s:s, s:s}", "header", segment_json(jws->header, jws->header_len),
            "payload", segment_json(jws->payload, jws->payload_len), "signatureBytes",
            (json_int_t)jws->signature_len, "code", sticps_err_name(code), "where", err->where,
            "detail", err->text));
    } else {
        status = print_segment("header", jws->header, jws->header_len);
        if (status == CLI_OK)
            status = print_segment("payload", jws->payload, jws->payload_len);
        printf("signature %zu bytes, not verified\n", jws->signature_len);
        if (code == STICPS_OK)
            printf("form OK\n");
    }
    if (code != STICPS_OK)
        fprintf(stderr, "sticps: %s: %s (%s)\n", sticps_err_name(code), err->text, err->where);
    return status != CLI_OK ? status : (int)cli_exit_code(code);
}

static int run(int argc, char **argv)
{
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    bool lab = false;
    const struct cli_option options[] = {
        {"lab", 0, CLI_FLAG, &lab, NULL, "no warning of an x5u for a lab", false, 0, 0},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_passport_inspect, options, argc, argv, &rest, 0, 1, &status))
        return status;

    rules.lab = true;
    struct sticps_error err = {0};
    struct jws jws = {0};
    struct passport *passport = NULL;
    char *token = NULL;
    size_t len = 0;
    enum sticps_err code =
        cli_read(rest.len > 0 ? rest.items[0] : "-", PASSPORT_MAX_BYTES, &token, &len, &err);
    if (code == STICPS_OK)
        code = jws_split(token, len, STICPS_ERR_MALFORMED, &jws, &err);
    if (code == STICPS_OK) {
        code = passport_parse(token, len, &rules, -1, &passport, &err);
        if (code == STICPS_OK)
            cli_warn_of_lab_x5u(passport->x5u, lab);
        status = print(&jws, code, &err);
    } else {
        status = cli_fail(&err);
    }
    passport_free(passport);
    jws_clear(&jws);
    free(token);
    return status;
}

const struct cli_command cli_passport_inspect = {
    "passport inspect",
    "[FILE|-]",
    "Decodes a PASSporT and says whether its form is right. Nothing is verified: neither its\n"
    "signature, nor its certificate, nor its age. Exit status 2 when the form is wrong.",
    run,
};
