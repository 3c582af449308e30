#include "server/registry/reload.h"

#include "server/http/log.h"
#include "server/http/rate.h"
#include "server/http/reload.h"
#include "server/http/server.h"
#include "server/registry/daemon.h"
#include "server/registry/session.h"

static void put_in_force(struct daemon *daemon, struct config *fresh)
{
    const struct server_tuning tuning = {
        .max_connections = fresh->limits.connections,
        .max_per_address = fresh->limits.per_address,
        .requests_per_second = fresh->limits.requests_per_second,
        .requests_burst = fresh->limits.requests_burst,
        .access_log = fresh->log.access == CONFIG_ON,
    };

    reload_keep(daemon->reload, fresh);
    daemon->config = fresh;
    sessions_set_lifetime(daemon->sessions, fresh->session.access_lifetime);
    server_tune(daemon->server, &tuning);
    rate_set(daemon->writes, fresh->limits.writes_per_second, fresh->limits.writes_burst);
}

static void reload_config(struct daemon *daemon)
{
    struct sticps_error err = {0};
    struct config *fresh = NULL;
    enum sticps_err rc = config_load(reload_path(daemon->reload), &fresh, &err);

    if (rc == STICPS_OK)
        rc = config_check_reload(daemon->config, fresh, &err);
    if (rc == STICPS_OK)
        rc = daemon_check(fresh, &err);
    if (rc != STICPS_OK) {
        log_error("reload REFUSED, the configuration stays as it was: %s", err.text);
        config_free(fresh);
        return;
    }
    put_in_force(daemon, fresh);
    log_info("reload: the configuration was read again");
}

void reload_run(struct daemon *daemon)
{
    struct sticps_error err = {0};

    reload_config(daemon);
    if (server_reload_tls(daemon->server, &err) == STICPS_OK)
        log_info("reload: the TLS certificate and key were read again");
    else
        log_error("reload REFUSED, the TLS certificate and key stay as they were: %s", err.text);
}
