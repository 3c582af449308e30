#include "client/lists.h"

#include "client/audit.h"
#include "client/forks.h"
#include "client/list_store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct held {
    struct list_store *store;
    pthread_mutex_t mutex; /* of the store, and of changes to `list` */
    _Atomic(struct sticps_list *) list;
};

struct lists {
    const struct sticps_options *options;
    struct gate *gate;
    struct held held[2]; /* by enum sticps_list_kind */
};

enum sticps_err lists_new(const struct sticps_options *options, struct gate *gate,
                          struct lists **out, struct sticps_error *err)
{
    struct lists *lists = calloc(1, sizeof(*lists));
    if (lists == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    lists->options = options;
    lists->gate = gate;
    enum sticps_err code = STICPS_OK;
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++) {
        pthread_mutex_init(&lists->held[kind].mutex, NULL);
        atomic_init(&lists->held[kind].list, NULL);
        if (code == STICPS_OK)
            code = list_store_new(options->state_dir, (enum sticps_list_kind)kind,
                                  &lists->held[kind].store, err);
        if (code == STICPS_OK && options->rehearsal)
            list_store_rehearse(lists->held[kind].store);
    }
    if (code == STICPS_OK)
        *out = lists;
    else
        lists_free(lists);
    return code;
}

void lists_free(struct lists *lists)
{
    if (lists == NULL)
        return;
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++) {
        sticps_list_unref(atomic_load(&lists->held[kind].list));
        list_store_free(lists->held[kind].store);
        pthread_mutex_destroy(&lists->held[kind].mutex);
    }
    free(lists);
}

/* Under the mutex. Takes over `list`, which may be NULL. */
static void publish(struct lists *lists, struct held *held, struct sticps_list *list)
{
    forks_hold();
    struct sticps_list *old = atomic_exchange(&held->list, list);
    gate_wait(lists->gate);
    forks_release();
    sticps_list_unref(old);
}

enum sticps_err lists_read(struct lists *lists, enum sticps_list_kind kind, struct list_state *out,
                           struct sticps_error *err)
{
    struct held *held = &lists->held[kind];
    pthread_mutex_lock(&held->mutex);
    enum sticps_err code = list_store_read_known(held->store, atomic_load(&held->list), out, err);
    pthread_mutex_unlock(&held->mutex);
    return code;
}

static enum sticps_err from_state(enum sticps_list_kind kind, const struct list_state *state,
                                  struct sticps_list **out, struct sticps_error *err)
{
    return list_from_held(kind, state->jws, state->jws_len, state->sha256, state->source,
                          state->fetched_at, out, err);
}

/* Rule 9, against what is held on disk; in memory it is mostly there already. Under the mutex. */
static enum sticps_err check_shrink(const struct lists *lists, enum sticps_list_kind kind,
                                    const struct signed_list *payload,
                                    const struct list_state *state, struct sticps_error *err)
{
    if (kind != STICPS_LIST_CPS || state->jws == NULL || lists->options->accept_shrink)
        return STICPS_OK;
    const struct sticps_list *known = lists_peek(lists, kind);
    if (known != NULL && strcmp(sticps_list_sha256(known), state->sha256) == 0)
        return list_accept_shrink(list_payload(known), payload, lists->options, err);
    struct sticps_list *before = NULL;
    enum sticps_err code = from_state(kind, state, &before, err);
    if (code != STICPS_OK)
        return code;
    code = list_accept_shrink(list_payload(before), payload, lists->options, err);
    sticps_list_unref(before);
    return code;
}

/* Under the lock: rules 8 and 9, then the new state is written. */
static enum sticps_err judge_and_store(struct lists *lists, struct held *held,
                                       struct list_commit *commit, bool *current, int64_t *previous,
                                       struct sticps_list **out, struct sticps_error *err)
{
    struct list_state state = {0};
    struct list_accepted accepted = commit->accepted;
    accepted.jws = commit->candidate->jws;
    accepted.jws_len = commit->candidate->jws_len;
    accepted.sha256 = commit->candidate->sha256;
    accepted.sequence = commit->payload->sequence;
    accepted.exp = commit->payload->exp;

