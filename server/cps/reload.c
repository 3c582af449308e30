#include "server/cps/reload.h"

#include "common/error.h"
#include "server/cps/cps.h"
#include "server/cps/daemon.h"
#include "server/http/log.h"
#include "server/http/reload.h"
#include "server/http/server.h"

static void complain(const char *what, const struct sticps_error *err)
{
    log_error("reload REFUSED, %s stay as they were: %s%s%s", what, err->where,
              err->where[0] != '\0' ? ": " : "", err->text);
}

static void reload_anchors(struct cps *cps)
{
    struct sticps_error err = {0};
    if (cps->ca_list != NULL) {
        ca_list_refresh(cps->ca_list);
        log_info("reload: the list of STI-CAs is fetched anew");
    } else if (trust_load_bundle(cps->trust, cps->config->anchors.bundle, &err) == STICPS_OK) {
        log_info("reload: the approved STI-CAs were read again");
    } else {
        complain("the approved STI-CAs", &err);
    }
}

static void reload_crl(struct cps *cps)
{
    struct sticps_error err = {0};
    if (cps->revocation != NULL &&
        revocation_reload(cps->revocation, clock_now(&cps->clock), &err) != STICPS_OK)
        complain("the revoked certificates", &err);
}

static void put_in_force(struct cps *cps, struct config *fresh)
{
    const struct server_tuning tuning = {.max_connections = fresh->max_connections,
                                         .max_per_address = fresh->max_per_address,
                                         .requests_per_second = fresh->requests_per_second,
                                         .requests_burst = fresh->requests_burst,
                                         .access_log = fresh->access_log};
    reload_keep(cps->reload, fresh);
    cps->config = fresh;
    server_tune(cps->server, &tuning);
}

static void reload_config(struct cps *cps)
{
    struct sticps_error err = {0};
    struct config *fresh = NULL;
    enum sticps_err code = config_load(reload_path(cps->reload), &fresh, &err);
    if (code == STICPS_OK)
        code = config_check_reload(cps->config, fresh, &err);
    if (code == STICPS_OK)
        code = daemon_check(fresh, &err);
    if (code != STICPS_OK) {
        complain("the settings", &err);
        config_free(fresh);
        return;
    }
    put_in_force(cps, fresh);
    log_info("reload: the configuration was read again");
}

void reload_run(struct cps *cps)
{
    struct sticps_error err = {0};
    reload_anchors(cps);
    reload_crl(cps);
    if (server_reload_tls(cps->server, &err) == STICPS_OK)
        log_info("reload: the TLS certificates and keys were read again");
    else
        complain("the TLS certificates and keys", &err);
    reload_config(cps);
}
