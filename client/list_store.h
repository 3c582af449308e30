/* The state directory: one JSON file for each kind of list, cps-list.json and ca-list.json, which
 * holds a struct list_state. Written to a temporary file, synced, renamed, and the directory
 * synced, so that whatever dies when, the file is a whole old or a whole new one. Changes are made
 * between lock and unlock, on what was read after the lock: several processes may share the
 * directory.
 *
 * A damaged file is STICPS_ERR_STATE and stays: starting afresh would forget the floor under the
 * sequence. A missing file is a first start. Called by lists.c; the file's form is in docs/. */
#ifndef CLIENT_LIST_STORE_H
#define CLIENT_LIST_STORE_H

#include "client/list_state.h"
#include "sticps/list.h"

struct list_store;

/* Nothing is opened yet. `dir` NULL keeps the state in memory. */
enum sticps_err list_store_new(const char *dir, enum sticps_list_kind kind, struct list_store **out,
                               struct sticps_error *err) STICPS_MUST_CHECK;
void list_store_free(struct list_store *store); /* accepts NULL */

/* From now on nothing is made, locked or written but in memory, over what the directory has: for
 * who only wants to know what would happen. */
void list_store_rehearse(struct list_store *store);

/* Reads the state as it is now. *out is empty on a first start; the caller clears it. */
enum sticps_err list_store_read(struct list_store *store, struct list_state *out,
                                struct sticps_error *err) STICPS_MUST_CHECK;

/* The same, for who has parsed the list that is probably held (NULL: has not): when it is that, by
 * its hash, it is not parsed again. */
enum sticps_err list_store_read_known(struct list_store *store, const struct sticps_list *known,
                                      struct list_state *out,
                                      struct sticps_error *err) STICPS_MUST_CHECK;

/* Waits up to 5 s for the other writers (STICPS_ERR_STATE). Makes the directory if it is missing.
 */
enum sticps_err list_store_lock(struct list_store *store,
                                struct sticps_error *err) STICPS_MUST_CHECK;
void list_store_unlock(struct list_store *store);

/* Replaces the state; locked. STICPS_ERR_FILE: nothing was changed. */
enum sticps_err list_store_write(struct list_store *store, const struct list_state *state,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
