/* What is remembered of a list between fetches: the held list itself, where it came from, its
 * signer's chain, the floor under its sequence, and the hashes of what was accepted before. Plain
 * memory; list_store puts it on disk. */
#ifndef CLIENT_LIST_STATE_H
#define CLIENT_LIST_STATE_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LIST_STATE_MAX_SEEN 1000

struct list_seen {
    int64_t sequence;
    char sha256[65];
};

struct list_state {
    int64_t floor; /* lower sequences are ROLLBACK; 0 before the first list */

    /* the held list; jws is NULL when there is none */
    char *jws; /* NUL-terminated; owned, as are the other texts */
    size_t jws_len;
    char sha256[65];
    int64_t sequence, exp, fetched_at;
    char *source; /* URL */
    char *etag;   /* "" for none */

    /* the signer's chain, kept so that a fetch needs no second one; x5u is NULL when there is none
     */
    char *x5u, *chain;
    int64_t chain_expires;

    struct list_seen *seen; /* accepted ones, by rising sequence, LIST_STATE_MAX_SEEN at most */
    size_t seen_len;
};

void list_state_clear(struct list_state *state);

/* Everything about an accepted list, borrowed. */
struct list_accepted {
    const char *jws;
    size_t jws_len;
    const char *sha256;
    int64_t sequence, exp, fetched_at;
    const char *source, *etag, *x5u, *chain;
    int64_t chain_expires;
};

/* Makes `accepted` the held list: raises the floor, adds to `seen`. STICPS_ERR_NO_MEMORY leaves the
 * state as it was. */
enum sticps_err list_state_take(struct list_state *state, const struct list_accepted *accepted,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* The hash accepted under `sequence`, or NULL. */
const char *list_state_seen(const struct list_state *state, int64_t sequence);

/* Lowers the floor; *dropped tells whether a held list went. STICPS_ERR_USAGE when it would rise.
 */
enum sticps_err list_state_reset(struct list_state *state, int64_t sequence, bool *dropped,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
