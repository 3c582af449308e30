/* Questions to the DNS of ENUM, by c-ares, in the loop of a client: each with a deadline of its
 * own, a socket of its own (so that its source port is as hard to guess as its query id), over UDP
 * and, when the answer is truncated, over TCP. Called by enum_source, in the loop's thread. */
#ifndef CLIENT_ENUM_QUERY_H
#define CLIENT_ENUM_QUERY_H

#include "client/enum_answer.h"
#include "client/loop.h"
#include "client/options.h"

struct enum_resolver;

/* `options` and `loop` outlive it. Without servers in the options those of /etc/resolv.conf are
 * asked, which is read here and never again. STICPS_ERR_NO_MEMORY, STICPS_ERR_FILE. */
enum sticps_err enum_resolver_new(struct loop *loop, const struct sticps_options *options,
                                  struct enum_resolver **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;
/* Accepts NULL. Nothing is under way: see enum_resolver_close. */
void enum_resolver_free(struct enum_resolver *resolver);

/* Ends what is under way, each with its callback and STICPS_ERR_FETCH. */
void enum_resolver_close(struct enum_resolver *resolver);

/* In a child of the host's process: closes its copies of the descriptors, and touches nothing else.
 * Accepts NULL. */
void enum_resolver_abandon(struct enum_resolver *resolver);

/* Once, in the loop's thread, never inside enum_query_start. `err` is filled in when the result is
 * NUMBER_FAILED: STICPS_ERR_FETCH when no server gave an answer, another code for a bad one. */
typedef void enum_query_fn(void *ctx, const struct enum_answer *answer,
                           const struct sticps_error *err);

/* Asks what the DNS says of `tn`. On failure (STICPS_ERR_NO_MEMORY) there is no callback. */
enum sticps_err enum_query_start(struct enum_resolver *resolver, const struct tn *tn,
                                 enum_query_fn *callback, void *ctx,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
