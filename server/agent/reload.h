/* SIGHUP: the configuration and every file that it names are read again, into an engine of their
 * own that takes the place of the one before. What cannot be used leaves the old in force. Called
 * by daemon, on the main thread. */
#ifndef SERVER_AGENT_RELOAD_H
#define SERVER_AGENT_RELOAD_H

struct agent;

/* listen, socket and threads need a restart; all else takes effect with the next request. Returns
 * when the deliveries under way have ended, at most their deadline later. */
void reload_run(struct agent *agent);

#endif
