/* sticps passport verify: the verdict that a CPS would give (PROTOCOL section 5). */
#include "client/cli/sti.h"
#include "common/clock.h"
#include "common/passport.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct request {
    struct client_options client; /* anchors are the STI-CAs here */
    const char *ca_state, *cert, *at;
    int64_t now;
};

/* ---- the verdict ---- */

struct verdict {
    struct passport *passport;
    struct cert_chain *chain;
    struct spc spc;
    bool unreachable; /* the x5u */
    bool cached;      /* the chain, by an earlier run */
};

static enum sticps_err obtain_chain(const struct request *request, struct sticps_client *client,
                                    struct verdict *verdict, struct sticps_error *err)
{
    if (request->cert != NULL)
        return cert_chain_load(request->cert, &verdict->chain, err);
    enum sticps_err code =
        sti_fetch_chain(client, verdict->passport->x5u, &verdict->chain, &verdict->cached, err);
    verdict->unreachable = code == STICPS_ERR_FETCH;
    if (code == STICPS_ERR_FETCH || code == STICPS_ERR_ADDRESS || code == STICPS_ERR_URL)
        code = err->code = STICPS_ERR_BAD_IDENTITY_INFO;
    return code;
}

static enum sticps_err check(const struct request *request, struct verdict *verdict,
                             const struct anchors *anchors, const struct crl *crl,
                             struct sticps_error *err)
{
    enum sticps_err code =
        sti_certificate_check(verdict->chain, anchors, crl, request->now, NULL, &verdict->spc, err);
    return code != STICPS_OK ? code
                             : passport_verify_signature(verdict->passport, verdict->chain, err);
}

/* A new certificate may stand under the old name: a cached one that fails is fetched once more. */
static enum sticps_err obtain_and_check(const struct request *request, struct sticps_client *client,
                                        struct verdict *verdict, const struct anchors *anchors,
                                        const struct crl *crl, struct sticps_error *err)
{
    enum sticps_err code = obtain_chain(request, client, verdict, err);
    if (code != STICPS_OK)
        return code;
    code = check(request, verdict, anchors, crl, err);
    if (code == STICPS_OK || !verdict->cached)
        return code;
    sticps_x5u_forget(client, verdict->passport->x5u);
    cert_chain_unref(verdict->chain);
    verdict->chain = NULL;
    code = obtain_chain(request, client, verdict, err);
    return code != STICPS_OK ? code : check(request, verdict, anchors, crl, err);
}

static enum sticps_err judge(const struct request *request, struct sticps_client *client,
                             const char *token, size_t len, struct verdict *verdict,
                             struct sticps_error *err)
{
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    struct anchors *anchors = NULL;
    struct crl *crl = NULL;
    rules.lab = request->client.lab;
    enum sticps_err code = sti_anchors(&request->client.anchors, request->ca_state != NULL, client,
                                       request->now, &anchors, err);
    if (code == STICPS_OK)
        code = sti_crl(&request->client, request->now, &crl, err);
    if (code == STICPS_OK)
        code = passport_parse(token, len, &rules, request->now, &verdict->passport, err);
    if (code == STICPS_OK)
        code = obtain_and_check(request, client, verdict, anchors, crl, err);
    anchors_free(anchors);
    crl_unref(crl);
    return code;
}

