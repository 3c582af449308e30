/* sticps doctor list: the fetch of a list as `sticps list fetch` makes it, rule by rule. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What was seen while the rules were passed. */
struct list_look {
    struct net_seen seen;
    bool opened, judged; /* rules 2 and 3, rules 4 to 7 were passed */
    char form[128], header[400], payload[64], exp[21];
    char x5u[URL_MAX_LENGTH + 1];
    int64_t sequence;
    struct cert_chain *chain; /* the signer's */
};

/* ---- looking on ---- */

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
    net_see(&((struct list_look *)ctx)->seen, answer);
}

static void on_opened(void *ctx, const struct list_candidate *candidate)
{
    struct list_look *look = ctx;
    look->opened = true;
    snprintf(look->form, sizeof(look->form), "a JWS of %zu bytes, SHA-256 %.16s...",
             candidate->jws_len, candidate->sha256);
    snprintf(look->header, sizeof(look->header), "ES256, x5u %s", candidate->header.x5u);
    snprintf(look->x5u, sizeof(look->x5u), "%s", candidate->header.x5u);
}

static void on_chain(void *ctx, const struct cert_chain *chain)
{
    struct list_look *look = ctx;
    cert_chain_unref(look->chain);
    look->chain = cert_chain_ref((struct cert_chain *)chain);
}

static void on_payload(void *ctx, const struct signed_list *payload)
{
    struct list_look *look = ctx;
    bool cps = payload->kind == SIGNED_LIST_CPS_MAPPING;
    look->judged = true;
    look->sequence = payload->sequence;
    snprintf(look->payload, sizeof(look->payload), "%zu %s",
             cps ? payload->entries_len : payload->trusted_len, cps ? "CPS URLs" : "STI-CAs");
    clock_format(payload->exp, look->exp);
}

/* ---- the rules, in their order ---- */

enum {
    RULE_FORM,
    RULE_HEADER,
    RULE_SIGNER,
    RULE_SIGNATURE,
    RULE_PAYLOAD,
    RULE_VERSION,
    RULE_EXP,
    RULE_SEQUENCE,
    RULE_SHRINK,
    RULES
};

static const struct {
    const char *step;
    enum sticps_err codes[2];
} rules[RULES] = {
    [RULE_FORM] = {"form", {STICPS_ERR_FORM}},
    [RULE_HEADER] = {"header", {STICPS_ERR_HEADER}},
    [RULE_SIGNER] = {"signer", {STICPS_ERR_SIGNER}},
    [RULE_SIGNATURE] = {"signature", {STICPS_ERR_SIGNATURE}},
    [RULE_PAYLOAD] = {"payload", {STICPS_ERR_PAYLOAD}},
    [RULE_VERSION] = {"version", {STICPS_ERR_VERSION}},
    [RULE_EXP] = {"exp", {STICPS_ERR_EXP}},
    [RULE_SEQUENCE] = {"sequence", {STICPS_ERR_ROLLBACK, STICPS_ERR_EQUIVOCATION}},
    [RULE_SHRINK] = {"shrink", {STICPS_ERR_SHRINK}},
};

/* How many rules were passed. */
static size_t rules_passed(const struct list_look *look, enum sticps_err code)
{
    if (code == STICPS_OK)
        return RULES;
    for (size_t i = 0; i < RULES; i++)
        if (rules[i].codes[0] == code || rules[i].codes[1] == code)
            return i;
    return look->judged ? RULE_SEQUENCE : look->opened ? RULE_SIGNER : 0;
}

