#include "server/cps/config_schema.h"

#include "common/error.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* libcyaml tells what is wrong, and where, line by line through its log. */
struct messages {
    char text[400];
    size_t len;
};

static void on_log(cyaml_log_t level, void *context, const char *format, va_list args)
{
    struct messages *messages = context;
    if (level < CYAML_LOG_ERROR || messages->len + 1 >= sizeof(messages->text))
        return;
    char line[200];
    vsnprintf(line, sizeof(line), format, args);
    line[strcspn(line, "\n")] = '\0';
    const char *text = strncmp(line, "Load: ", 6) == 0 ? line + 6 : line;
    while (*text == ' ')
        text++;
    if (strcmp(text, "Backtrace:") == 0)
        return;
    size_t room = sizeof(messages->text) - messages->len;
    int n =
        snprintf(messages->text + messages->len, room, "%s%s", messages->len > 0 ? "; " : "", text);
    messages->len += (size_t)n < room ? (size_t)n : room - 1;
}

static cyaml_config_t cyaml_config(struct messages *messages)
{
    return (cyaml_config_t){
        .log_fn = on_log,
        .log_ctx = messages,
        .log_level = CYAML_LOG_ERROR,
        .mem_fn = cyaml_mem,
        .flags = CYAML_CFG_NO_ALIAS,
    };
}

enum sticps_err raw_config_load(const char *path, struct raw_config **out, struct sticps_error *err)
{
    struct messages messages = {"", 0};
    cyaml_config_t config = cyaml_config(&messages);
    if (access(path, R_OK) != 0)
        return fail(err, STICPS_ERR_FILE, path, "cannot read the configuration");
    struct raw_config *raw = NULL;
    cyaml_err_t code = cyaml_load_file(path, &config, &config_schema, (cyaml_data_t **)&raw, NULL);
    if (code == CYAML_OK && raw == NULL)
        return fail(err, STICPS_ERR_USAGE, path, "the configuration is empty");
    if (code != CYAML_OK)
        return fail(err, STICPS_ERR_USAGE, path, "%s: %s", cyaml_strerror(code), messages.text);
    *out = raw;
    return STICPS_OK;
}

enum sticps_err raw_config_fixed(const struct raw_config *raw, char **text, size_t *len,
                                 struct sticps_error *err)
{
    struct messages messages = {"", 0};
    cyaml_config_t config = cyaml_config(&messages);
    char any[] = "0000", *spc = any;
    struct raw_config fixed = *raw;
    fixed.spcs = (struct config_strings){&spc, 1};
    fixed.limits = NULL;
    fixed.log = NULL;
    if (cyaml_save_data(text, len, &config, &config_schema, &fixed, 0) != CYAML_OK)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "the configuration cannot be kept: %s",
                    messages.text);
    return STICPS_OK;
}

void raw_config_free(struct raw_config *raw)
{
    struct messages messages = {"", 0};
    cyaml_config_t config = cyaml_config(&messages);
    if (raw != NULL)
        (void)cyaml_free(&config, &config_schema, raw, 0);
}
