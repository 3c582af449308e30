#include "server/registry/config.h"

#include "common/hsm/hsm_key.h"
#include "server/http/client_address.h"
#include "server/http/rate.h"
#include "server/http/reload.h"
#include "server/registry/config_schema.h"
#include "server/registry/sequence_floor.h"
#include "server/yaml/yaml.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIFETIME (7 * 86400) /* clients refuse more (PROTOCOL section 2, rule 7) */

/* ---- defaults and ranges ---- */

struct range {
    const char *key;
    unsigned *value;
    unsigned fallback, min, max;
};

static bool check_period(unsigned lifetime, unsigned *period)
{
    if (*period == 0)
        *period = lifetime / 4 > 0 ? lifetime / 4 : 1;
    return *period <= lifetime / 2;
}

static enum sticps_err refuse_period(const char *path, const char *list, struct sticps_error *err)
{
    return fail(err, STICPS_ERR_USAGE, path,
                "%s.period must be at most half of %s.lifetime, so that a list is always replaced "
                "well before it expires",
                list, list);
}

static enum sticps_err check_numbers(struct config *config, const char *path,
                                     struct sticps_error *err)
{
    const struct range first[] = {
        {"signer.id", &config->signer.id, 0, 1, 999999999},
        {"threads", &config->threads, 0, 0, 64},
        {"database.connections", &config->database.connections, 4, 1, 64},
        {"list.lifetime", &config->list.lifetime, 86400, 2, MAX_LIFETIME},
        {"ca_list.lifetime", &config->ca_list.lifetime, 86400, 2, MAX_LIFETIME},
        {"list.brake.entries", &config->list.brake.entries, 20, 1, 1000000},
        {"list.brake.percent", &config->list.brake.percent, 20, 1, 100},
        {"ca_list.brake.entries", &config->ca_list.brake.entries, 1, 1, 1000000},
        {"ca_list.brake.percent", &config->ca_list.brake.percent, 99, 1, 100},
        {"list.debounce_ms", &config->list.debounce_ms, 1000, 1, 60000},
        {"cps_check.timeout_ms", &config->cps_check.timeout_ms, 2000, 100, 10000},
        {"session.access_lifetime", &config->session.access_lifetime, 900, 1, 86400},
        {"session.refresh_lifetime", &config->session.refresh_lifetime, 86400, 2, 31536000},
        {"limits.connections", &config->limits.connections, 0, 0, 1000000},
        {"limits.per_address", &config->limits.per_address, 0, 0, 1000000},
        {"limits.requests_per_second", &config->limits.requests_per_second, 0, 0, RATE_MAX},
        {"limits.requests_burst", &config->limits.requests_burst, 0, 0, RATE_MAX},
        {"limits.writes_per_second", &config->limits.writes_per_second, 0, 0, RATE_MAX},
        {"limits.writes_burst", &config->limits.writes_burst, 0, 0, RATE_MAX},
        {"sti_proof.deadline_ms", &config->sti_proof.deadline_ms, 2000, 50, 30000},
        {"sti_proof.max_pending", &config->sti_proof.max_pending, 32, 1, 128},
        {"sti_proof.fetches_per_second", &config->sti_proof.fetches_per_second, 10, 1, 1000},
        {"sti_proof.proofs_per_second", &config->sti_proof.proofs_per_second, 10, 1, 1000},
    };

    if (config->ca_list.directory == NULL &&
        (config->ca_list.lifetime > 0 || config->ca_list.period > 0 ||
         config->ca_list.brake.entries > 0 || config->ca_list.brake.percent > 0))
        return fail(err, STICPS_ERR_USAGE, path, "ca_list.directory is missing");
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        const struct range *range = &first[i];

        if (*range->value == 0)
            *range->value = range->fallback;
        if (*range->value < range->min || *range->value > range->max)
            return fail(err, STICPS_ERR_USAGE, path, "%s must be from %u to %u", range->key,
                        range->min, range->max);
    }
    if (!check_period(config->list.lifetime, &config->list.period))
        return refuse_period(path, "list", err);
    if (!check_period(config->ca_list.lifetime, &config->ca_list.period))
        return refuse_period(path, "ca_list", err);
    if (config->export != NULL && config->list.is_public == CONFIG_OFF)
        return fail(err, STICPS_ERR_USAGE, path,
                    "export.directory is for everybody to read, and list.public is false: remove "
                    "one of them");
    if (config->session.refresh_lifetime < config->session.access_lifetime)
        return fail(err, STICPS_ERR_USAGE, path,
                    "session.refresh_lifetime must not be shorter than session.access_lifetime");
    if (config->next_signer != NULL &&
        (config->next_signer->id < 1 || config->next_signer->id > 999999999 ||
         config->next_signer->id == config->signer.id))
        return fail(err, STICPS_ERR_USAGE, path,
                    "next_signer.id must be from 1 to 999999999 and not signer.id");
    for (unsigned i = 0; i < config->cps_url.ports_count; i++)
        if (config->cps_url.ports[i] == 0)
            return fail(err, STICPS_ERR_USAGE, path, "cps_url.ports: 0 is no port");
    return STICPS_OK;
}