static struct report_step *add_rule(struct doctor *doctor, const struct list_look *look,
                                    size_t rule)
{
    char signer[420] = "";
    if (rule == RULE_SIGNER && look->chain != NULL)
        cert_text(doctor, cert_chain_leaf(look->chain), signer, sizeof(signer));
    const char *const looked[RULES] = {
        [RULE_FORM] = look->form,       [RULE_HEADER] = look->header,
        [RULE_SIGNER] = signer,         [RULE_SIGNATURE] = "by the signer's key",
        [RULE_PAYLOAD] = look->payload, [RULE_VERSION] = "1.0",
        [RULE_EXP] = look->exp,         [RULE_SHRINK] = "against the held list",
    };
    if (rule == RULE_SEQUENCE && look->judged)
        return report_add(&doctor->report, "list", rules[rule].step, "%" PRId64, look->sequence);
    return report_add(&doctor->report, "list", rules[rule].step, "%s",
                      looked[rule] != NULL ? looked[rule] : "");
}

/* The certificate could not be had: the way to it tells why. */
static void look_for_signer(struct doctor *doctor, const struct list_look *look,
                            const struct sticps_error *err)
{
    static const struct net_seen unseen = {.answered = false};
    size_t blame = net_look(doctor, "signer", look->x5u, doctor->client->options->list_timeout);
    net_settle(doctor, "signer", look->x5u, blame, &unseen, err);
}

static void tell(struct doctor *doctor, const struct list_look *look,
                 const struct sticps_error *err)
{
    bool way = err->code == STICPS_ERR_FETCH || err->code == STICPS_ERR_ADDRESS;
    if (way && !look->opened)
        return;
    size_t passed = rules_passed(look, err->code);
    for (size_t i = 0; i < passed; i++) {
        struct report_step *step = add_rule(doctor, look, i);
        if (i == RULE_SIGNER && look->chain != NULL)
            cert_warn(doctor, step, cert_chain_leaf(look->chain),
                      "The STI-PA renews its signer's certificate.");
    }
    if (way)
        look_for_signer(doctor, look, err);
    else if (err->code == STICPS_ERR_NO_MEMORY || err->code == STICPS_ERR_FILE ||
             err->code == STICPS_ERR_STATE || err->code == STICPS_ERR_CRYPTO)
        step_fail(report_add(&doctor->report, "list", "local", "%s", ""), err, NULL);
    else if (passed < RULES)
        step_fail(add_rule(doctor, look, passed), err, NULL);
}

/* ---- the rehearsal ---- */

void doctor_list(struct doctor *doctor)
{
    struct report *report = &doctor->report;
    struct sticps_client *client = doctor->client;
    struct list_look look = {.chain = NULL};
    const struct list_watch watch = {&look, on_answer, on_opened, on_chain, on_payload};
    struct sticps_error err = {0};
    struct sticps_list *list = NULL;
    enum sticps_list_kind kind;
    enum sticps_list_status status = STICPS_LIST_CURRENT;
    int64_t previous = 0;
    size_t blame = NET_NO_BLAME;
    struct url parts;

    if (client_list_kind(&doctor->o, &kind, &err) != STICPS_OK) {
        step_fail(report_add(report, "list", "url", "%s", doctor->url), &err, NULL);
        return;
    }
    size_t url_step = report->len;
    report_add(report, "list", "url", "%s", doctor->url);
    if (url_parse(doctor->url, strlen(doctor->url), &parts, NULL) == STICPS_OK)
        blame = net_look(doctor, "list", doctor->url, client->options->list_timeout);
    client->list_source.watch = &watch;
    enum sticps_err code =
        sticps_list_fetch_wait(client, kind, doctor->url, &list, &status, &previous, &err);
    client->list_source.watch = NULL;
    if (code == STICPS_ERR_USAGE && url_step < report->len) {
        step_fail(&report->items[url_step], &err, NULL);
    } else {
        const struct sticps_error none = {.code = STICPS_OK};
        net_settle(doctor, "list", doctor->url, blame, &look.seen, look.opened ? &none : &err);
        tell(doctor, &look, &err);
    }
    if (code == STICPS_OK)
        report_add(report, "list", "verdict",
                   status == STICPS_LIST_TAKEN ? "sequence %" PRId64
                                                 " would be taken, after %" PRId64
                                               : "sequence %" PRId64 " is the one that is held",
                   sticps_list_sequence(list), previous);
    sticps_list_unref(list);
    cert_chain_unref(look.chain);
}
