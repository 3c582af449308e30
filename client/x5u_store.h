/* The certificate chains that x5u_cache keeps for the next start, in the folder x5u of the state
 * directory: one file for each URL, named by its hash. Only a cache: what is damaged, foreign or
 * out of date is passed over and written anew, nothing here is an error of the call that asks, and
 * nothing waits for the disk to sync. Several processes may share the folder. The form is in
 * docs/state-format.md.
 *
 * Writing and removing are for the loop's thread; reading is for any. */
#ifndef CLIENT_X5U_STORE_H
#define CLIENT_X5U_STORE_H

#include "client/options.h"

#define X5U_STORE_FILES 1024 /* the oldest go, some later than at once */
#define X5U_STORE_BYTES (16 * 1024 * 1024)

struct x5u_store;

/* *out is NULL without a state directory. In a rehearsal nothing is written. */
enum sticps_err x5u_store_new(const struct sticps_options *options, struct x5u_store **out,
                              struct sticps_error *err) STICPS_MUST_CHECK;
void x5u_store_free(struct x5u_store *store); /* accepts NULL; so do the others */

/* The chain kept for `url`, whole and well formed, and until when it may be used: its caching
 * lifetime, and no certificate's notAfter. NULL when there is none that is good at `now`. The
 * caller frees. */
char *x5u_store_read(const struct x5u_store *store, const char *url, int64_t now, int64_t *until);

/* Keeps a chain until `until` or the first notAfter in it; when that is not after `now`, what was
 * kept goes. */
void x5u_store_write(struct x5u_store *store, const char *url, const char *pem, int64_t now,
                     int64_t until);

#endif