static void default_switch(enum config_switch *value, enum config_switch fallback)
{
    if (*value == CONFIG_UNSET)
        *value = fallback;
}

static enum sticps_err check_base_url(const struct config *config, const char *path,
                                      struct sticps_error *err)
{
    struct url url;
    enum sticps_err rc = url_parse(config->base_url, strlen(config->base_url), &url, err);

    if (rc != STICPS_OK) {
        fail_context(err, "%s: base_url", path);
        return STICPS_ERR_USAGE;
    }
    if (strchr(config->base_url, '?') != NULL ||
        config->base_url[strlen(config->base_url) - 1] == '/')
        return fail(err, STICPS_ERR_USAGE, path,
                    "base_url must have no query and no slash at its end");
    return STICPS_OK;
}

static enum sticps_err check_database_urls(const struct config *config, const char *path,
                                           struct sticps_error *err)
{
    const struct {
        const char *key, *value;
    } urls[] = {{"url", config->database.url},
                {"publisher_url", config->database.publisher_url},
                {"auditor_url", config->database.auditor_url},
                {"owner_url", config->database.owner_url}};

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        char *said = NULL; /* not passed on: it may quote the password */

        if (urls[i].value == NULL)
            continue;
        PQconninfoOption *options = PQconninfoParse(urls[i].value, &said);
        PQfreemem(said);
        if (options == NULL)
            return fail(err, STICPS_ERR_USAGE, path,
                        "database.%s is not a connection string of PostgreSQL (postgresql://…)",
                        urls[i].key);
        PQconninfoFree(options);
    }
    if (config->database.transaction_pooling == CONFIG_ON && config->database.publisher_url == NULL)
        return fail(err, STICPS_ERR_USAGE, path,
                    "database.publisher_url is missing: with transaction_pooling it must lead to "
                    "PostgreSQL itself");
    return STICPS_OK;
}

static enum sticps_err check_signer(const struct config_signer *signer, const char *name,
                                    const char *path, struct sticps_error *err)
{
    if (hsm_is_uri(signer->key) && signer->module == NULL)
        return fail(err, STICPS_ERR_USAGE, path,
                    "%s.module is missing: the PKCS#11 library of the HSM that %s.key names", name,
                    name);
    if (!hsm_is_uri(signer->key) && (signer->module != NULL || signer->pin_file != NULL))
        return fail(err, STICPS_ERR_USAGE, path,
                    "%s.%s is for a key in an HSM: %s.key must then be a pkcs11: URI", name,
                    signer->module != NULL ? "module" : "pin_file", name);
    return STICPS_OK;
}

static enum sticps_err check_urls(char *const *urls, unsigned len, const char *key,
                                  const char *path, struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;

    for (unsigned i = 0; i < len && rc == STICPS_OK; i++) {
        struct url url;

        rc = url_parse(urls[i], strlen(urls[i]), &url, err);
        if (rc != STICPS_OK)
            fail_context(err, "%s: %s", path, key);
    }
    return rc == STICPS_OK ? STICPS_OK : STICPS_ERR_USAGE;
}

static enum sticps_err check_witness(const struct config *config, const char *path,
                                     struct sticps_error *err)
{
    const struct config_witness *witness = config->witness;

    if (witness == NULL)
        return STICPS_OK;
    if (witness->cps_list_count + witness->ca_list_count == 0)
        return fail(err, STICPS_ERR_USAGE, path,
                    "witness needs cps_list or ca_list: the URLs where clients get them");
    enum sticps_err rc =
        check_urls(witness->cps_list, witness->cps_list_count, "witness.cps_list", path, err);
    return rc != STICPS_OK
               ? rc
               : check_urls(witness->ca_list, witness->ca_list_count, "witness.ca_list", path, err);
}

/* ---- paths ---- */

static enum sticps_err signer_paths(struct config_signer *signer, const char *path,
                                    struct sticps_error *err)
{
    char **const files[] = {&signer->certificate, &signer->module, &signer->pin_file};
    enum sticps_err rc = STICPS_OK;

