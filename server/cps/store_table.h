/* What the store in memory holds: PASSporTs by call, digests of all seen, and both by the second in
 * which they end. Hash tables of fixed size, keyed by a secret of the process, so that nobody who
 * chooses numbers or tokens can aim for one bucket. No lock: store_memory.c, the only caller, has
 * one. */
#ifndef SERVER_CPS_STORE_TABLE_H
#define SERVER_CPS_STORE_TABLE_H

#include "server/cps/store.h"

struct store_table;

/* A PASSporT that is held, or the digest of one handed over. */
struct entry;

/* STICPS_ERR_NO_MEMORY, STICPS_ERR_CRYPTO. `settings` are in range. */
enum sticps_err store_table_new(const struct store_settings *settings, struct store_table **out,
                                struct sticps_error *err) STICPS_MUST_CHECK;
void store_table_free(struct store_table *table); /* accepts NULL */

/* Everything that costs time, done outside the lock: copies the PASSporT and digests it. NULL when
 * out of memory or when OpenSSL does not work. Freed by entry_free unless it was inserted. */
struct entry *entry_new(const struct store_table *table, const struct store_call *call,
                        const struct store_item *item);
void entry_free(struct entry *entry); /* accepts NULL */

/* Would those of the entries that are new fit, all together? */
bool store_table_fits(const struct store_table *table, struct entry *const *entries, size_t len);

/* Takes the entry over; false, and it stays the caller's, when its digest is known or its time is
 * over. */
bool store_table_insert(struct store_table *table, struct entry *entry, int64_t now);

/* The calls that an entry is found under. */
size_t entry_places(const struct entry *entry);
uint64_t entry_dest(const struct entry *entry, size_t index); /* as tn_key */
uint64_t entry_orig(const struct entry *entry);

bool store_table_holds(const struct store_table *table, uint64_t dest, uint64_t orig, int64_t now);

/* Hands over all that a call holds, in no order, and keeps their digests. `*len` counts them. */
struct store_token *store_table_take(struct store_table *table, uint64_t dest, uint64_t orig,
                                     int64_t now, size_t *len);

/* Forgets what lived no longer than to the second before `now`. Costs nothing when called again
 * within a second. */
void store_table_sweep(struct store_table *table, int64_t now);

const struct store_usage *store_table_usage(const struct store_table *table);

/* The keyed hash of a call, for tables beside this one. */
uint64_t store_table_hash(const struct store_table *table, uint64_t dest, uint64_t orig);

#endif
