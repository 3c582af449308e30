/* What the routes of sticps-agent share: the daemon (request_daemon) and its part on each server
 * thread (request_state). Made by daemon. */
#ifndef SERVER_AGENT_AGENT_H
#define SERVER_AGENT_AGENT_H

#include "common/clock.h"
#include "server/agent/config.h"
#include "server/http/router.h"

#include <stddef.h>

struct agent_flags;
struct engine;
struct server;
struct sticps_answer;

struct agent {
    const char *path; /* of the configuration; NULL: the flags are all of it */
    const struct agent_flags *flags;
    struct clock clock;
    struct server *server;
    /* What is in force; the main thread's. Requests ask their thread. */
    struct agent_config *config;
    struct engine *engine;
};

struct agent_thread {
    struct agent *agent;
    struct engine *engine;        /* what requests of this thread use */
    struct sticps_answer *answer; /* room for it */
};

extern const struct route agent_routes[];
extern const size_t agent_routes_len;

void deliver_post(struct request *request);
void resolve_get(struct request *request);
void health_get(struct request *request);
void ready_get(struct request *request);
void status_get(struct request *request);
void metrics_get(struct request *request);

#endif