    if (!hsm_is_uri(signer->key))
        rc = yaml_file_name(path, &signer->key, err);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == STICPS_OK; i++)
        rc = yaml_file_name(path, files[i], err);
    return rc;
}

static enum sticps_err resolve_paths(struct config *config, const char *path,
                                     struct sticps_error *err)
{
    char **const files[] = {&config->tls.certificate, &config->tls.key, &config->tls_ca,
                            &config->ca_list.directory, &config->state};
    enum sticps_err rc = STICPS_OK;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == STICPS_OK; i++)
        rc = yaml_file_name(path, files[i], err);
    if (rc == STICPS_OK && config->crl != NULL)
        rc = yaml_file_name(path, &config->crl->file, err);
    if (rc == STICPS_OK && config->crl != NULL)
        rc = yaml_file_name(path, &config->crl->signer, err);
    if (rc == STICPS_OK && config->export != NULL)
        rc = yaml_file_name(path, &config->export->directory, err);
    if (rc == STICPS_OK && config->witness != NULL)
        rc = yaml_file_name(path, &config->witness->anchors, err);
    if (rc == STICPS_OK)
        rc = signer_paths(&config->signer, path, err);
    if (rc == STICPS_OK && config->next_signer != NULL)
        rc = signer_paths(config->next_signer, path, err);
    return rc;
}

/* ---- public ---- */

enum sticps_err config_load(const char *path, struct config **out, struct sticps_error *err)
{
    void *data = NULL;
    enum sticps_err rc = yaml_load(path, &config_schema, &data, err);

    if (rc != STICPS_OK) {
        fail_context(err, "%s", path);
        return rc;
    }
    struct config *config = data;
    rc = check_numbers(config, path, err);
    if (rc == STICPS_OK)
        rc = proxies_check(config->proxy.trusted, config->proxy.trusted_count,
                           config->proxy.protocol == CONFIG_ON, err);
    if (rc == STICPS_OK)
        rc = check_base_url(config, path, err);
    if (rc == STICPS_OK)
        rc = check_witness(config, path, err);
    if (rc == STICPS_OK)
        rc = check_database_urls(config, path, err);
    if (rc == STICPS_OK)
        rc = check_signer(&config->signer, "signer", path, err);
    if (rc == STICPS_OK && config->next_signer != NULL)
        rc = check_signer(config->next_signer, "next_signer", path, err);
    if (rc == STICPS_OK)
        rc = resolve_paths(config, path, err);
    if (rc != STICPS_OK) {
        config_free(config);
        return rc;
    }
    default_switch(&config->list.is_public, CONFIG_ON);
    default_switch(&config->database.transaction_pooling, CONFIG_OFF);
    default_switch(&config->lab, CONFIG_OFF);
    default_switch(&config->proxy.protocol, CONFIG_OFF);
    default_switch(&config->sti_proof.enabled, CONFIG_ON);
    if (config->cps_check.policy == CONFIG_CHECK_UNSET)
        config->cps_check.policy = CONFIG_CHECK_OFF;
    default_switch(&config->log.access, CONFIG_ON);
    *out = config;
    return STICPS_OK;
}

void config_free(struct config *config)
{
    yaml_free(&config_schema, config);
}

/* Compared as text, so that a key of tomorrow needs a restart until somebody thinks about it. */
enum sticps_err config_check_reload(const struct config *old, const struct config *fresh,
                                    struct sticps_error *err)
{
    struct config wanted = *old; /* with the changes that are allowed; borrows from both */
    char *before = NULL, *after = NULL, key[64];
    size_t before_len = 0, after_len = 0;
    enum sticps_err rc;

    wanted.list = fresh->list;
    wanted.ca_list = fresh->ca_list;
    wanted.cps_check = fresh->cps_check;
    wanted.session = fresh->session;
    wanted.limits = fresh->limits;
    wanted.log = fresh->log;
    rc = yaml_save(&config_schema, &wanted, &before, &before_len, err);
    if (rc == STICPS_OK)
        rc = yaml_save(&config_schema, fresh, &after, &after_len, err);
    if (rc == STICPS_OK && reload_differs(before, before_len, after, after_len, key, sizeof(key)))
        rc = fail(err, STICPS_ERR_USAGE, NULL, "%s needs a restart", key);
    free(before);
    free(after);
    return rc;
}

struct url_rules config_url_rules(const struct config *config)
{
    return (struct url_rules){
        .lab = config->lab == CONFIG_ON,
        .ports = config->cps_url.ports,
        .ports_len = config->cps_url.ports_count,
    };
}