    enum sticps_err code =
        list_store_read_known(held->store, atomic_load(&held->list), &state, err);
    if (code != STICPS_OK)
        return code;
    *previous = state.sequence;
    code = list_accept_sequence(&state, accepted.sequence, accepted.sha256, current, err);
    if (code == STICPS_OK && !*current)
        code = check_shrink(lists, commit->kind, commit->payload, &state, err);
    if (code == STICPS_OK && !(*current && commit->confirms))
        code = list_state_take(&state, &accepted, err);
    struct sticps_list *list = NULL;
    if (code == STICPS_OK)
        list_candidate_drop_text(commit->candidate);
    if (code == STICPS_OK) /* either way these bytes, which commit->payload was parsed from */
        code = list_from_payload(commit->kind, &commit->payload, &state, &list, err);
    bool made = list != NULL;
    if (code == STICPS_OK && !(*current && commit->confirms))
        code = list_store_write(held->store, &state, err);
    if (code == STICPS_OK) {
        *out = list;
        list = NULL;
    }
    if (made)
        state.jws = NULL; /* the list's */
    sticps_list_unref(list);
    list_state_clear(&state);
    return code;
}

enum sticps_err lists_commit(struct lists *lists, struct list_commit *commit,
                             enum sticps_list_status *status, int64_t *previous,
                             struct sticps_list **out, struct sticps_error *err)
{
    struct held *held = &lists->held[commit->kind];
    bool current = false;
    struct sticps_list *list = NULL;
    pthread_mutex_lock(&held->mutex);
    enum sticps_err code = list_store_lock(held->store, err);
    if (code == STICPS_OK) {
        code = judge_and_store(lists, held, commit, &current, previous, &list, err);
        list_store_unlock(held->store);
    }
    if (code == STICPS_OK) {
        *status = current ? STICPS_LIST_CURRENT : STICPS_LIST_TAKEN;
        *out = sticps_list_ref(list);
        publish(lists, held, list);
    }
    pthread_mutex_unlock(&held->mutex);
    return code;
}

enum sticps_err lists_load(struct lists *lists, enum sticps_list_kind kind,
                           struct sticps_error *err)
{
    struct held *held = &lists->held[kind];
    struct list_state state = {0};
    struct sticps_list *list = NULL;
    pthread_mutex_lock(&held->mutex);
    enum sticps_err code = list_store_read(held->store, &state, err);
    if (code == STICPS_OK && state.jws == NULL)
        code = fail(err, STICPS_ERR_NO_LIST, lists->options->state_dir,
                    "no list is held; fetch one first (sticps list fetch)");
    if (code == STICPS_OK)
        code = from_state(kind, &state, &list, err);
    if (code == STICPS_OK)
        publish(lists, held, list);
    pthread_mutex_unlock(&held->mutex);
    list_state_clear(&state);
    return code;
}

/* ---- what an operator changes ---- */

/* Under the lock: records the change, then makes it. */
static enum sticps_err record_and_write(const struct lists *lists, struct held *held,
                                        const struct audit_entry *entry, struct sticps_error *err)
{
    const struct sticps_options *options = lists->options;
    enum sticps_err code = STICPS_OK;
    if (options->state_dir != NULL && !options->rehearsal)
        code = audit_note(options->state_dir, clock_now(&options->clock), entry, err);
    return code != STICPS_OK ? code : list_store_write(held->store, entry->after, err);
}

/* Under the lock. */
static enum sticps_err lower(const struct lists *lists, enum sticps_list_kind kind,
                             struct held *held, int64_t sequence, int64_t *previous_floor,
                             bool *dropped, struct sticps_error *err)
{
    struct list_state before = {0}, after = {0};
    const struct audit_entry entry = {"reset", kind, &before, &after};
    enum sticps_err code = list_store_read(held->store, &before, err);
    if (code == STICPS_OK)
        code = list_store_read(held->store, &after, err);
    if (code == STICPS_OK)
        code = list_state_reset(&after, sequence, dropped, err);
    if (code == STICPS_OK)
        code = record_and_write(lists, held, &entry, err);
    *previous_floor = before.floor;
    list_state_clear(&before);
    list_state_clear(&after);
    return code;
}

enum sticps_err lists_reset(struct lists *lists, enum sticps_list_kind kind, int64_t sequence,
                            int64_t *previous_floor, bool *dropped, struct sticps_error *err)
{
    if (sequence < 0)
        return fail(err, STICPS_ERR_USAGE, NULL, "a sequence is 0 or more");
    struct held *held = &lists->held[kind];
    int64_t floor = 0;
    bool gone = false;
    pthread_mutex_lock(&held->mutex);
    enum sticps_err code = list_store_lock(held->store, err);
    if (code == STICPS_OK) {
        code = lower(lists, kind, held, sequence, &floor, &gone, err);
        list_store_unlock(held->store);
    }
    if (code == STICPS_OK) {
        if (gone)
            publish(lists, held, NULL);
        if (previous_floor != NULL)
            *previous_floor = floor;
        if (dropped != NULL)
            *dropped = gone;
    }
    pthread_mutex_unlock(&held->mutex);
    return code;
}

