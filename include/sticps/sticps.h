/* libsticps: CPS discovery and delivery for Out-of-Band SHAKEN, for a provider's STI-AS and STI-VS.
 *
 *     options → client → list_fetch / list_load → resolve, deliver        (originating side)
 *                      → x5u_fetch, trust_list_fetch, retrieve            (terminating side)
 *
 * The library has no global state (but see allocator.h), installs no signal handler, prints nothing
 * and never aborts: out of memory is an error like any other (STICPS_ERR_NO_MEMORY). client.h holds
 * the rules for threads and loops. */
#ifndef STICPS_STICPS_H
#define STICPS_STICPS_H

#include <sticps/allocator.h>
#include <sticps/client.h>
#include <sticps/deliver.h>
#include <sticps/error.h>
#include <sticps/events.h>
#include <sticps/inbox.h>
#include <sticps/list.h>
#include <sticps/npdb.h>
#include <sticps/numbers.h>
#include <sticps/options.h>
#include <sticps/provision.h>
#include <sticps/refresh.h>
#include <sticps/resolve.h>
#include <sticps/signing.h>
#include <sticps/stats.h>
#include <sticps/x5u.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library that is loaded, e.g. "0.1.0". */
STICPS_EXPORT const char *sticps_version(void);

#ifdef __cplusplus
}
#endif
#endif
