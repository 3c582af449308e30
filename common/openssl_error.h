/* OpenSSL's error queue belongs to the thread, and so to the host: an error that we leave in it
 * makes the host's next SSL_get_error fail. Every function of common/ that calls into OpenSSL
 * brackets its work with openssl_begin and openssl_end, which put the queue back as it was. */
#ifndef COMMON_OPENSSL_ERROR_H
#define COMMON_OPENSSL_ERROR_H

#include "common/error.h"

#include <stdbool.h>

void openssl_begin(void);
void openssl_end(void);

/* Did an allocation fail since openssl_begin? */
bool openssl_out_of_memory(void);

/* Records a failure of OpenSSL: NO_MEMORY when an allocation failed, otherwise `code`, with what
 * OpenSSL says after `what`. Called between begin and end. */
enum sticps_err fail_openssl(struct sticps_error *err, enum sticps_err code, const char *where,
                             const char *what);

#endif
