/* sticps passport verify: the verdict that a CPS would give (PROTOCOL section 5). */
#include "client/cli/client_options.h"
#include "common/clock.h"
#include "common/passport.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct request {
    struct client_options client; /* anchors are the STI-CAs here */
    const char *ca_state, *cert, *at;
    int64_t now;
};

/* ---- what to trust ---- */

/* The accepted list of STI-CAs. An expired one is no ground for trust. */
static enum sticps_err add_ca_list(struct sticps_client *client, int64_t now,
                                   struct anchors *anchors, struct sticps_error *err)
{
    enum sticps_err code = sticps_list_load(client, STICPS_LIST_CA, err);
    if (code != STICPS_OK)
        return code;
    struct sticps_list *list = sticps_list_held(client, STICPS_LIST_CA);
    if (sticps_list_exp(list) <= now)
        code = fail(err, STICPS_ERR_LIST_EXPIRED, sticps_list_source(list),
                    "the held list of STI-CAs has expired; fetch a newer one");
    for (size_t i = 0; i < sticps_list_count(list) && code == STICPS_OK; i++) {
        const char *pem = sticps_list_value(list, i);
        code = anchors_add(anchors, pem, strlen(pem), STICPS_ERR_STATE, err);
    }
    sticps_list_unref(list);
    return code;
}

static enum sticps_err collect_anchors(const struct request *request, struct sticps_client *client,
                                       struct anchors **out, struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    const struct cli_texts *files = &request->client.anchors;
    for (size_t i = 0; i < files->len && code == STICPS_OK; i++)
        code = anchors_add_file(anchors, files->items[i], err);
    if (code == STICPS_OK && request->ca_state != NULL)
        code = add_ca_list(client, request->now, anchors, err);
    if (code == STICPS_OK)
        *out = anchors;
    else
        anchors_free(anchors);
    return code;
}

/* NULL without --crl. Its signer is the STI-PA, which is no STI-CA, so it is named. */
static enum sticps_err load_crl(const struct request *request, struct crl **out,
                                struct sticps_error *err)
{
    struct anchors *signers = NULL;
    if (request->client.crl == NULL)
        return STICPS_OK;
    enum sticps_err code = anchors_new(&signers, err);
    if (code == STICPS_OK)
        code = anchors_add_file(signers, request->client.crl_signer, err);
    if (code == STICPS_OK)
        code = crl_load(request->client.crl, out, err);
    if (code == STICPS_OK)
        code = crl_check(*out, signers, request->now, STICPS_ERR_FILE, err);
    anchors_free(signers);
    return code;
}

/* ---- the certificate ---- */

struct fetched {
    bool done;
    enum sticps_err code;
    struct sticps_error err;
    struct cert_chain *chain;
};

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at)
{
    struct fetched *fetched = ctx;
    (void)expires_at;
    fetched->done = true;
    fetched->code = code;
    fetched->err = *err;
    if (code == STICPS_OK)
        fetched->code = cert_chain_parse(pem, len, STICPS_ERR_BAD_IDENTITY_INFO, &fetched->chain,
                                         &fetched->err);
}

/* The client in a loop of one's own, as client.h describes it. */
static enum sticps_err fetch_chain(struct sticps_client *client, const char *x5u,
                                   struct cert_chain **out, struct sticps_error *err)
{
    struct fetched fetched = {.done = false};
    sticps_x5u_fetch(client, x5u, on_chain, &fetched);
    enum sticps_err code = STICPS_OK;
    while (!fetched.done && code == STICPS_OK) {
        struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
        poll(&fd, 1, -1);
        code = sticps_client_process(client, err);
    }
    if (code == STICPS_OK && fetched.code != STICPS_OK) {
        code = fetched.code;
        *err = fetched.err;
    }
    if (code == STICPS_OK)
        *out = fetched.chain;
    return code;
}

/* ---- the verdict ---- */

struct verdict {
    struct passport *passport;
    struct cert_chain *chain;
    struct spc spc;
    bool unreachable; /* the x5u */
};

static enum sticps_err obtain_chain(const struct request *request, struct sticps_client *client,
                                    struct verdict *verdict, struct sticps_error *err)
{
    if (request->cert != NULL)
        return cert_chain_load(request->cert, &verdict->chain, err);
    enum sticps_err code = fetch_chain(client, verdict->passport->x5u, &verdict->chain, err);
    verdict->unreachable = code == STICPS_ERR_FETCH;
    if (code == STICPS_ERR_FETCH || code == STICPS_ERR_ADDRESS || code == STICPS_ERR_URL)
        code = err->code = STICPS_ERR_BAD_IDENTITY_INFO;
    return code;
}

static enum sticps_err judge(const struct request *request, struct sticps_client *client,
                             const char *token, size_t len, struct verdict *verdict,
                             struct sticps_error *err)
{
    struct passport_rules rules = PASSPORT_RULES_DEFAULT;
    struct anchors *anchors = NULL;
    struct crl *crl = NULL;
    rules.lab = request->client.lab;
    enum sticps_err code = collect_anchors(request, client, &anchors, err);
    if (code == STICPS_OK)
        code = load_crl(request, &crl, err);
    if (code == STICPS_OK)
        code = passport_parse(token, len, &rules, request->now, &verdict->passport, err);
    if (code == STICPS_OK)
        code = obtain_chain(request, client, verdict, err);
    if (code == STICPS_OK)
        code = sti_certificate_check(verdict->chain, anchors, crl, request->now, NULL,
                                     &verdict->spc, err);
    if (code == STICPS_OK)
        code = passport_verify_signature(verdict->passport, verdict->chain, err);
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
