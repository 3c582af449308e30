/* Provisioning one's own SPC at the STI-PA's registry with nothing but its STI certificate: each
 * request is signed with the certificate's key (PROTOCOL section 3, "Proof by STI certificate"). */
#ifndef STICPS_PROVISION_H
#define STICPS_PROVISION_H

#include <sticps/client.h>

#ifdef __cplusplus
extern "C" {
#endif

enum sticps_provision_op { STICPS_PROVISION_GET, STICPS_PROVISION_PUT, STICPS_PROVISION_DELETE };

struct sticps_provision_request {
    enum sticps_provision_op op;
    const char *registry; /* its base URL, https */
    const char *account;  /* of the SP at the registry */
    const char *spc;      /* the certificate's, as people write it */
    const char *url;      /* of the CPS, for PUT; else NULL */
    const char *key_file; /* the certificate's private key, PEM; NULL: the key of the options,
                             sticps_options_set_sti_key_file */
    const char *x5u;      /* where the certificate is */
};

/* `code`:
 *   STICPS_OK             `answer` is what the registry says, JSON, NUL-terminated: the entry; ""
 * for DELETE STICPS_ERR_NOT_FOUND  the SPC has no CPS URL STICPS_ERR_REJECTED   the registry
 * refuses; `err` says with which code and why STICPS_ERR_FETCH      nothing whole was received, or
 * the registry cannot answer now STICPS_ERR_ADDRESS    its address is closed (see
 * sticps_options_set_lab) STICPS_ERR_USAGE, STICPS_ERR_SPC, STICPS_ERR_FILE  an argument cannot be
 * used On failure `err` says why (never NULL) and `answer` is NULL. */
typedef void sticps_provision_fn(void *ctx, enum sticps_err code, const struct sticps_error *err,
                                 const char *answer);

/* The key file is read and the request signed inside the call; the texts of `request` need not
 * outlive it. The callback runs once, in the loop's thread, or inside this call when nothing is to
 * be sent. */
STICPS_EXPORT void sticps_provision(struct sticps_client *client,
                                    const struct sticps_provision_request *request,
                                    sticps_provision_fn *callback, void *ctx);

/* The same, waiting. The caller frees *answer with free(), or with what sticps_set_allocator
 * was given. */
STICPS_EXPORT enum sticps_err sticps_provision_wait(struct sticps_client *client,
                                                    const struct sticps_provision_request *request,
                                                    char **answer,
                                                    struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
