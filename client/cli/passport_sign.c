/* sticps passport sign: makes a SHAKEN PASSporT, for trying things out and for an STI-AS in a
 * script. */
#include "client/cli/cli.h"
#include "common/clock.h"
#include "common/key.h"
#include "common/passport.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Version 4 (RFC 9562 s5.4). */
static enum sticps_err random_uuid(char out[37], struct sticps_error *err)
{
    unsigned char b[16];
    if (RAND_bytes(b, sizeof(b)) != 1)
        return fail(err, STICPS_ERR_CRYPTO, NULL, "OpenSSL has no random numbers");
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(out, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
    return STICPS_OK;
}

static enum sticps_err parse_number(const char *name, const char *text, struct tn *out,
                                    struct sticps_error *err)
{
    struct sticps_error why = {0};
    if (tn_from_typed(text, strlen(text), 1, out, &why) == STICPS_OK)
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, name, "%s: %s", text, why.text);
}

struct request {
    const char *key, *x5u, *orig, *attest, *origid;
    struct cli_texts dest;
    int64_t iat;
    bool lab;
};

static enum sticps_err sign(const struct request *request, char **token, struct sticps_error *err)
{
    struct tn orig, dest[CLI_MAX_TEXTS];
    char uuid[37];
    size_t len;
    EVP_PKEY *key = NULL;
    enum sticps_err code = parse_number("--orig", request->orig, &orig, err);
    for (size_t i = 0; i < request->dest.len && code == STICPS_OK; i++)
        code = parse_number("--dest", request->dest.items[i], &dest[i], err);
    if (code == STICPS_OK)
        code = random_uuid(uuid, err);
    if (code == STICPS_OK)
        code = key_load(request->key, &key, err);
    if (code == STICPS_OK) {
        const struct passport_claims claims = {
            .attest = request->attest,
            .dest = dest,
            .dest_len = request->dest.len,
            .orig = &orig,
            .iat = request->iat >= 0 ? request->iat : clock_now(&clock_system),
            .origid = request->origid != NULL ? request->origid : uuid,
            .x5u = request->x5u,
        };
        code = passport_sign(&claims, true, key, token, &len, err);
        if (code == STICPS_OK)
            cli_warn_of_lab_x5u(request->x5u, request->lab);
    }
    EVP_PKEY_free(key);
    return code;
}

static int run(int argc, char **argv)
{
    struct request r = {.iat = -1};
    const struct cli_option options[] = {
        {"key", 0, CLI_TEXT, &r.key, "PEM", "private key of the STI certificate", true, 0, 0},
        {"x5u", 0, CLI_TEXT, &r.x5u, "URL", "where that certificate is", true, 0, 0},
        {"orig", 0, CLI_TEXT, &r.orig, "TN", "calling number", true, 0, 0},
        {"dest", 0, CLI_TEXTS, &r.dest, "TN", "called number", true, 0, 0},
        {"attest", 0, CLI_TEXT, &r.attest, "A|B|C", "attestation", true, 0, 0},
        {"origid", 0, CLI_TEXT, &r.origid, "UUID", "(random)", false, 0, 0},
        {"iat", 0, CLI_INTEGER, &r.iat, "T", "Unix seconds (now)", false, 0, 253402300799},
        {"lab", 0, CLI_FLAG, &r.lab, NULL, "no warning of an x5u for a lab", false, 0, 0},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL, false, 0, 0},
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_passport_sign, options, argc, argv, &rest, 0, 0, &status))
        return status;

    struct sticps_error err = {0};
    char *token = NULL;
    if (sign(&r, &token, &err) != STICPS_OK)
        return cli_fail(&err);
    if (cli_json())
        status = cli_print_json(json_pack("{s:s}", "passport", token));
    else
        status = puts(token) >= 0 ? CLI_OK : CLI_USAGE;
    free(token);
    return status;
}

const struct cli_command cli_passport_sign = {
    "passport sign",
    "--key PEM --x5u URL --orig TN --dest TN... --attest A|B|C",
    "Signs a SHAKEN PASSporT and prints it.",
    run,
};
