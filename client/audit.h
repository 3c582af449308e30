/* What an operator did to the state of a list by hand, one line of JSON each, in audit.log of the
 * state directory (docs/state-format.md). Called by lists.c, under the lock, before the change is
 * written: what cannot be recorded is not done. */
#ifndef CLIENT_AUDIT_H
#define CLIENT_AUDIT_H

#include "client/list_state.h"
#include "sticps/list.h"

struct audit_entry {
    const char *what; /* "reset", "recover" */
    enum sticps_list_kind kind;
    const struct list_state *before, *after;
};

/* Adds the line and syncs it. `now`: Unix seconds. STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. */
enum sticps_err audit_note(const char *dir, int64_t now, const struct audit_entry *entry,
                           struct sticps_error *err) STICPS_MUST_CHECK;

#endif
