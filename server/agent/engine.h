/* One client of libsticps as a configuration wants it, with its thread, its held list and its
 * portability files, and the list kept fresh. Made at the start and anew at each reload.
 *
 * Called by daemon and the routes. */
#ifndef SERVER_AGENT_ENGINE_H
#define SERVER_AGENT_ENGINE_H

#include "common/error.h"
#include "server/agent/config.h"

#include <sticps/events.h>

#include <stdint.h>

struct engine;
struct sticps_client;

/* Reads the files that `config` names, and the held list; then the client keeps the list fresh, and
 * a thread of the engine opens the portability files anew when they change. A held list that is
 * damaged or not there is reported in the log, not here: one will be fetched. `config` is borrowed.
 */
enum sticps_err engine_new(const struct agent_config *config, struct engine **out,
                           struct sticps_error *err) STICPS_MUST_CHECK;
/* Waits for the deliveries under way, at most for their deadline, and ends the client. Not on the
 * client's own thread. Accepts NULL. */
void engine_free(struct engine *engine);

/* The errors of engine_new that lie in the files, without making anything. */
enum sticps_err engine_check(const struct agent_config *config,
                             struct sticps_error *err) STICPS_MUST_CHECK;

struct sticps_client *engine_client(const struct engine *engine);
const struct agent_config *engine_config(const struct engine *engine);

/* How the last refresh of the list ended. */
struct engine_refresh {
    int64_t at; /* Unix seconds; 0: there was none yet */
    enum sticps_err code;
    char where[128], text[512];
};
/* Any thread. */
void engine_refresh_read(struct engine *engine, struct engine_refresh *out);

/* sticps_event_count, with what the engines before this one have counted. Any thread. */
uint64_t engine_events(const struct engine *engine, enum sticps_event event, enum sticps_err code);
/* Goes on counting where `old` is, before requests meet `engine`. */
void engine_inherit(struct engine *engine, const struct engine *old);
/* engine_free for one that no request uses any more; what it still counted goes to its heir. */
void engine_retire(struct engine *old, struct engine *heir);

#endif
