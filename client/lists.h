/* The lists that a client holds, in memory and in the state directory, and the one place where they
 * change. Called by list_source (commit), resolve (peek) and client.c. */
#ifndef CLIENT_LISTS_H
#define CLIENT_LISTS_H

#include "client/gate.h"
#include "client/list.h"
#include "client/list_accept.h"
#include "client/list_state.h"
#include "client/options.h"

struct lists;

/* `options` and `gate` outlive it. */
enum sticps_err lists_new(const struct sticps_options *options, struct gate *gate,
                          struct lists **out, struct sticps_error *err) STICPS_MUST_CHECK;
void lists_free(struct lists *lists); /* accepts NULL */

/* The state as it is on disk now; the caller clears it. */
enum sticps_err lists_read(struct lists *lists, enum sticps_list_kind kind, struct list_state *out,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* A list that passed rules 2 to 7, with where it came from (accepted->jws, sha256, sequence and exp
 * are filled in here). */
struct list_commit {
    enum sticps_list_kind kind;
    struct list_candidate *candidate; /* its text is freed as soon as the state has it */
    struct signed_list *payload;      /* taken over, and then NULL here, when it is to be held */
    struct list_accepted accepted;
    bool confirms; /* the list of another source: when it is the held one, nothing is written */
};

/* Rules 8 and 9 under the lock, then the list is stored and becomes the held one. `previous` is the
 * sequence held before, *held the caller's reference. */
enum sticps_err lists_commit(struct lists *lists, struct list_commit *commit,
                             enum sticps_list_status *status, int64_t *previous,
                             struct sticps_list **held, struct sticps_error *err) STICPS_MUST_CHECK;

enum sticps_err lists_load(struct lists *lists, enum sticps_list_kind kind,
                           struct sticps_error *err) STICPS_MUST_CHECK;
enum sticps_err lists_reset(struct lists *lists, enum sticps_list_kind kind, int64_t sequence,
                            int64_t *previous_floor, bool *dropped,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* What lists_recover would say of `offered` now, changing nothing. *floor is set unless the state
 * cannot be read. */
enum sticps_err lists_may_recover(struct lists *lists, const struct sticps_list *offered,
                                  int64_t *floor, struct sticps_error *err) STICPS_MUST_CHECK;
/* As sticps_list_recover. */
enum sticps_err lists_recover(struct lists *lists, struct sticps_list *offered,
                              int64_t *previous_floor, struct sticps_error *err) STICPS_MUST_CHECK;

/* A reference to the held list, or NULL. */
struct sticps_list *lists_held(struct lists *lists, enum sticps_list_kind kind);

/* The held list or NULL, borrowed until the gate is left. */
const struct sticps_list *lists_peek(const struct lists *lists, enum sticps_list_kind kind);

#endif
