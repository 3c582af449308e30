/* Which network addresses a fetch may never reach: the special-purpose ranges of IANA's registries
 * (RFC 6890 and its updates). Called after DNS, on the address that is about to be connected to, so
 * that no name leads inside (PROTOCOL section 4), and for IP literals in URLs. */
#ifndef COMMON_ADDRESS_H
#define COMMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

/* Is this address one that the rules close (loopback, private, link-local, multicast, documentation
 * and the other special ranges of RFC 6890 and its IPv6 peers; IPv4 inside IPv6 is unwrapped)?
 * `addr` is 4 or 16 bytes in network order; any other length is closed. With `lab`, loopback and
 * private ranges are open, the rest stay shut. */
bool address_is_closed(const void *addr, size_t len, bool lab);

#endif
