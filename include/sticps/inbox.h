/* Deliveries that have ended, collected for a host that wants them in a thread of its own: the
 * other form of sticps_deliver's callback.
 *
 *     sticps_inbox_new(&inbox, &err);
 *     sticps_deliver_to_inbox(client, token, len, inbox, call, &err);       any thread
 *     …poll sticps_inbox_fd(inbox), then…
 *     while (sticps_inbox_next(inbox, &tag, &code, &err, &delivery))        any thread
 *         …
 *
 * The client's loop must still run, in the host's loop or in the client's own thread. An inbox
 * belongs to no client: it may serve several, and may be freed before or after them. */
#ifndef STICPS_INBOX_H
#define STICPS_INBOX_H

#include <sticps/deliver.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sticps_inbox;

/* STICPS_ERR_NO_MEMORY, also when no descriptor is left. */
STICPS_EXPORT enum sticps_err sticps_inbox_new(struct sticps_inbox **out,
                                               struct sticps_error *err) STICPS_MUST_CHECK;

/* What was not taken is dropped; deliveries under way go on, and nobody hears of them. No other
 * call on the inbox may be running. Accepts NULL. */
STICPS_EXPORT void sticps_inbox_free(struct sticps_inbox *inbox);

/* Readable while a delivery waits to be taken. To be polled, not read. Valid until the inbox is
 * freed; -1 in a child of the process that made it. */
STICPS_EXPORT int sticps_inbox_fd(const struct sticps_inbox *inbox);

/* As sticps_deliver. `tag` is the host's, and comes back with the result. STICPS_OK: the inbox gets
 * the result once, also when the client is freed meanwhile. Otherwise never: as sticps_deliver, and
 * BUSY, too, when as many deliveries as may be under way (sticps_options_set_deliver_limits) are
 * under way to this inbox or wait in it. */
STICPS_EXPORT enum sticps_err sticps_deliver_to_inbox(struct sticps_client *client,
                                                      const char *token, size_t len,
                                                      struct sticps_inbox *inbox, void *tag,
                                                      struct sticps_error *err) STICPS_MUST_CHECK;

/* Takes the result that has waited longest: its tag, its code as in sticps_deliver_fn, the details
 * when that is not STICPS_OK, and what became of each CPS: the caller's reference
 * (sticps_delivery_free), or NULL when nothing was sent. Each of the four may be NULL. False, with
 * nothing changed, when none waits. Never blocks. Any thread, several at once. */
STICPS_EXPORT bool sticps_inbox_next(struct sticps_inbox *inbox, void **tag, enum sticps_err *code,
                                     struct sticps_error *err,
                                     struct sticps_delivery **delivery) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