static json_t *dest_json(const struct passport *passport)
{
    json_t *array = json_array();
    for (size_t i = 0; i < passport->dest_len; i++) {
        if (json_array_append_new(array, json_string(passport->dest[i].digits)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static int print_valid(const struct verdict *verdict)
{
    const struct passport *p = verdict->passport;
    char *findings = sti_certificate_findings(verdict->chain);
    const char *text = findings != NULL ? findings : "";
    char iat[21], attest[2] = {p->attest, '\0'};
    int status = CLI_OK;
    clock_format(p->iat, iat);
    if (cli_json()) {
        status = cli_print_json(json_pack(
            "{s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:s, s:s}", "status", "verified", "code", "OK",
            "attest", attest, "orig", p->orig.digits, "dest", dest_json(p), "spc",
            verdict->spc.text, "iat", (json_int_t)p->iat, "origid", p->origid, "findings", text));
    } else {
        printf("verified: attest %s, orig %s, dest", attest, p->orig.digits);
        for (size_t i = 0; i < p->dest_len; i++)
            printf(" %s", p->dest[i].digits);
        printf(", SPC %s, iat %s\n", verdict->spc.text, iat);
        if (text[0] != '\0')
            printf("unusual about the certificate:\n%s\n", text);
    }
    free(findings);
    return status;
}

/* Unix seconds, or RFC 3339 in UTC. */
static bool parse_time(const char *text, int64_t *out)
{
    char *end = NULL;
    long long seconds = strtoll(text, &end, 10);
    if (end != text && *end == '\0' && seconds >= 0) {
        *out = seconds;
        return true;
    }
    struct tm tm = {0};
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL || *end != '\0')
        return false;
    *out = (int64_t)timegm(&tm);
    return *out >= 0;
}

static int run(int argc, char **argv)
{
    struct request r = {.now = clock_now(&clock_system)};
    const struct cli_option options[] = {
        {"anchor", 0, CLI_TEXTS, &r.client.anchors, "PEM", "approved STI-CA", false, 0, 0},
        {"ca-state", 0, CLI_TEXT, &r.ca_state, "DIR", "folder of the fetched list of STI-CAs",
         false, 0, 0},
        {"cert", 0, CLI_TEXT, &r.cert, "PEM", "the chain, instead of fetching the x5u", false, 0,
         0},
        {"at", 0, CLI_TEXT, &r.at, "TIME", "judge as of then: Unix or RFC 3339 UTC", false, 0, 0},
        OPTION_CRL(&r.client),
        OPTION_TLS_CA(&r.client),
        OPTION_LAB(&r.client),
        OPTION_END,
    };
    struct cli_texts rest;
    int status;
    if (!cli_parse(&cli_passport_verify, options, argc, argv, &rest, 0, 1, &status))
        return status;
    if (r.client.anchors.len == 0 && r.ca_state == NULL)
        return cli_usage("nothing to trust: give --anchor or --ca-state");
    if (r.at != NULL && !parse_time(r.at, &r.now))
        return cli_usage("--at is Unix seconds or like 2026-03-01T12:00:00Z, not '%s'", r.at);

    if ((r.client.crl == NULL) != (r.client.crl_signer == NULL))
        return cli_usage(
            "--crl goes with --crl-signer, the certificate that the STI-PA signs it with");

    struct client_options o = r.client;
    o.anchors.len = 0; /* those of STI certificates are not those of lists */
    o.crl = o.crl_signer = NULL;
    o.state = r.ca_state;
    struct sticps_error err = {0};
    struct sticps_client *client = NULL;
    struct verdict verdict = {0};
    char *token = NULL;
    size_t len = 0;
    enum sticps_err code =
        cli_read(rest.len > 0 ? rest.items[0] : "-", PASSPORT_MAX_BYTES, &token, &len, &err);
    if (code == STICPS_OK)
        code = client_from_options(&o, &client, &err);
    if (code == STICPS_OK)
        code = judge(&r, client, token, len, &verdict, &err);
    status = code == STICPS_OK ? print_valid(&verdict) : cli_fail(&err);
    if (verdict.unreachable)
        status = CLI_UNREACHABLE;
    cert_chain_unref(verdict.chain);
    passport_free(verdict.passport);
    sticps_client_free(client);
    free(token);
    return status;
}

const struct cli_command cli_passport_verify = {
    "passport verify",
    "[FILE] --anchor PEM...|--ca-state DIR [options] < PASSporT",
    "Gives the verdict of ATIS-1000074 on a PASSporT. Exit status: 0 verified, 2 refused with the\n"
    "verdict as code, 3 when its x5u cannot be reached.",
    run,
};
