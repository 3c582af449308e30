/* Networks as people write them: "192.0.2.0/24", "2001:db8::/32", or an address alone. Caller:
 * key_routes, for the allow-lists of API keys. Any thread. */
#ifndef REGISTRY_NETWORK_H
#define REGISTRY_NETWORK_H

#include "common/error.h"

#include <stddef.h>

#define NETWORK_TEXT_SIZE 50 /* with the NUL */

/* The same in its one normal form, always with its length. STICPS_ERR_USAGE: no network; bits set
 * behind its length, with what was probably meant in the text; IPv4 inside IPv6, because a peer's
 * address is never given so. */
enum sticps_err network_normalize(const char *text, size_t len, char out[NETWORK_TEXT_SIZE],
                                  struct sticps_error *err) STICPS_MUST_CHECK;

#endif
