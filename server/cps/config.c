#include "server/cps/config.h"

#include "common/error.h"
#include "common/read_file.h"
#include "server/cps/config_schema.h"
#include "server/http/client_address.h"
#include "server/http/rate.h"
#include "server/http/reload.h"
#include "server/yaml/yaml.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TOKEN 1024 /* bytes of a token file */

/* What the parts of a load share. */
struct loading {
    const char *path;
    struct sticps_error *err;
};

static enum sticps_err refuse(const struct loading *l, const char *text)
{
    return fail(l->err, STICPS_ERR_USAGE, l->path, "%s", text);
}

/* Takes `*value` (NULL: `fallback`) if it lies within [min, max]. */
static enum sticps_err number(const struct loading *l, const char *key, const uint64_t *value,
                              uint64_t min, uint64_t max, uint64_t fallback, uint64_t *out)
{
    uint64_t n = value != NULL ? *value : fallback;
    if (n < min || n > max)
        return fail(l->err, STICPS_ERR_USAGE, l->path, "%s: %llu is not within %llu to %llu", key,
                    (unsigned long long)n, (unsigned long long)min, (unsigned long long)max);
    *out = n;
    return STICPS_OK;
}

static enum sticps_err number32(const struct loading *l, const char *key, const uint32_t *value,
                                uint32_t min, uint32_t max, uint32_t fallback, unsigned *out)
{
    uint64_t wide = value != NULL ? *value : fallback, n = 0;
    enum sticps_err code = number(l, key, &wide, min, max, fallback, &n);
    if (code == STICPS_OK)
        *out = (unsigned)n;
    return code;
}

/* A file name as the file wrote it, made to start at the file's folder. NULL stays NULL. */
static enum sticps_err file_name(const struct loading *l, const char *name, char **out)
{
    if (name == NULL)
        return STICPS_OK;
    char *file = strdup(name);
    enum sticps_err code = file != NULL ? yaml_file_name(l->path, &file, l->err)
                                        : fail(l->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK)
        *out = file;
    else
        free(file);
    return code;
}

static enum sticps_err tls(const struct loading *l, const struct raw_tls *raw,
                           struct config_tls *out)
{
    enum sticps_err code = file_name(l, raw->certificate, &out->certificate);
    return code == STICPS_OK ? file_name(l, raw->key, &out->key) : code;
}