/* Rules 7 to 9 once more for a list that was offered a while ago; rule 8 must refuse it, or there
 * is nothing to recover from. */
static enum sticps_err check_offered(const struct lists *lists, const struct list_state *state,
                                     const struct sticps_list *offered, struct sticps_error *err)
{
    const struct signed_list *payload = list_payload(offered);
    bool current = false;
    enum sticps_err code =
        list_accept_sequence(state, payload->sequence, sticps_list_sha256(offered), &current, NULL);
    if (code == STICPS_OK)
        return fail(err, STICPS_ERR_USAGE, "sequence",
                    "nothing is to be recovered from: sequence %lld is not refused (the floor is "
                    "%lld); fetch the list",
                    (long long)payload->sequence, (long long)state->floor);
    if (payload->exp <= clock_now(&lists->options->clock))
        return fail(err, STICPS_ERR_EXP, "exp", "the offered list has expired meanwhile");
    return check_shrink(lists, sticps_list_kind(offered), payload, state, err);
}

enum sticps_err lists_may_recover(struct lists *lists, const struct sticps_list *offered,
                                  int64_t *floor, struct sticps_error *err)
{
    struct list_state state = {0};
    enum sticps_err code = lists_read(lists, sticps_list_kind(offered), &state, err);
    if (code != STICPS_OK)
        return code;
    *floor = state.floor;
    code = check_offered(lists, &state, offered, err);
    list_state_clear(&state);
    return code;
}

/* The state with `offered` in it, and without what was accepted at its sequence and above. */
static enum sticps_err take_offered(const struct lists *lists, struct list_state *state,
                                    const struct sticps_list *offered, struct sticps_error *err)
{
    bool dropped = false;
    const char *jws = sticps_list_jws(offered);
    const struct list_accepted accepted = {
        .jws = jws,
        .jws_len = strlen(jws),
        .sha256 = sticps_list_sha256(offered),
        .sequence = sticps_list_sequence(offered),
        .exp = sticps_list_exp(offered),
        .fetched_at = clock_now(&lists->options->clock),
        .source = sticps_list_source(offered),
        .etag = "",
        .x5u = "", /* the next fetch asks for both */
        .chain = "",
    };
    enum sticps_err code = list_state_reset(state, accepted.sequence - 1, &dropped, err);
    return code != STICPS_OK ? code : list_state_take(state, &accepted, err);
}

/* Under the lock. */
static enum sticps_err recover(const struct lists *lists, struct held *held,
                               struct sticps_list *offered, int64_t *previous_floor,
                               struct sticps_error *err)
{
    struct list_state before = {0}, after = {0};
    const struct audit_entry entry = {"recover", sticps_list_kind(offered), &before, &after};
    enum sticps_err code = list_store_read(held->store, &before, err);
    if (code == STICPS_OK)
        code = check_offered(lists, &before, offered, err);
    if (code == STICPS_OK)
        code = list_store_read(held->store, &after, err);
    if (code == STICPS_OK)
        code = take_offered(lists, &after, offered, err);
    if (code == STICPS_OK)
        code = record_and_write(lists, held, &entry, err);
    *previous_floor = before.floor;
    list_state_clear(&before);
    list_state_clear(&after);
    return code;
}

enum sticps_err lists_recover(struct lists *lists, struct sticps_list *offered,
                              int64_t *previous_floor, struct sticps_error *err)
{
    struct held *held = &lists->held[sticps_list_kind(offered)];
    int64_t floor = 0;
    pthread_mutex_lock(&held->mutex);
    enum sticps_err code = list_store_lock(held->store, err);
    if (code == STICPS_OK) {
        code = recover(lists, held, offered, &floor, err);
        list_store_unlock(held->store);
    }
    if (code == STICPS_OK) {
        publish(lists, held, sticps_list_ref(offered));
        if (previous_floor != NULL)
            *previous_floor = floor;
    }
    pthread_mutex_unlock(&held->mutex);
    return code;
}

/* ---- reading in memory ---- */

struct sticps_list *lists_held(struct lists *lists, enum sticps_list_kind kind)
{
    unsigned ticket = gate_enter(lists->gate); /* not the mutex, which is held while a disk syncs */
    struct sticps_list *list = atomic_load(&lists->held[kind].list);
    if (list != NULL)
        sticps_list_ref(list);
    gate_leave(lists->gate, ticket);
    return list;
}

const struct sticps_list *lists_peek(const struct lists *lists, enum sticps_list_kind kind)
{
    return atomic_load(&lists->held[kind].list);
}
