/* SIGHUP: the configuration file and the TLS files are read again. Each of the two takes effect
 * whole or not at all, and what cannot be used leaves the old in force. Called by daemon, on the
 * main thread. */
#ifndef REGISTRY_RELOAD_H
#define REGISTRY_RELOAD_H

struct daemon;

/* The configuration must pass daemon_check, and may differ from the one in force only as
 * config_check_reload allows. Other threads see the new one from their next look on. */
void reload_run(struct daemon *daemon);

#endif
