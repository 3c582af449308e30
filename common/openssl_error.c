#include "common/openssl_error.h"

#include <openssl/err.h>

void openssl_begin(void)
{
    ERR_set_mark();
}

void openssl_end(void)
{
    ERR_pop_to_mark();
}

bool openssl_out_of_memory(void)
{
    /* The first failure is often wrapped by later ones, but those repeat its reason or come from
     * callers that only saw NULL; OpenSSL 3.0 puts ERR_R_MALLOC_FAILURE on top in every case we
     * met. */
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

enum sticps_err fail_openssl(struct sticps_error *err, enum sticps_err code, const char *where,
                             const char *what)
{
    if (openssl_out_of_memory())
        return fail(err, STICPS_ERR_NO_MEMORY, where, "out of memory: %s", what);
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (reason == NULL)
        return fail(err, code, where, "%s", what);
    return fail(err, code, where, "%s (%s)", what, reason);
}
