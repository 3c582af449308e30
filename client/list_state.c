#include "client/list_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void drop_held(struct list_state *state)
{
    free(state->jws);
    free(state->source);
    free(state->etag);
    free(state->x5u);
    free(state->chain);
    state->jws = state->source = state->etag = state->x5u = state->chain = NULL;
    state->jws_len = 0;
    state->sha256[0] = '\0';
    state->sequence = state->exp = state->fetched_at = state->chain_expires = 0;
}

void list_state_clear(struct list_state *state)
{
    drop_held(state);
    free(state->seen);
    *state = (struct list_state){0};
}

const char *list_state_seen(const struct list_state *state, int64_t sequence)
{
    for (size_t i = state->seen_len; i > 0; i--) /* the wanted one is nearly always the last */
        if (state->seen[i - 1].sequence == sequence)
            return state->seen[i - 1].sha256;
    return NULL;
}

/* A copy of `seen` with this one, without the oldest when it would be too long. NULL when out of
 * memory. */
static struct list_seen *seen_with(const struct list_state *state, int64_t sequence,
                                   const char *sha256, size_t *len)
{
    bool known = list_state_seen(state, sequence) != NULL;
    size_t skip = !known && state->seen_len >= LIST_STATE_MAX_SEEN ? 1 : 0;
    size_t keep = state->seen_len - skip;
    struct list_seen *seen = calloc(keep + 1, sizeof(*seen));
    if (seen == NULL)
        return NULL;
    if (keep > 0)
        memcpy(seen, state->seen + skip, keep * sizeof(*seen));
    if (!known) {
        seen[keep].sequence = sequence;
        snprintf(seen[keep].sha256, sizeof(seen[keep].sha256), "%s", sha256);
        keep++;
    }
    *len = keep;
    return seen;
}

enum sticps_err list_state_take(struct list_state *state, const struct list_accepted *accepted,
                                struct sticps_error *err)
{
    size_t seen_len = 0;
    struct list_seen *seen = seen_with(state, accepted->sequence, accepted->sha256, &seen_len);
    char *source = strdup(accepted->source);
    char *etag = strdup(accepted->etag);
    char *x5u = strdup(accepted->x5u);
    char *chain = strdup(accepted->chain);
    /* last, and in the room of the held one: so there are not two of some megabytes at once */
    char *jws = NULL;
    if (seen && source && etag && x5u && chain)
        jws = realloc(state->jws, accepted->jws_len + 1);
    if (jws != NULL)
        state->jws = NULL;
    if (jws == NULL) {
        free(seen);
        free(source);
        free(etag);
        free(x5u);
        free(chain);
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    memcpy(jws, accepted->jws, accepted->jws_len);
    jws[accepted->jws_len] = '\0';
    drop_held(state);
    free(state->seen);
    state->seen = seen;
    state->seen_len = seen_len;
    state->jws = jws;
    state->jws_len = accepted->jws_len;
    snprintf(state->sha256, sizeof(state->sha256), "%s", accepted->sha256);
    state->sequence = accepted->sequence;
    state->exp = accepted->exp;
    state->fetched_at = accepted->fetched_at;
    state->source = source;
    state->etag = etag;
    state->x5u = x5u;
    state->chain = chain;
    state->chain_expires = accepted->chain_expires;
    if (state->floor < accepted->sequence)
        state->floor = accepted->sequence;
    return STICPS_OK;
}

enum sticps_err list_state_reset(struct list_state *state, int64_t sequence, bool *dropped,
                                 struct sticps_error *err)
{
    if (sequence > state->floor)
        return fail(err, STICPS_ERR_USAGE, NULL,
                    "the floor is %lld; a reset only lowers it, an accepted list raises it",
                    (long long)state->floor);
    state->floor = sequence;
    while (state->seen_len > 0 && state->seen[state->seen_len - 1].sequence > sequence)
        state->seen_len--;
    *dropped = state->jws != NULL && state->sequence > sequence;
    if (*dropped)
        drop_held(state);
    return STICPS_OK;
}
