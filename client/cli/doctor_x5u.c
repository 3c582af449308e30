/* sticps doctor x5u: an STI certificate as those who verify PASSporTs get and judge it. */
#include "client/cli/doctor.h"
#include "client/cli/sti.h"
#include "client/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* By a client of its own: the one that fetches has no state, or it might take what it kept for what
 * is there. */
static enum sticps_err find_sti_cas(struct doctor *doctor, struct anchors **out,
                                    struct sticps_error *err)
{
    const struct client_options o = {.state = doctor->ca_state, .rehearsal = true};
    struct sticps_client *client = NULL;
    bool list = doctor->ca_state != NULL;
    enum sticps_err code = list ? client_from_options(&o, &client, err) : STICPS_OK;
    if (code == STICPS_OK)
        code = sti_anchors(&doctor->o.anchors, list, client, doctor->now, out, err);
    sticps_client_free(client);
    return code;
}

/* Whom to trust. Without a word of the user, the chain itself: then the must-haves and the validity
 * are judged, and a warning says that trust is not. */
static enum sticps_err find_anchors(struct doctor *doctor, const struct cert_chain *chain,
                                    struct anchors **out, struct sticps_error *err)
{
    const struct cli_texts *files = &doctor->o.anchors;
    if (files->len > 0 || doctor->ca_state != NULL)
        return find_sti_cas(doctor, out, err);
    const char *pem = cert_chain_pem(chain);
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    if (code == STICPS_OK)
        code = anchors_add(anchors, pem, strlen(pem), STICPS_ERR_USAGE, err);
    if (code == STICPS_OK)
        *out = anchors;
    else
        anchors_free(anchors);
    return code;
}

static void tell_findings(struct doctor *doctor, const struct cert_chain *chain)
{
    char *findings = sti_certificate_findings(chain);
    for (char *line = findings, *end; line != NULL && *line != '\0'; line = end) {
        end = strchr(line, '\n');
        if (end != NULL)
            *end++ = '\0';
        step_warn(report_add(&doctor->report, "x5u", "finding", "%s", ""), "FINDING",
                  "Ask the STI-CA; no verifier refuses it for that.", "%s", line);
    }
    free(findings);
}

static void judge(struct doctor *doctor, const struct cert_chain *chain)
{
    char text[420];
    struct sticps_error err = {0};
    struct anchors *anchors = NULL;
    struct crl *crl = NULL;
    struct spc spc = {{0}};
    cert_text(doctor, cert_chain_leaf(chain), text, sizeof(text));
    enum sticps_err code = find_anchors(doctor, chain, &anchors, &err);
    if (code == STICPS_OK)
        code = sti_crl(&doctor->o, doctor->now, &crl, &err);
    if (code == STICPS_OK)
        code = sti_certificate_check(chain, anchors, crl, doctor->now, NULL, &spc, &err);
    struct report_step *step = report_add(&doctor->report, "x5u", "certificate", "%s%s%s", text,
                                          code == STICPS_OK ? ", SPC " : "", spc.text);
    if (code != STICPS_OK)
        step_fail(step, &err, NULL);
    else
        cert_warn(doctor, step, cert_chain_leaf(chain), "Renew it at the STI-CA.");
    if (code == STICPS_OK && doctor->o.anchors.len == 0 && doctor->ca_state == NULL)
        step_warn(report_add(&doctor->report, "x5u", "trust", "%s", ""), "UNCHECKED",
                  "Give the approved STI-CAs with --anchor or --ca-state.",
                  "whether an approved STI-CA issued it was not looked at");
    if (code == STICPS_OK)
        tell_findings(doctor, chain);
    crl_unref(crl);
    anchors_free(anchors);
}

void doctor_x5u(struct doctor *doctor, const char *url)
{
    static const struct net_seen unseen = {.answered = false};
    struct sticps_client *client = doctor->client;
    struct sticps_error err = {0};
    struct cert_chain *chain = NULL;
    struct report_step *step = report_add(&doctor->report, "x5u", "url", "%s", url);
    if (x5u_check(url, strlen(url), doctor->o.lab, &err) != STICPS_OK) {
        step_fail(step, &err, "Have the certificate served under a URL that follows the rule.");
        return;
    }
    size_t blame = net_look(doctor, "x5u", url, client->options->x5u_timeout);
    enum sticps_err code = sti_fetch_chain(client, url, &chain, NULL, &err);
    net_settle(doctor, "x5u", url, blame, &unseen, &err);
    if (code == STICPS_OK) {
        report_add(&doctor->report, "x5u", "http", "%s: %zu certificates", url,
                   cert_chain_len(chain));
        judge(doctor, chain);
    } else if (code != STICPS_ERR_FETCH && code != STICPS_ERR_ADDRESS) {
        step_fail(report_add(&doctor->report, "x5u", "http", "%s", url), &err, NULL);
    }
    cert_chain_unref(chain);
}
