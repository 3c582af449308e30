/* sticps doctor cps and number: a CPS, and the way from a number to it. */
#include "client/cli/doctor.h"
#include "client/client.h"
#include "common/cps_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- a CPS ---- */

struct health {
    struct loop *loop;
    struct loop_signal done;
    enum sticps_err code;
    struct sticps_error err;
    struct net_seen seen;
};

static void on_health(void *ctx, enum sticps_err code, const struct sticps_error *err,
                      const struct fetch_answer *answer)
{
    struct health *health = ctx;
    health->code = code;
    health->err = *err;
    if (code == STICPS_OK) {
        net_see(&health->seen, answer);
        if (answer->status != 200)
            health->code = fetch_bad_status(&health->err, NULL, answer->status);
    }
    loop_signal_set(health->loop, &health->done);
}

/* `https://host:port/health` of a CPS URL. */
static void health_url(const struct url *parts, char *out, size_t size)
{
    bool v6 = parts->host_kind == URL_HOST_IPV6;
    snprintf(out, size, "https://%s%.*s%s:%u" CPS_CHECK_PATH, v6 ? "[" : "", (int)parts->host_len,
             parts->host, v6 ? "]" : "", parts->port);
}

/* As a delivery goes there, but for a question that leaves nothing behind. */
static void ask_health(struct doctor *doctor, const char *url, size_t blame)
{
    struct sticps_client *client = doctor->client;
    struct health health = {.loop = client->loop};
    const struct fetch_request request = {
        .url = url,
        .timeout_ms = client->options->deliver_timeout,
        .max_body = CPS_CHECK_MAX_BODY,
        .anew = true,
    };
    enum sticps_err code = fetch_start(client->fetcher, &request, on_health, &health, &health.err);
    if (code == STICPS_OK) {
        loop_wait(client->loop, &health.done);
        code = health.code;
    }
    health.err.code = code;
    net_settle(doctor, "cps", url, blame, &health.seen, &health.err);
}

static bool check_cps_url(struct doctor *doctor, const char *url)
{
    const struct sticps_options *options = doctor->client->options;
    struct url_rules rules = {.lab = options->lab,
                              .any_form = true,
                              .ports = options->ports,
                              .ports_len = options->ports_len};
    struct sticps_error err = {0};
    struct report_step *step = report_add(&doctor->report, "cps", "url", "%s", url);
    if (cps_url_check(url, strlen(url), &rules, &err) != STICPS_OK) {
        step_fail(step, &err, NULL);
        return false;
    }
    rules.any_form = false;
    if (cps_url_check(url, strlen(url), &rules, &err) != STICPS_OK)
        step_warn(step, sticps_err_name(err.code), "Provision it in its normal form.",
                  "the registry refuses it so: %s", err.text);
    return true;
}

void doctor_cps(struct doctor *doctor, const char *url)
{
    char health[URL_MAX_LENGTH + 64];
    struct url parts;
    if (!check_cps_url(doctor, url) || url_parse(url, strlen(url), &parts, NULL) != STICPS_OK)
        return;
    health_url(&parts, health, sizeof(health));
    size_t blame = net_look(doctor, "cps", url, doctor->client->options->deliver_timeout);
    ask_health(doctor, health, blame);
}

/* ---- a number ---- */

/* Which step has failed, by the reason. */
static void add_step(struct doctor *doctor, const char *step, enum sticps_err mine,
                     enum sticps_err also, const struct sticps_error *err, const char *looked)
{
    struct report_step *added = report_add(&doctor->report, "number", step, "%s", looked);
    if (err->code != STICPS_OK && (err->code == mine || err->code == also))
        step_fail(added, err, NULL);
}

static void tell_answer(struct doctor *doctor, const char *number,
                        const struct sticps_answer *answer, const struct sticps_error *err)
{
    char text[256];
    const char *tn = sticps_answer_tn(answer), *lrn = sticps_answer_lrn(answer);
    const char *carrier = sticps_answer_carrier(answer), *spc = sticps_answer_spc(answer);
    snprintf(text, sizeof(text), "%.64s%s%s", number, tn[0] != '\0' ? " is " : "", tn);
    add_step(doctor, "number", STICPS_ERR_NOT_A_NUMBER, STICPS_OK, err, text);
    if (tn[0] == '\0')
        return;
    snprintf(text, sizeof(text), "%s%s%s, carrier %s",
             sticps_answer_ported(answer) ? "ported" : "not ported", lrn[0] != '\0' ? ", LRN " : "",
             lrn, carrier[0] != '\0' ? carrier : "unknown");
    add_step(doctor, "carrier", STICPS_ERR_NO_CARRIER, STICPS_OK, err, text);
    if (carrier[0] == '\0')
        return;
    snprintf(text, sizeof(text), "SPC %s%s%s", spc, strcmp(spc, carrier) != 0 ? " for " : "",
             strcmp(spc, carrier) != 0 ? carrier : "");
    add_step(doctor, "spc", STICPS_OK, STICPS_OK, err, text);
    snprintf(text, sizeof(text), "sequence %" PRId64 ", %s", sticps_answer_sequence(answer),
             sticps_freshness_name(sticps_answer_freshness(answer)));
    add_step(doctor, "list", STICPS_ERR_LIST_EXPIRED, STICPS_ERR_NO_LIST, err, text);
    if (sticps_answer_freshness(answer) == STICPS_STALE && doctor->report.len > 0)
        step_warn(&doctor->report.items[doctor->report.len - 1], "STALE", "Fetch a newer list.",
                  "the list is past its exp, and used within the grace that --grace gives");
    if (err->code == STICPS_OK || err->code == STICPS_ERR_CARRIER_HAS_NO_CPS)
        add_step(doctor, "url", STICPS_ERR_CARRIER_HAS_NO_CPS, STICPS_OK, err,
                 sticps_answer_url(answer));
}

void doctor_number(struct doctor *doctor, const char *number)
{
    struct sticps_error err = {0};
    struct sticps_answer *answer = sticps_answer_new();
    enum sticps_err code = sticps_list_load(doctor->client, STICPS_LIST_CPS, &err);
    if (answer == NULL || (code != STICPS_OK && code != STICPS_ERR_NO_LIST)) {
        if (answer == NULL)
            fail(&err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        step_fail(report_add(&doctor->report, "number", "list", "%s", ""), &err, NULL);
        sticps_answer_free(answer);
        return;
    }
    err = (struct sticps_error){0};
    code = sticps_resolve(doctor->client, number, answer, &err);
    tell_answer(doctor, number, answer, &err);
    if (code == STICPS_OK)
        doctor_cps(doctor, sticps_answer_url(answer));
    sticps_answer_free(answer);
}
