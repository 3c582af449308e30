/* sticps doctor list: the fetch of a list as `sticps list fetch` makes it, rule by rule. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "common/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was seen of one source while its list passed the rules. */
struct list_look {
    const char *from; /* URL or file */
    struct net_seen seen;
    bool opened, judged; /* rules 2 and 3, rules 4 to 7 were passed */
    struct sticps_error err;
    char form[128], header[400], payload[64], exp[21];
    char x5u[URL_MAX_LENGTH + 1];
    int64_t sequence;
    struct cert_chain *chain; /* the signer's */
};

struct list_looks {
    struct list_look *items; /* with room for every source */
    size_t len;
};

/* ---- looking on ---- */

static struct list_look *last(void *ctx)
{
    struct list_looks *looks = ctx;
    return &looks->items[looks->len - 1];
}

static void on_began(void *ctx, const char *from)
{
    struct list_looks *looks = ctx;
    looks->len++;
    *last(ctx) = (struct list_look){.from = from};
}

static void on_answer(void *ctx, const struct fetch_answer *answer)
{
    net_see(&last(ctx)->seen, answer);
}

static void on_opened(void *ctx, const struct list_candidate *candidate)
{
    struct list_look *look = last(ctx);
    look->opened = true;
    snprintf(look->form, sizeof(look->form), "a JWS of %zu bytes, SHA-256 %.16s...",
             candidate->jws_len, candidate->sha256);
    snprintf(look->header, sizeof(look->header), "ES256, x5u %s", candidate->header.x5u);
    snprintf(look->x5u, sizeof(look->x5u), "%s", candidate->header.x5u);
}

static void on_chain(void *ctx, const struct cert_chain *chain)
{
    struct list_look *look = last(ctx);
    cert_chain_unref(look->chain);
    look->chain = cert_chain_ref((struct cert_chain *)chain);
}

static void on_payload(void *ctx, const struct signed_list *payload)
{
    struct list_look *look = last(ctx);
    bool cps = payload->kind == SIGNED_LIST_CPS_MAPPING;
    look->judged = true;
    look->sequence = payload->sequence;
    snprintf(look->payload, sizeof(look->payload), "%zu %s",
             cps ? payload->entries_len : payload->trusted_len, cps ? "CPS URLs" : "STI-CAs");
    clock_format(payload->exp, look->exp);
}

static void on_ended(void *ctx, enum sticps_err code, const struct sticps_error *err)
{
    struct list_look *look = last(ctx);
    if (code != STICPS_OK)
        look->err = *err;
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
static void look_for_signer(struct doctor *doctor, const struct list_look *look)
{
    static const struct net_seen unseen = {.answered = false};
    size_t blame = net_look(doctor, "signer", look->x5u, doctor->client->options->list_timeout);
    net_settle(doctor, "signer", look->x5u, blame, &unseen, &look->err);
}

static void tell_rules(struct doctor *doctor, const struct list_look *look)
{
    const struct sticps_error *err = &look->err;
    bool way = err->code == STICPS_ERR_FETCH || err->code == STICPS_ERR_ADDRESS;
    size_t passed = rules_passed(look, err->code);
    for (size_t i = 0; i < passed; i++) {
        struct report_step *step = add_rule(doctor, look, i);
        if (i == RULE_SIGNER && look->chain != NULL)
            cert_warn(doctor, step, cert_chain_leaf(look->chain),
                      "The STI-PA renews its signer's certificate.");
    }
    if (way && look->opened)
        look_for_signer(doctor, look);
    else if (err->code == STICPS_ERR_NO_MEMORY || err->code == STICPS_ERR_FILE ||
             err->code == STICPS_ERR_STATE || err->code == STICPS_ERR_CRYPTO)
        step_fail(report_add(&doctor->report, "list", "local", "%s", ""), err, NULL);
    else if (passed < RULES && !way)
        step_fail(add_rule(doctor, look, passed), err, NULL);
}

static void tell_source(struct doctor *doctor, const struct list_look *look)
{
    static const struct sticps_error none = {.code = STICPS_OK};
    struct report *report = &doctor->report;
    struct url parts;
    if (url_parse(look->from, strlen(look->from), &parts, NULL) == STICPS_OK) {
        report_add(report, "list", "url", "%s", look->from);
        size_t blame = net_look(doctor, "list", look->from, doctor->client->options->list_timeout);
        net_settle(doctor, "list", look->from, blame, &look->seen,
                   look->opened ? &none : &look->err);
    } else {
        struct report_step *step = report_add(report, "list", "file", "%s", look->from);
        if (look->err.code == STICPS_ERR_FETCH && !look->opened)
            step_fail(step, &look->err, "Put a copy of the list there, or leave the file out.");
    }
    tell_rules(doctor, look);
}

/* ---- the rehearsal ---- */

/* A refresh is refused as a whole for one URL that cannot be one. */
bool doctor_list_urls(struct doctor *doctor)
{
    bool good = true;
    for (size_t i = 0; i < doctor->o.list_urls.len; i++) {
        const char *url = doctor->o.list_urls.items[i];
        struct sticps_error err = {0};
        if (list_url_check(url, &err) == STICPS_OK)
            continue;
        step_fail(report_add(&doctor->report, "list", "url", "%s", url), &err, NULL);
        good = false;
    }
    return good;
}

/* What one source got wrong while another satisfied is a warning. */
static void forgive(struct report *report, size_t from)
{
    for (size_t i = from; i < report->len; i++)
        if (report->items[i].result == STEP_FAILED)
            report->items[i].result = STEP_WARNING;
}

static void tell(struct doctor *doctor, const struct list_looks *looks, enum sticps_err code,
                 const struct sticps_error *err)
{
    size_t from = doctor->report.len;
    for (size_t i = 0; i < looks->len; i++)
        tell_source(doctor, &looks->items[i]);
    if (code == STICPS_OK)
        forgive(&doctor->report, from);
    else if (looks->len == 0)
        step_fail(report_add(&doctor->report, "list", "local", "%s", ""), err, NULL);
}

void doctor_list(struct doctor *doctor)
{
    struct sticps_client *client = doctor->client;
    size_t sources = doctor->o.list_urls.len + doctor->o.list_files.len;
    struct list_looks looks = {.items = calloc(sources, sizeof(*looks.items))};
    const struct list_watch watch = {&looks,   on_began,   on_answer, on_opened,
                                     on_chain, on_payload, on_ended};
    struct sticps_error err = {0};
    struct sticps_list *list = NULL;
    enum sticps_list_kind kind;
    enum sticps_list_status status = STICPS_LIST_CURRENT;
    int64_t previous = 0;
    if (looks.items == NULL) {
        doctor->report.no_memory = true;
        return;
    }
    enum sticps_err code = client_list_kind(&doctor->o, &kind, &err);
    client->list_source.watch = &watch;
    if (code == STICPS_OK)
        code = sticps_list_refresh_wait(client, kind, &list, &status, &previous, &err);
    client->list_source.watch = NULL;
    tell(doctor, &looks, code, &err);
    if (code == STICPS_OK)
        report_add(&doctor->report, "list", "verdict",
                   status == STICPS_LIST_TAKEN ? "sequence %" PRId64
                                                 " would be taken, after %" PRId64
                                               : "sequence %" PRId64 " is the one that is held",
                   sticps_list_sequence(list), previous);
    sticps_list_unref(list);
    for (size_t i = 0; i < looks.len; i++)
        cert_chain_unref(looks.items[i].chain);
    free(looks.items);
}
