#include "server/registry/reload.h"

#include "server/http/log.h"
#include "server/http/rate.h"
#include "server/http/server.h"
#include "server/registry/daemon.h"
#include "server/registry/session.h"

#include <stdlib.h>

/* Other threads may be looking at a configuration that was replaced, so all are kept: a kilobyte
 * for each reload. */
struct kept {
    struct config *config;
    struct kept *next;
};

struct reload {
    const char *path;
    struct kept *kept;
};

enum sticps_err reload_new(const char *path, struct reload **out, struct sticps_error *err)
{
    struct reload *reload = calloc(1, sizeof(*reload));

    if (reload == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    reload->path = path;
    *out = reload;
    return STICPS_OK;
}

void reload_free(struct reload *reload)
{
    while (reload != NULL && reload->kept != NULL) {
        struct kept *next = reload->kept->next;

        config_free(reload->kept->config);
        free(reload->kept);
        reload->kept = next;
    }
    free(reload);
}

static void put_in_force(struct daemon *daemon, struct config *fresh)
{
    struct kept *kept = malloc(sizeof(*kept));
    const struct server_tuning tuning = {
        .max_connections = fresh->limits.connections,
        .max_per_address = fresh->limits.per_address,
        .requests_per_second = fresh->limits.requests_per_second,
        .requests_burst = fresh->limits.requests_burst,
        .access_log = fresh->log.access == CONFIG_ON,
    };

    if (kept == NULL)
        abort();
    *kept = (struct kept){fresh, daemon->reload->kept};
    daemon->reload->kept = kept;
    daemon->config = fresh;
    sessions_set_lifetime(daemon->sessions, fresh->session.access_lifetime);
    server_tune(daemon->server, &tuning);
    rate_set(daemon->writes, fresh->limits.writes_per_second, fresh->limits.writes_burst);
}

static void reload_config(struct daemon *daemon)
{
    struct sticps_error err = {0};
    struct config *fresh = NULL;
    enum sticps_err rc = config_load(daemon->reload->path, &fresh, &err);

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
