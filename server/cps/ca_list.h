/* Keeps a trust set in step with the STI-PA's signed list of approved STI-CAs: the last good list
 * from the state folder at start, then a fetch each period, sooner after a failure. libsticps
 * fetches and verifies (PROTOCOL section 2). A list whose exp passes takes its set with it
 * (trust.h).
 *
 * Called by main, and each second from one server thread. */
#ifndef SERVER_CPS_CA_LIST_H
#define SERVER_CPS_CA_LIST_H

#include "common/error.h"
#include "server/sti/trust.h"

#include <stdint.h>

struct ca_list;
struct sticps_client;

/* `client` and `trust` are borrowed; `period` in seconds. Reads the held list from the client's
 * state folder; never waits for the network. A held list that is damaged is reported in the log,
 * not here. */
enum sticps_err ca_list_new(struct sticps_client *client, struct trust *trust, const char *url,
                            unsigned period, struct ca_list **out,
                            struct sticps_error *err) STICPS_MUST_CHECK;

/* Starts a fetch when one is due. `now` in Unix seconds. */
void ca_list_tick(struct ca_list *list, int64_t now);

/* The next tick fetches, whatever the period. Any thread. */
void ca_list_refresh(struct ca_list *list);

/* After the client was freed, so that no fetch is under way. Accepts NULL. */
void ca_list_free(struct ca_list *list);

#endif
