#include "server/registry/config.h"

#include "common/hsm/hsm_key.h"
#include "server/http/client_address.h"
#include "server/http/rate.h"
#include "server/http/reload.h"
#include "server/registry/sequence_floor.h"

#include <cyaml/cyaml.h>
#include <libgen.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIFETIME (7 * 86400) /* clients refuse more (PROTOCOL section 2, rule 7) */

/* ---- the schema ---- */

#define TEXT(key, type, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 1, 4096)
#define OPTIONAL_TEXT(key, type, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, 4096)
#define NUMBER(key, type, member) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, type, member)
#define SWITCH(key, type, member) \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member, switches, 2)

/* Not CYAML_BOOL: libcyaml 1.3.1 takes every text that it does not know for true. */
static const cyaml_strval_t switches[] = {{"true", CONFIG_ON}, {"false", CONFIG_OFF}};

static const cyaml_schema_field_t tls_fields[] = {
    TEXT("certificate", struct config_tls, certificate),
    TEXT("key", struct config_tls, key),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t database_fields[] = {
    TEXT("url", struct config_database, url),
    OPTIONAL_TEXT("publisher_url", struct config_database, publisher_url),
    OPTIONAL_TEXT("auditor_url", struct config_database, auditor_url),
    OPTIONAL_TEXT("owner_url", struct config_database, owner_url),
    NUMBER("connections", struct config_database, connections),
    SWITCH("transaction_pooling", struct config_database, transaction_pooling),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t signer_fields[] = {
    CYAML_FIELD_UINT("id", CYAML_FLAG_DEFAULT, struct config_signer, id),
    TEXT("key", struct config_signer, key),
    CYAML_FIELD_STRING_PTR("module", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_signer,
                           module, 1, 4096),
    CYAML_FIELD_STRING_PTR("pin_file", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                           struct config_signer, pin_file, 1, 4096),
    TEXT("certificate", struct config_signer, certificate),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t brake_fields[] = {
    NUMBER("entries", struct config_brake, entries),
    NUMBER("percent", struct config_brake, percent),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t list_fields[] = {
    NUMBER("lifetime", struct config_list, lifetime),
    NUMBER("period", struct config_list, period),
    NUMBER("debounce_ms", struct config_list, debounce_ms),
    SWITCH("public", struct config_list, is_public),
    CYAML_FIELD_MAPPING("brake", CYAML_FLAG_OPTIONAL, struct config_list, brake, brake_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t ca_list_fields[] = {
    OPTIONAL_TEXT("directory", struct config_ca_list, directory),
    NUMBER("lifetime", struct config_ca_list, lifetime),
    NUMBER("period", struct config_ca_list, period),
    CYAML_FIELD_MAPPING("brake", CYAML_FLAG_OPTIONAL, struct config_ca_list, brake, brake_fields),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t crl_fields[] = {
    TEXT("file", struct config_crl, file),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t sti_proof_fields[] = {
    SWITCH("enabled", struct config_sti_proof, enabled),
    NUMBER("deadline_ms", struct config_sti_proof, deadline_ms),
    NUMBER("max_pending", struct config_sti_proof, max_pending),
    NUMBER("fetches_per_second", struct config_sti_proof, fetches_per_second),
    NUMBER("proofs_per_second", struct config_sti_proof, proofs_per_second),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t export_fields[] = {
    TEXT("directory", struct config_export, directory),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t witness_url = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 2048)};
static const cyaml_schema_field_t witness_fields[] = {
    CYAML_FIELD_SEQUENCE("cps_list", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                         struct config_witness, cps_list, &witness_url, 1, FLOOR_WITNESSES),
    CYAML_FIELD_SEQUENCE("ca_list", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_witness,
                         ca_list, &witness_url, 1, FLOOR_WITNESSES),
    TEXT("anchors", struct config_witness, anchors),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t port = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint16_t)};
static const cyaml_schema_field_t cps_url_fields[] = {
    CYAML_FIELD_SEQUENCE("ports", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_cps_url,
                         ports, &port, 0, 64),
    CYAML_FIELD_END,
};
static const cyaml_strval_t policies[] = {
    {"off", CONFIG_CHECK_OFF},
    {"warn", CONFIG_CHECK_WARN},
    {"require", CONFIG_CHECK_REQUIRE},
};
static const cyaml_schema_field_t cps_check_fields[] = {
    CYAML_FIELD_ENUM("policy", CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, struct config_cps_check,
                     policy, policies, 3),
    NUMBER("timeout_ms", struct config_cps_check, timeout_ms),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t session_fields[] = {
    NUMBER("access_lifetime", struct config_session, access_lifetime),
    NUMBER("refresh_lifetime", struct config_session, refresh_lifetime),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t limits_fields[] = {
    NUMBER("connections", struct config_limits, connections),
    NUMBER("per_address", struct config_limits, per_address),
    NUMBER("requests_per_second", struct config_limits, requests_per_second),
    NUMBER("requests_burst", struct config_limits, requests_burst),
    NUMBER("writes_per_second", struct config_limits, writes_per_second),
    NUMBER("writes_burst", struct config_limits, writes_burst),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t network = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 64)};
static const cyaml_schema_field_t proxy_fields[] = {
    CYAML_FIELD_SEQUENCE("trusted", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config_proxy,
                         trusted, &network, 0, 64),
    SWITCH("protocol", struct config_proxy, protocol),
    CYAML_FIELD_END,
};
static const cyaml_schema_field_t log_fields_[] = {
    SWITCH("access", struct config_log, access),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t address = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 1, 256)};
static const cyaml_schema_field_t fields[] = {
    CYAML_FIELD_SEQUENCE("listen", CYAML_FLAG_POINTER, struct config, listen, &address, 1, 16),
    NUMBER("threads", struct config, threads),
    CYAML_FIELD_MAPPING("tls", CYAML_FLAG_DEFAULT, struct config, tls, tls_fields),
    OPTIONAL_TEXT("tls_ca", struct config, tls_ca),
    CYAML_FIELD_MAPPING("database", CYAML_FLAG_DEFAULT, struct config, database, database_fields),
    TEXT("base_url", struct config, base_url),
    CYAML_FIELD_MAPPING("signer", CYAML_FLAG_DEFAULT, struct config, signer, signer_fields),
    CYAML_FIELD_MAPPING_PTR("next_signer", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
                            next_signer, signer_fields),
    CYAML_FIELD_MAPPING("list", CYAML_FLAG_OPTIONAL, struct config, list, list_fields),
    CYAML_FIELD_MAPPING("ca_list", CYAML_FLAG_OPTIONAL, struct config, ca_list, ca_list_fields),
    CYAML_FIELD_MAPPING_PTR("export", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
                            export, export_fields),
    CYAML_FIELD_MAPPING_PTR("crl", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config, crl,
                            crl_fields),
    CYAML_FIELD_MAPPING("sti_proof", CYAML_FLAG_OPTIONAL, struct config, sti_proof,
                        sti_proof_fields),
    OPTIONAL_TEXT("state", struct config, state),
    CYAML_FIELD_MAPPING_PTR("witness", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct config,
                            witness, witness_fields),
    CYAML_FIELD_MAPPING("cps_url", CYAML_FLAG_OPTIONAL, struct config, cps_url, cps_url_fields),
    CYAML_FIELD_MAPPING("cps_check", CYAML_FLAG_OPTIONAL, struct config, cps_check,
                        cps_check_fields),
    SWITCH("lab", struct config, lab),
    CYAML_FIELD_MAPPING("session", CYAML_FLAG_OPTIONAL, struct config, session, session_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct config, limits, limits_fields),
    CYAML_FIELD_MAPPING("proxy", CYAML_FLAG_OPTIONAL, struct config, proxy, proxy_fields),
    CYAML_FIELD_MAPPING("log", CYAML_FLAG_OPTIONAL, struct config, log, log_fields_),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields),
};

/* ---- what libcyaml says, gathered into one line ---- */

struct complaint {
    char text[400];
    char key[64]; /* of "Unexpected key: …", or "" */
};

static void on_cyaml_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct complaint *complaint = context;
    size_t used = strlen(complaint->text);
    char line[200];

    (void)level;
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    text += strspn(text, " ");
    if (strcmp(text, "Backtrace:") == 0 || *text == '\0')
        return;
    (void)sscanf(text, "Unexpected key: %63s", complaint->key);
    snprintf(complaint->text + used, sizeof(complaint->text) - used, "%s%s", used > 0 ? "; " : "",
             text);
}

static const cyaml_config_t *cyaml_settings(cyaml_config_t *settings, struct complaint *complaint)
{
    *settings = (cyaml_config_t){
        .log_fn = complaint != NULL ? on_cyaml_log : NULL,
        .log_ctx = complaint,
        .mem_fn = cyaml_mem,
        .log_level = CYAML_LOG_ERROR,
        .flags = CYAML_CFG_NO_ALIAS,
    };
    return settings;
}

/* libcyaml 1.3.1 says where the value before an unknown key ended; people want the key's own line.
 * 0 when it is not found. */
static unsigned line_of_key(const char *path, const char *key)
{
    FILE *file = fopen(path, "r");
    size_t size = 0, len = strlen(key);
    unsigned number = 0, found = 0;
    char *line = NULL;

    while (file != NULL && found == 0 && getline(&line, &size, file) >= 0) {
        number++;
        for (const char *p = line; (p = strstr(p, key)) != NULL; p += len) {
            bool begins = p == line || strchr(" \t{,\"'", p[-1]) != NULL;
            const char *after = p + len + strspn(p + len, "\"' \t");

            if (begins && *after == ':' && memchr(line, '#', (size_t)(p - line)) == NULL)
                found = number;
        }
    }
    free(line);
    if (file != NULL)
        fclose(file);
    return found;
}

static enum sticps_err refuse_file(const char *path, cyaml_err_t result,
                                   const struct complaint *complaint, struct sticps_error *err)
{
    unsigned line = complaint->key[0] != '\0' ? line_of_key(path, complaint->key) : 0;

    if (result == CYAML_ERR_FILE_OPEN)
        return fail(err, STICPS_ERR_FILE, path, "%s: the configuration cannot be read", path);
    if (line > 0)
        return fail(err, STICPS_ERR_USAGE, path, "%s: line %u: unknown key: %s", path, line,
                    complaint->key);
    return fail(err, STICPS_ERR_USAGE, path, "%s: %s (%s)", path, cyaml_strerror(result),
                complaint->text);
}

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

static enum sticps_err make_absolute(char **file, const char *folder, struct sticps_error *err)
{
    char *joined = NULL;

    if (*file == NULL || (*file)[0] == '/')
        return STICPS_OK;
    if (asprintf(&joined, "%s/%s", folder, *file) < 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    free(*file); /* cyaml_mem is realloc and free */
    *file = joined;
    return STICPS_OK;
}

static enum sticps_err signer_paths(struct config_signer *signer, const char *folder,
                                    struct sticps_error *err)
{
    char **const files[] = {&signer->certificate, &signer->module, &signer->pin_file};
    enum sticps_err rc = STICPS_OK;

    if (!hsm_is_uri(signer->key))
        rc = make_absolute(&signer->key, folder, err);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == STICPS_OK; i++)
        rc = make_absolute(files[i], folder, err);
    return rc;
}

static enum sticps_err resolve_paths(struct config *config, const char *path,
                                     struct sticps_error *err)
{
    char **const files[] = {&config->tls.certificate, &config->tls.key, &config->tls_ca,
                            &config->ca_list.directory, &config->state};
    enum sticps_err rc = STICPS_OK;
    char *copy = strdup(path);

    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    const char *folder = dirname(copy);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]) && rc == STICPS_OK; i++)
        rc = make_absolute(files[i], folder, err);
    if (rc == STICPS_OK && config->crl != NULL)
        rc = make_absolute(&config->crl->file, folder, err);
    if (rc == STICPS_OK && config->export != NULL)
        rc = make_absolute(&config->export->directory, folder, err);
    if (rc == STICPS_OK && config->witness != NULL)
        rc = make_absolute(&config->witness->anchors, folder, err);
    if (rc == STICPS_OK)
        rc = signer_paths(&config->signer, folder, err);
    if (rc == STICPS_OK && config->next_signer != NULL)
        rc = signer_paths(config->next_signer, folder, err);
    free(copy);
    return rc;
}

/* ---- public ---- */

enum sticps_err config_load(const char *path, struct config **out, struct sticps_error *err)
{
    struct complaint complaint = {"", ""};
    cyaml_config_t settings;
    struct config *config = NULL;
    enum sticps_err rc;

    cyaml_err_t result = cyaml_load_file(path, cyaml_settings(&settings, &complaint), &schema,
                                         (cyaml_data_t **)&config, NULL);
    if (result != CYAML_OK)
        return refuse_file(path, result, &complaint, err);
    if (config == NULL) /* libcyaml is content with an empty file */
        return fail(err, STICPS_ERR_USAGE, path, "%s: the file is empty", path);

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
    cyaml_config_t settings;

    if (config != NULL)
        cyaml_free(cyaml_settings(&settings, NULL), &schema, config, 0);
}

static enum sticps_err write_text(const struct config *config, char **out, size_t *len,
                                  struct sticps_error *err)
{
    cyaml_config_t settings;

    if (cyaml_save_data(out, len, cyaml_settings(&settings, NULL), &schema, config, 0) != CYAML_OK)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "the configuration cannot be compared");
    return STICPS_OK;
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
    rc = write_text(&wanted, &before, &before_len, err);
    if (rc == STICPS_OK)
        rc = write_text(fresh, &after, &after_len, err);
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
