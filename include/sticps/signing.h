/* Request tokens for a CPS that demands them (PROTOCOL section 6): a delivery that is answered by
 * 401 and a challenge for a bearer token is repeated once, with a token that the sender's STI key
 * has signed for this very request. Without a key in the options, the answer is REJECTED.
 *
 * The key is a PEM file, and the library signs (some 20 us, in the loop's thread); or the host
 * signs, for a key that is in an HSM or in another process, in whatever thread and time that takes:
 * the delivery waits, until its deadline, and nothing else does. */
#ifndef STICPS_SIGNING_H
#define STICPS_SIGNING_H

#include <sticps/options.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The sender's Service Provider Code, where its STI certificate is (https, PROTOCOL section 4), and
 * the certificate's private key: unencrypted PEM on P-256, read at once. Replaces what was set
 * before. STICPS_ERR_USAGE, STICPS_ERR_SPC, STICPS_ERR_FILE, STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err
sticps_options_set_sti_key_file(struct sticps_options *options, const char *spc, const char *x5u,
                                const char *path, struct sticps_error *err) STICPS_MUST_CHECK;

/* One signature that is wanted of the host. */
struct sticps_signing;

/* Called in the loop's thread, and must return soon: it signs here only what takes microseconds,
 * else it hands `signing` to a thread of the host's. Either way sticps_signing_done follows once,
 * here or there, however late. */
typedef void sticps_sign_fn(void *ctx, struct sticps_signing *signing);

/* As sticps_options_set_sti_key_file, for a key that only the host can use. `ctx` outlives every
 * client made with the options. STICPS_ERR_USAGE, STICPS_ERR_SPC, STICPS_ERR_NO_MEMORY. */
STICPS_EXPORT enum sticps_err
sticps_options_set_sti_signer(struct sticps_options *options, const char *spc, const char *x5u,
                              sticps_sign_fn *sign, void *ctx,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* The SHA-256 that is to be signed by ECDSA on P-256: 32 bytes, borrowed until
 * sticps_signing_done. */
STICPS_EXPORT const unsigned char *sticps_signing_digest(const struct sticps_signing *signing);

/* The signature as R and S, 32 bytes each; NULL when there is none, and the delivery is REJECTED.
 * Any thread, exactly once for each, also after the client was freed; `signing` is gone then. */
STICPS_EXPORT void sticps_signing_done(struct sticps_signing *signing,
                                       const unsigned char *signature);

#ifdef __cplusplus
}
#endif
#endif
