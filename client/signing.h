/* A request token on its way: written, then signed by the key of the options or by the host, which
 * may take its time and another thread (sticps/signing.h). Called by sending.c, in the loop's
 * thread, but for the host's answer. */
#ifndef CLIENT_SIGNING_H
#define CLIENT_SIGNING_H

#include "client/loop.h"
#include "client/options.h"
#include "sticps/signing.h"

/* What the options have of it. */
static inline bool signing_is_possible(const struct sticps_options *options)
{
    return options->sti_key != NULL || options->sti_sign != NULL;
}

/* STICPS_OK with the token, NUL-terminated, borrowed until it returns; else NULL. */
typedef void signing_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                        const char *token);

/* Signs a POST of `body` to `url`. Calls `callback` once, in the loop's thread, maybe before it
 * returns; until then *out is the handle for signing_forget, afterwards NULL. */
void signing_start(const struct sticps_options *options, struct loop *loop, const char *url,
                   const void *body, size_t len, struct sticps_signing **out, signing_fn *callback,
                   void *ctx);

/* Nobody waits for it any more: `callback` is not called. The loop's thread, or any when the loop
 * is stopped. */
void signing_forget(struct sticps_signing *signing);

#endif
