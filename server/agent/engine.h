/* One client of libsticps as a configuration wants it, with its thread, its held list and its
 * portability files, and the list kept fresh. Made at the start and anew at each reload.
 *
 * Called by daemon and the routes. */
#ifndef SERVER_AGENT_ENGINE_H
#define SERVER_AGENT_ENGINE_H

#include "common/error.h"
#include "server/agent/config.h"

#include <stdint.h>

struct engine;
struct sticps_client;

/* Reads the files that `config` names, and the held list; asks no network. A list that is damaged
 * or not there is reported in the log, not here: it will be fetched. `config` is borrowed. */
enum sticps_err engine_new(const struct agent_config *config, struct engine **out,
                           struct sticps_error *err) STICPS_MUST_CHECK;
/* Waits for the deliveries under way, at most for their deadline, and ends the client. Not on the
 * client's own thread. Accepts NULL. */
void engine_free(struct engine *engine);

struct sticps_client *engine_client(const struct engine *engine);
const struct agent_config *engine_config(const struct engine *engine);

/* Once a second: fetches the list when it is time. `now` in Unix seconds. On one thread. */
void engine_tick(struct engine *engine, int64_t now);

#endif