/* One line of visible ASCII; white space around it is tolerated. */
static enum sticps_err read_token(const struct loading *l, const char *key, const char *name,
                                  char **out)
{
    char *path = NULL, *text = NULL;
    size_t len = 0;
    enum sticps_err code = file_name(l, name, &path);
    if (code == STICPS_OK)
        code = read_file(path, MAX_TOKEN, &text, &len, l->err);
    if (code == STICPS_OK) {
        char *from = text + strspn(text, " \t\r\n");
        size_t token_len = strcspn(from, " \t\r\n");
        bool rest_blank = from[token_len + strspn(from + token_len, " \t\r\n")] == '\0';
        if (token_len == 0 || !rest_blank || strlen(text) != len)
            code = fail(l->err, STICPS_ERR_USAGE, path,
                        "private.%s: the file holds one token and nothing else", key);
        else if ((*out = strndup(from, token_len)) == NULL)
            code = fail(l->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    }
    free(text);
    free(path);
    return code;
}

static enum sticps_err private_side(const struct loading *l, struct raw_config *raw,
                                    struct config *config)
{
    struct raw_private *from = raw->private_side;
    if (from->token_file == NULL && from->client_ca == NULL)
        return refuse(l,
                      "private: a token_file or a client_ca is needed, or anybody could retrieve");
    if (from->metrics_token_file != NULL && from->token_file == NULL)
        return refuse(l, "private.metrics_token_file: needs a token_file too, or whoever reads "
                         "the metrics could retrieve");
    enum sticps_err code =
        tls(l, from->tls != NULL ? from->tls : raw->tls, &config->private_side.tls);
    if (code == STICPS_OK)
        code = file_name(l, from->client_ca, &config->private_side.client_ca);
    if (code == STICPS_OK && from->token_file != NULL)
        code = read_token(l, "token_file", from->token_file, &config->private_side.token);
    if (code == STICPS_OK && from->metrics_token_file != NULL)
        code = read_token(l, "metrics_token_file", from->metrics_token_file,
                          &config->private_side.metrics_token);
    if (code == STICPS_OK) {
        config->private_side.listen = from->listen;
        from->listen = (struct config_strings){NULL, 0};
    }
    return code;
}

static enum sticps_err spcs(const struct loading *l, const struct raw_config *raw,
                            struct config *config)
{
    config->spcs = calloc(raw->spcs.count, sizeof(*config->spcs));
    if (config->spcs == NULL)
        return fail(l->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (unsigned i = 0; i < raw->spcs.count; i++) {
        const char *text = raw->spcs.items[i];
        if (spc_from_typed(text, strlen(text), &config->spcs[i], NULL) != STICPS_OK)
            return fail(l->err, STICPS_ERR_USAGE, l->path,
                        "spcs: \"%s\" is no Service Provider Code (OCN or Resp Org ID)", text);
        config->spcs_len++;
    }
    return STICPS_OK;
}

static enum sticps_err anchors(const struct loading *l, const struct raw_anchors *raw,
                               struct config *config)
{
    const struct raw_ca_list *list = raw->ca_list;
    if ((raw->bundle != NULL) == (list != NULL))
        return refuse(l, "anchors: either bundle or ca_list is needed, not both");
    if (list == NULL)
        return file_name(l, raw->bundle, &config->anchors.bundle);
    enum sticps_err code = file_name(l, list->anchor, &config->anchors.anchor);
    if (code == STICPS_OK)
        code = file_name(l, list->state, &config->anchors.state);
    if (code == STICPS_OK)
        code = number32(l, "anchors.ca_list.period", list->period, 1, 86400, 3600,
                        &config->anchors.period);
    if (code == STICPS_OK && (config->anchors.url = strdup(list->url)) == NULL)
        code = fail(l->err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    return code;
}

static enum sticps_err rules(const struct loading *l, const struct raw_config *raw,
                             struct config *config)
{
    const struct raw_freshness none = {NULL, NULL};
    const struct raw_freshness *fresh = raw->freshness != NULL ? raw->freshness : &none;
    unsigned age = 0, ahead = 0;
    enum sticps_err code = number32(l, "freshness.max_age", fresh->max_age, 1, 3600, 60, &age);
    if (code == STICPS_OK)
        code = number32(l, "freshness.max_ahead", fresh->max_ahead, 0, 3600, 5, &ahead);
    if (code == STICPS_OK)
        code = number32(l, "default_country", raw->default_country, 0, 1, 1,
                        &config->rules.default_country);
    config->rules.max_age = config->store.max_age = age;
    config->rules.max_ahead = config->store.max_ahead = ahead;
    config->rules.lab = raw->lab != NULL && *raw->lab == RAW_TRUE;
    return code;
}

static enum sticps_err sizes(const struct loading *l, const struct raw_config *raw,
                             struct config *config)
{
    const struct raw_store no_store = {NULL, NULL};
    const struct raw_store *store = raw->store != NULL ? raw->store : &no_store;
    const struct raw_x5u no_x5u = {NULL, NULL};
    const struct raw_x5u *x5u = raw->x5u != NULL ? raw->x5u : &no_x5u;
    const struct raw_limits no_limits = {NULL, NULL, NULL, NULL};
    const struct raw_limits *limits = raw->limits != NULL ? raw->limits : &no_limits;
    uint64_t entries = 0, bytes = 0;

    enum sticps_err code =
        number(l, "store.max_entries", store->max_entries, 1, 100000000, 1000000, &entries);
    if (code == STICPS_OK)
        code = number(l, "store.max_bytes", store->max_bytes, 65536, (uint64_t)1 << 40,
                      (uint64_t)512 << 20, &bytes);
    if (code == STICPS_OK)
        code = number32(l, "x5u.deadline_ms", x5u->deadline_ms, 50, 30000, 2000,
                        &config->x5u_deadline_ms);
    if (code == STICPS_OK)
        code =
            number32(l, "x5u.max_pending", x5u->max_pending, 1, 128, 100, &config->x5u_max_pending);
    if (code == STICPS_OK)
        code = number32(l, "limits.connections", limits->connections, 1, 1000000, 10000,
                        &config->max_connections);
    if (code == STICPS_OK)
        code = number32(l, "limits.per_address", limits->per_address, 1, 1000000, 256,
                        &config->max_per_address);
    if (code == STICPS_OK)
        code = number32(l, "limits.requests_per_second", limits->requests_per_second, 0, RATE_MAX,
                        0, &config->requests_per_second);
    if (code == STICPS_OK)
        code = number32(l, "limits.requests_burst", limits->requests_burst, 0, RATE_MAX, 0,
                        &config->requests_burst);
    if (code == STICPS_OK)
        code = number32(l, "threads", raw->threads, 0, 16, 0, &config->threads);
    config->store.max_entries = (size_t)entries;
    config->store.max_bytes = (size_t)bytes;
    return code;
}

static enum sticps_err proxy(const struct loading *l, struct raw_proxy *raw, struct config *config)
{
    if (raw == NULL)
        return STICPS_OK;
    config->proxy_protocol = raw->protocol != NULL && *raw->protocol == RAW_TRUE;
    enum sticps_err code =
        proxies_check(raw->trusted.items, raw->trusted.count, config->proxy_protocol, l->err);
    if (code == STICPS_OK) {
        config->trusted_proxies = raw->trusted;
        raw->trusted = (struct config_strings){NULL, 0};
    }
    return code;
}

static enum sticps_err convert(const struct loading *l, struct raw_config *raw,
                               struct config *config)
{
    enum sticps_err code = tls(l, raw->tls, &config->tls);
    if (code == STICPS_OK)
        code = private_side(l, raw, config);
    if (code == STICPS_OK)
        code = spcs(l, raw, config);
    if (code == STICPS_OK)
        code = anchors(l, raw->anchors, config);
    if (code == STICPS_OK)
        code = file_name(l, raw->tls_ca, &config->tls_ca);
    if (code == STICPS_OK && raw->crl != NULL)
        code = file_name(l, raw->crl->file, &config->crl.file);
    if (code == STICPS_OK && raw->crl != NULL)
        code = file_name(l, raw->crl->signer, &config->crl.signer);
    if (code == STICPS_OK)
        code = rules(l, raw, config);
    if (code == STICPS_OK)
        code = sizes(l, raw, config);
    if (code == STICPS_OK)
        code = proxy(l, raw->proxy, config);
    config->access_log =
        raw->log != NULL && raw->log->access != NULL && *raw->log->access == RAW_TRUE;
    if (code == STICPS_OK) {
        config->listen = raw->listen;
        raw->listen = (struct config_strings){NULL, 0};
    }
    return code;
}

enum sticps_err config_load(const char *path, struct config **out, struct sticps_error *err)
{
    struct loading l = {path, err};
    struct raw_config *raw = NULL;
    enum sticps_err code = raw_config_load(path, &raw, err);
    if (code != STICPS_OK)
        return code;
    struct config *config = calloc(1, sizeof(*config));
    code = config != NULL ? raw_config_fixed(raw, &config->fixed, &config->fixed_len, err)
                          : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code == STICPS_OK)
        code = convert(&l, raw, config);
    if (code == STICPS_OK)
        *out = config;
    else
        config_free(config);
    raw_config_free(raw);
    return code;
}

static void strings_free(struct config_strings *strings)
{
    for (unsigned i = 0; i < strings->count; i++)
        free(strings->items[i]);
    free(strings->items);
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    strings_free(&config->listen);
    strings_free(&config->private_side.listen);
    strings_free(&config->trusted_proxies);
    free(config->tls.certificate);
    free(config->tls.key);
    free(config->private_side.tls.certificate);
    free(config->private_side.tls.key);
    free(config->private_side.token);
    free(config->private_side.metrics_token);
    free(config->private_side.client_ca);
    free(config->spcs);
    free(config->anchors.bundle);
    free(config->anchors.url);
    free(config->anchors.anchor);
    free(config->anchors.state);
    free(config->crl.file);
    free(config->crl.signer);
    free(config->tls_ca);
    free(config->fixed);
    free(config);
}

enum sticps_err config_check_reload(const struct config *old, const struct config *fresh,
                                    struct sticps_error *err)
{
    char key[64];
    if (reload_differs(old->fixed, old->fixed_len, fresh->fixed, fresh->fixed_len, key,
                       sizeof(key)))
        return fail(err, STICPS_ERR_USAGE, NULL, "%s needs a restart", key);
    return STICPS_OK;
}
