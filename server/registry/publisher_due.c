#include "server/http/timer.h"
#include "server/registry/daemon.h"
#include "server/registry/publisher_internal.h"

/* How often one kind is published, from the configuration. */
struct timing {
    int64_t lifetime, period; /* seconds */
    uint64_t debounce_ms;
};

static struct timing timing_of(const struct config *config, enum list_kind kind)
{
    if (kind == LIST_CA)
        return (struct timing){config->ca_list.lifetime, config->ca_list.period, 0};
    return (struct timing){config->list.lifetime, config->list.period, config->list.debounce_ms};
}

/* exp of a list published now: no list outlives its signer's certificate, because clients check the
 * certificate of a list they hold only when they fetch again. */
int64_t publisher_exp(const struct publisher *p, enum list_kind kind)
{
    int64_t exp = clock_now(p->daemon->clock) + timing_of(p->daemon->config, kind).lifetime;
    int64_t end = cert_chain_not_after(p->daemon->signer->chain);

    return exp < end ? exp : end;
}

const char *publisher_due(const struct publisher *p, enum list_kind kind, bool requested)
{
    const struct timing timing = timing_of(p->daemon->config, kind);
    const struct track *track = &p->tracks[kind];
    int64_t now = clock_now(p->daemon->clock);

    if (monotonic_ms() < track->next_attempt)
        return NULL;
    if (track->sequence == 0)
        return "first";
    if (!track->ours)
        return "signer";
    if (requested)
        return "request";
    /* A list that lives to the certificate's end needs no other: that one would not live longer. A
     * lifetime that a reload has made shorter is no reason to stop. */
    bool to_the_end = track->exp >= cert_chain_not_after(p->daemon->signer->chain);
    if ((now >= track->created + timing.period || now >= track->exp - timing.lifetime / 2) &&
        (!to_the_end || now >= track->exp))
        return "period";
    if (track->changed && monotonic_ms() >= track->changed_at + timing.debounce_ms)
        return "change";
    return NULL;
}

int publisher_wait(const struct publisher *p, int limit)
{
    uint64_t now = monotonic_ms();
    int wait = limit;

    for (enum list_kind kind = 0; kind < LIST_KINDS; kind++) {
        const struct track *track = &p->tracks[kind];
        uint64_t due = track->changed_at + timing_of(p->daemon->config, kind).debounce_ms;

        if (due < track->next_attempt)
            due = track->next_attempt;
        /* what was due at the last look and is still there is held up by something else */
        if (!track->changed || due <= p->looked_at || due >= now + (uint64_t)wait)
            continue;
        wait = due > now ? (int)(due - now) : 0;
    }
    return wait;
}
