#include "server/cps/config_schema.h"

#include "server/yaml/yaml.h"

#define MAX_LIST 1000 /* addresses, SPCs */

static const cyaml_schema_value_t string_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, CYAML_UNLIMITED)};

/* libcyaml's own booleans take any word for true. */
static const cyaml_strval_t truths[] = {{"false", 0}, {"true", 1}, {"no", 0}, {"yes", 1}};

#define STRING(key, type, member) \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER, type, member, 1, CYAML_UNLIMITED)
#define STRING_OPTIONAL(key, type, member)                                                 \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, \
                           CYAML_UNLIMITED)
#define NUMBER(key, type, member) CYAML_FIELD_UINT_PTR(key, CYAML_FLAG_OPTIONAL, type, member)
#define BOOLEAN(key, type, member)                                                           \
    CYAML_FIELD_ENUM_PTR(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member, truths, \
                         sizeof(truths) / sizeof(*truths))
#define MAPPING(key, type, member, fields) \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER, type, member, fields)
#define MAPPING_OPTIONAL(key, type, member, fields) \
    CYAML_FIELD_MAPPING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, fields)
#define STRINGS(key, type, member)                                                        \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER, type, member.items, member.count, \
                               &string_value, 1, MAX_LIST)

static const cyaml_schema_field_t tls_fields[] = {
    STRING("certificate", struct raw_tls, certificate),
    STRING("key", struct raw_tls, key),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t private_fields[] = {
    STRINGS("listen", struct raw_private, listen),
    MAPPING_OPTIONAL("tls", struct raw_private, tls, tls_fields),
    STRING_OPTIONAL("token_file", struct raw_private, token_file),
    STRING_OPTIONAL("metrics_token_file", struct raw_private, metrics_token_file),
    STRING_OPTIONAL("client_ca", struct raw_private, client_ca),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t ca_list_fields[] = {
    STRING("url", struct raw_ca_list, url),
    STRING("anchor", struct raw_ca_list, anchor),
    STRING_OPTIONAL("state", struct raw_ca_list, state),
    NUMBER("period", struct raw_ca_list, period),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t anchors_fields[] = {
    STRING_OPTIONAL("bundle", struct raw_anchors, bundle),
    MAPPING_OPTIONAL("ca_list", struct raw_anchors, ca_list, ca_list_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t crl_fields[] = {
    STRING("file", struct raw_crl, file),
    STRING("signer", struct raw_crl, signer),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t freshness_fields[] = {
    NUMBER("max_age", struct raw_freshness, max_age),
    NUMBER("max_ahead", struct raw_freshness, max_ahead),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t store_fields[] = {
    NUMBER("max_entries", struct raw_store, max_entries),
    NUMBER("max_bytes", struct raw_store, max_bytes),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t x5u_fields[] = {
    NUMBER("deadline_ms", struct raw_x5u, deadline_ms),
    NUMBER("max_pending", struct raw_x5u, max_pending),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
    NUMBER("connections", struct raw_limits, connections),
    NUMBER("per_address", struct raw_limits, per_address),
    NUMBER("requests_per_second", struct raw_limits, requests_per_second),
    NUMBER("requests_burst", struct raw_limits, requests_burst),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t proxy_fields[] = {
    CYAML_FIELD_SEQUENCE_COUNT("trusted", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL,
                               struct raw_proxy, trusted.items, trusted.count, &string_value, 0,
                               MAX_LIST),
    BOOLEAN("protocol", struct raw_proxy, protocol),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_fields[] = {
    BOOLEAN("access", struct raw_log, access),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
    STRINGS("listen", struct raw_config, listen),
    NUMBER("threads", struct raw_config, threads),
    MAPPING("tls", struct raw_config, tls, tls_fields),
    MAPPING("private", struct raw_config, private_side, private_fields),
    STRINGS("spcs", struct raw_config, spcs),
    MAPPING("anchors", struct raw_config, anchors, anchors_fields),
    MAPPING_OPTIONAL("crl", struct raw_config, crl, crl_fields),
    BOOLEAN("lab", struct raw_config, lab),
    STRING_OPTIONAL("tls_ca", struct raw_config, tls_ca),
    NUMBER("default_country", struct raw_config, default_country),
    MAPPING_OPTIONAL("freshness", struct raw_config, freshness, freshness_fields),
    MAPPING_OPTIONAL("store", struct raw_config, store, store_fields),
    MAPPING_OPTIONAL("x5u", struct raw_config, x5u, x5u_fields),
    MAPPING_OPTIONAL("limits", struct raw_config, limits, limits_fields),
    MAPPING_OPTIONAL("proxy", struct raw_config, proxy, proxy_fields),
    MAPPING_OPTIONAL("log", struct raw_config, log, log_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_config, config_fields)};

enum sticps_err raw_config_load(const char *path, struct raw_config **out, struct sticps_error *err)
{
    void *data = NULL;
    enum sticps_err rc = yaml_load(path, &config_schema, &data, err);

    *out = data;
    return rc;
}

enum sticps_err raw_config_fixed(const struct raw_config *raw, char **text, size_t *len,
                                 struct sticps_error *err)
{
    char any[] = "0000", *spc = any;
    struct raw_config fixed = *raw;

    fixed.spcs = (struct config_strings){&spc, 1};
    fixed.limits = NULL;
    fixed.log = NULL;
    return yaml_save(&config_schema, &fixed, text, len, err);
}

void raw_config_free(struct raw_config *raw)
{
    yaml_free(&config_schema, raw);
}
