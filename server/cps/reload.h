/* SIGHUP: the approved STI-CAs, the TLS files and the configuration file are read again. Each of
 * the three takes effect whole or not at all, and what cannot be used leaves the old in force.
 * Called by daemon, on the main thread. */
#ifndef SERVER_CPS_RELOAD_H
#define SERVER_CPS_RELOAD_H

struct cps;

/* The configuration must pass daemon_check, and may differ from the one in force only as
 * config_check_reload allows. Other threads see the new one from their next look on. */
void reload_run(struct cps *cps);

#endif
