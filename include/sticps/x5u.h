/* Certificates by their x5u, fetched under PROTOCOL section 4: https only, no redirects, the
 * address checked after DNS, 64 KiB, one total deadline, cached by the server's caching headers (24
 * h at most, never past notAfter) in memory and in the state directory, failures remembered for
 * 30 s, one fetch at a time per URL.
 *
 * What comes back is a well-formed chain, not a trusted one: checking it is the caller's next step.
 */
#ifndef STICPS_X5U_H
#define STICPS_X5U_H

#include <sticps/client.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `code`:
 *   STICPS_OK                     `pem` holds the whole chain in PEM, leaf first, NUL-terminated,
 * `len` bytes without the NUL, good until `expires_at` (Unix seconds) in any cache of the caller's
 *   STICPS_ERR_URL                the x5u is not one that section 4 allows
 *   STICPS_ERR_ADDRESS            its host's address is closed
 *   STICPS_ERR_FETCH              nothing whole was received
 *   STICPS_ERR_BAD_IDENTITY_INFO  what was received is no certificate
 *   STICPS_ERR_NO_MEMORY
 * On failure `err` says why (never NULL) and `pem` is NULL. */
typedef void sticps_x5u_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                           const char *pem, size_t len, int64_t expires_at);

/* Never waits for the network; a small file of the state directory may be read. The callback runs
 * inline, before this returns, when the answer is already known (a cached chain, a remembered
 * failure, a URL that is refused) or memory is short; otherwise in the thread that runs the loop.
 * May be called from any thread, also from callbacks. */
STICPS_EXPORT void sticps_x5u_fetch(struct sticps_client *client, const char *url,
                                    sticps_x5u_fn *callback, void *ctx);

/* Has the next fetch of a URL ask the network, whatever is cached: for a caller whose check of a
 * cached chain failed. When that fetch fails, the chain stays for as long as it may be cached, and
 * this has no effect for 30 s. A remembered failure stays. */
STICPS_EXPORT void sticps_x5u_forget(struct sticps_client *client, const char *url);

#ifdef __cplusplus
}
#endif
#endif
