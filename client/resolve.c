#include "client/resolve.h"

#include "client/client.h"

#include "common/url.h"
#include "sticps/resolve.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

struct sticps_answer {
    struct tn tn;
    struct number_answer number;
    struct spc spc; /* after the override */
    int64_t sequence;
    enum sticps_freshness freshness;
    enum sticps_err reason;
    char url[URL_MAX_LENGTH + 1]; /* the last, so that an answer is emptied without its 2 KiB */
};

struct sticps_answer *sticps_answer_new(void)
{
    return calloc(1, sizeof(struct sticps_answer));
}

void sticps_answer_free(struct sticps_answer *answer)
{
    free(answer);
}

void answer_copy(struct sticps_answer *to, const struct sticps_answer *from)
{
    *to = *from;
}

/* Who serves an LRN that came without its owner. */
static void find_owner(const struct number_sources *sources, struct number_answer *answer)
{
    for (size_t i = 0; i < sources->len; i++) {
        const struct number_source *source = sources->items[i];
        if (source->ops->owner_of_lrn != NULL &&
            source->ops->owner_of_lrn(source, &answer->lrn, &answer->spc))
            return;
    }
}

/* Who serves the number, by the first source that knows it. Inside the gate. */
static enum sticps_err find_carrier(const struct sticps_client *client, bool asked,
                                    struct sticps_answer *answer, struct sticps_error *err)
{
    const struct number_sources *sources = atomic_load(&client->numbers);
    struct sticps_error
        trouble; /* written by a source that fails; not its 600 bytes at each call */
    trouble.code = STICPS_OK;
    enum number_result result = NUMBER_NOT_FOUND;
    for (size_t i = 0; i < sources->len && result != NUMBER_FOUND; i++) {
        result = number_source_lookup(sources->items[i], &answer->tn, &answer->number, &trouble);
        if (result == NUMBER_NOT_ASKED && !asked)
            return fail(err, STICPS_ERR_WOULD_WAIT, answer->tn.digits,
                        "ENUM must be asked about this number first: sticps_resolve_start does");
        if (result == NUMBER_NOT_ASKED)
            fail(&trouble, STICPS_ERR_FETCH, "enum", "ENUM had no answer in time");
        if (result == NUMBER_FOUND && answer->number.lrn.digits[0] != '\0' &&
            answer->number.spc.text[0] == '\0' && sources->items[i]->ops->owner_of_lrn == NULL)
            find_owner(sources, &answer->number);
    }
    if (result == NUMBER_FOUND && answer->number.spc.text[0] != '\0') {
        answer->spc = *override_table_find(client->options->overrides, &answer->number.spc);
        return STICPS_OK;
    }
    if (sources->len == 0)
        return fail(err, STICPS_ERR_NO_CARRIER, answer->tn.digits,
                    "no portability file is configured, so no carrier is known");
    if (answer->number.lrn.digits[0] != '\0')
        return fail(err, STICPS_ERR_NO_CARRIER, answer->tn.digits,
                    "ported to LRN %s, which is in nobody's block", answer->number.lrn.digits);
    if (result != NUMBER_FOUND && trouble.code != STICPS_OK)
        return fail(err, STICPS_ERR_NO_CARRIER, answer->tn.digits, "a source failed: %s",
                    trouble.text);
    return fail(err, STICPS_ERR_NO_CARRIER, answer->tn.digits,
                "no source names a carrier for this number");
}

/* Notes the list's sequence and age, whatever becomes of the rest. Inside the gate. */
static const struct sticps_list *weigh_list(const struct sticps_client *client,
                                            struct sticps_answer *answer)
{
    const struct sticps_list *list = lists_peek(client->lists, STICPS_LIST_CPS);
    answer->freshness = STICPS_NONE;
    if (list == NULL)
        return NULL;
    answer->sequence = sticps_list_sequence(list);
    int64_t age = clock_now(&client->options->clock) - sticps_list_exp(list);
    if (age < 0)
        answer->freshness = STICPS_FRESH;
    else if (age < client->options->grace)
        answer->freshness = STICPS_STALE;
    else
        answer->freshness = STICPS_EXPIRED;
    return list;
}

/* Inside the gate. */
static enum sticps_err find_url(const struct sticps_list *list, struct sticps_answer *answer,
                                struct sticps_error *err)
{
    if (list == NULL)
        return fail(err, STICPS_ERR_NO_LIST, answer->tn.digits,
                    "no list is held; fetch one first (sticps list fetch)");
    if (answer->freshness == STICPS_EXPIRED)
        return fail(err, STICPS_ERR_LIST_EXPIRED, answer->tn.digits,
                    "the held list, sequence %lld, has expired; fetch a newer one",
                    (long long)answer->sequence);
    const char *url = signed_list_find(list_payload(list), &answer->spc);
    if (url == NULL)
        return fail(err, STICPS_ERR_CARRIER_HAS_NO_CPS, answer->tn.digits,
                    "%s has no CPS in list %lld", answer->spc.text, (long long)answer->sequence);
    memccpy(answer->url, url, '\0', sizeof(answer->url)); /* no list has a longer one */
    return STICPS_OK;
}

enum sticps_err resolve_number(struct sticps_client *client, const char *number, bool asked,
                               struct sticps_answer *answer, struct sticps_error *err)
{
    struct sticps_error why;
    memset(answer, 0, offsetof(struct sticps_answer, url) + 1);
    unsigned ticket = gate_enter(&client->gate);
    const struct sticps_list *list = weigh_list(client, answer);
    enum sticps_err code =
        tn_from_typed(number, strlen(number), client->options->default_country, &answer->tn, &why);
    if (code != STICPS_OK)
        code = fail(err, STICPS_ERR_NOT_A_NUMBER, number, "%s", why.text);
    if (code == STICPS_OK)
        code = find_carrier(client, asked, answer, err);
    if (code == STICPS_OK)
        code = find_url(list, answer, err);
    gate_leave(&client->gate, ticket);
    answer->reason = code;
    return code;
}

enum sticps_err sticps_resolve(struct sticps_client *client, const char *number,
                               struct sticps_answer *answer, struct sticps_error *err)
{
    /* In a child of the client's process nobody asks ENUM any more. */
    return resolve_number(client, number, client->forks != forks_count(), answer, err);
}

const char *sticps_answer_tn(const struct sticps_answer *answer)
{
    return answer->tn.digits;
}

const char *sticps_answer_lrn(const struct sticps_answer *answer)
{
    return answer->number.lrn.digits;
}

bool sticps_answer_ported(const struct sticps_answer *answer)
{
    return answer->number.ported;
}

const char *sticps_answer_carrier(const struct sticps_answer *answer)
{
    return answer->number.spc.text;
}

const char *sticps_answer_spc(const struct sticps_answer *answer)
{
    return answer->spc.text;
}

const char *sticps_answer_url(const struct sticps_answer *answer)
{
    return answer->url;
}

int64_t sticps_answer_sequence(const struct sticps_answer *answer)
{
    return answer->sequence;
}

enum sticps_freshness sticps_answer_freshness(const struct sticps_answer *answer)
{
    return answer->freshness;
}

enum sticps_err sticps_answer_reason(const struct sticps_answer *answer)
{
    return answer->reason;
}

const char *sticps_freshness_name(enum sticps_freshness freshness)
{
    switch (freshness) {
    case STICPS_FRESH:
        return "fresh";
    case STICPS_STALE:
        return "stale";
    case STICPS_EXPIRED:
        return "expired";
    case STICPS_NONE:
        break;
    }
    return "none";
}
