#include "common/openssl_error.h"

#include <openssl/err.h>

void openssl_begin(void)
{
    ERR_set_mark();
    /* Above what the host left, so that none of that is taken for ours. */
    ERR_raise(ERR_LIB_USER, ERR_R_OPERATION_FAIL);
}

void openssl_end(void)
{
    ERR_pop_to_mark();
}

bool openssl_out_of_memory(void)
{
    /* OpenSSL 3.0 does not always say so: some failed allocations only show as the error of a
     * caller
     * ("BN lib"), which is then reported as it stands. */
    return ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE;
}

enum sticps_err fail_openssl(struct sticps_error *err, enum sticps_err code, const char *where,
                             const char *what)
{
    if (openssl_out_of_memory())
        return fail(err, STICPS_ERR_NO_MEMORY, where, "out of memory: %s", what);
    unsigned long error = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(error);
    if (reason == NULL || ERR_GET_LIB(error) == ERR_LIB_USER)
        return fail(err, code, where, "%s", what);
    return fail(err, code, where, "%s (%s)", what, reason);
}
