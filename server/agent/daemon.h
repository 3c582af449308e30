/* sticps-agent put together: what a configuration asks for, served until a signal. Called by main.
 */
#ifndef SERVER_AGENT_DAEMON_H
#define SERVER_AGENT_DAEMON_H

#include "common/error.h"
#include "server/agent/config.h"

/* Reads every file that the configuration names, and judges it; opens no socket. */
enum sticps_err daemon_check(const struct agent_config *config,
                             struct sticps_error *err) STICPS_MUST_CHECK;

/* Serves until SIGTERM or SIGINT, then drains: requests first, then deliveries. Takes
 * over `config`; a reload makes the next one of `path` and `flags`. */
enum sticps_err daemon_run(const char *path, const struct agent_flags *flags,
                           struct agent_config *config, struct sticps_error *err) STICPS_MUST_CHECK;

#endif
