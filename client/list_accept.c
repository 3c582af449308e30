#include "client/list_accept.h"

#include "client/sha256.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- rules 2 and 3 ---- */

static bool names_host(const struct url *x5u, const struct text *host)
{
    return host->len == x5u->host_len && strncasecmp(host->data, x5u->host, x5u->host_len) == 0;
}

static bool is_on_host_of(const struct url *x5u, const char *list_url)
{
    struct url own;
    return url_parse(list_url, strlen(list_url), &own, NULL) == STICPS_OK &&
           url_same_host(x5u, &own);
}

/* Rule 3: the x5u names the list's own host, or one that the configuration names. */
static enum sticps_err check_x5u_host(const char *x5u_text, const char *list_url,
                                      enum signed_list_kind kind,
                                      const struct sticps_options *options,
                                      struct sticps_error *err)
{
    struct url x5u;
    if (url_parse(x5u_text, strlen(x5u_text), &x5u, NULL) != STICPS_OK)
        return fail(err, STICPS_ERR_HEADER, "x5u", "not a URL: %s", x5u_text);
    for (size_t i = 0; i < options->x5u_hosts.len; i++)
        if (names_host(&x5u, &options->x5u_hosts.items[i]))
            return STICPS_OK;
    const struct text_list *urls =
        &options->list_urls[kind == SIGNED_LIST_CPS_MAPPING ? STICPS_LIST_CPS : STICPS_LIST_CA];
    for (size_t i = 0; list_url == NULL && i < urls->len; i++)
        if (is_on_host_of(&x5u, urls->items[i].data))
            return STICPS_OK;
    if (list_url != NULL && is_on_host_of(&x5u, list_url))
        return STICPS_OK;
    return fail(err, STICPS_ERR_HEADER, "x5u",
                "the certificate is on host %.*s, the list is not (%s); when that is meant, name "
                "the host with --x5u-host",
                (int)x5u.host_len, x5u.host, list_url != NULL ? list_url : "a file");
}

enum sticps_err list_accept_open(const char *body, size_t len, enum signed_list_kind kind,
                                 const char *list_url, const struct sticps_options *options,
                                 struct list_candidate *out, struct sticps_error *err)
{
    struct list_candidate candidate = {.kind = kind};
    const char *text = NULL;
    char *owned = NULL;
    enum sticps_err code =
        signed_list_unwrap(body, len, kind, &text, &candidate.jws_len, &owned, err);
    if (code != STICPS_OK)
        return code;
    candidate.jws = malloc(candidate.jws_len + 1);
    if (candidate.jws == NULL) {
        code = fail(err, STICPS_ERR_NO_MEMORY, list_url, "out of memory");
        goto cleanup;
    }
    memcpy(candidate.jws, text, candidate.jws_len);
    candidate.jws[candidate.jws_len] = '\0';
    code = sha256_hex(candidate.jws, candidate.jws_len, candidate.sha256, err);
    if (code == STICPS_OK)
        code = jws_split(candidate.jws, candidate.jws_len, STICPS_ERR_FORM, &candidate.parts, err);
    if (code == STICPS_OK)
        code = signed_list_header_parse(&candidate.parts, options->lab, &candidate.header, err);
    if (code == STICPS_OK)
        code = check_x5u_host(candidate.header.x5u, list_url, kind, options, err);
    if (code == STICPS_OK) {
        *out = candidate;
        candidate = (struct list_candidate){0};
    }
cleanup:
    free(owned);
    list_candidate_clear(&candidate);
    return code;
}

void list_candidate_drop_text(struct list_candidate *candidate)
{
    jws_clear(&candidate->parts);
    free(candidate->jws);
    candidate->jws = NULL;
}

void list_candidate_clear(struct list_candidate *candidate)
{
    list_candidate_drop_text(candidate);
    signed_list_header_clear(&candidate->header);
    *candidate = (struct list_candidate){0};
}

/* ---- rules 4 to 7 ---- */

enum sticps_err list_accept_signer(const struct list_candidate *candidate,
                                   const struct cert_chain *chain, const struct anchors *anchors,
                                   const struct crl *crl, int64_t now, struct sticps_error *err)
{
    enum sticps_err code = list_signer_check(chain, anchors, crl, now, NULL, err);
    if (code != STICPS_OK)
        return code;
    return jws_verify(&candidate->parts, cert_chain_key(chain), STICPS_ERR_SIGNATURE, err);
}

enum sticps_err list_accept_payload(const struct list_candidate *candidate, int64_t now,
                                    const struct sticps_options *options, struct signed_list **out,
                                    struct sticps_error *err)
{
    struct url_rules rules = {
        .lab = options->lab,
        .any_form = true,
        .ports = options->ports,
        .ports_len = options->ports_len,
    };
    /* A clock before 1970 would read as "do not compare". */
    if (now < 0)
        return fail(err, STICPS_ERR_EXP, "exp", "the clock is before 1970; set it");
    return signed_list_parse(&candidate->parts, candidate->kind, now, options->max_lifetime, &rules,
                             out, err);
}

/* ---- rules 8 and 9 ---- */

enum sticps_err list_accept_sequence(const struct list_state *state, int64_t sequence,
                                     const char *sha256, bool *current, struct sticps_error *err)
{
    if (sequence < state->floor)
        return fail(err, STICPS_ERR_ROLLBACK, "sequence",
                    "sequence %lld is below %lld, which was accepted before; when the STI-PA says "
                    "by another way that it went back: sticps list recover",
                    (long long)sequence, (long long)state->floor);
    *current = state->jws != NULL && state->sequence == sequence;
    const char *seen = *current ? state->sha256 : list_state_seen(state, sequence);
    if (seen != NULL && strcmp(seen, sha256) != 0)
        return fail(err, STICPS_ERR_EQUIVOCATION, "sequence",
                    "sequence %lld was accepted before with other bytes (SHA-256 %.16s..., now "
                    "%.16s...): two lists under one number; ask the STI-PA",
                    (long long)sequence, seen, sha256);
    return STICPS_OK;
}

/* Both are sorted by SPC. */
static size_t count_lost(const struct signed_list *held, const struct signed_list *list)
{
    size_t lost = 0, at = 0;
    for (size_t i = 0; i < held->entries_len; i++) {
        const struct spc *spc = &held->entries[i].spc;
        while (at < list->entries_len && memcmp(&list->entries[at].spc, spc, sizeof(*spc)) < 0)
            at++;
        if (at == list->entries_len || memcmp(&list->entries[at].spc, spc, sizeof(*spc)) != 0)
            lost++;
    }
    return lost;
}

enum sticps_err list_accept_shrink(const struct signed_list *held, const struct signed_list *list,
                                   const struct sticps_options *options, struct sticps_error *err)
{
    if (held == NULL || held->entries_len == 0 || options->accept_shrink)
        return STICPS_OK;
    size_t lost = count_lost(held, list);
    bool all = lost == held->entries_len;
    bool many = lost > options->shrink_entries &&
                (double)lost * 100.0 > (double)held->entries_len * (double)options->shrink_percent;
    if (!all && !many)
        return STICPS_OK;
    return fail(err, STICPS_ERR_SHRINK, "cpsMapping",
                "%zu of the %zu held entries are gone; when that is meant, fetch once with "
                "--accept-shrink",
                lost, held->entries_len);
}
