#include "server/registry/config_schema.h"

#include "server/registry/config.h"
#include "server/registry/sequence_floor.h"

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
    OPTIONAL_TEXT("signer", struct config_crl, signer),
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
const cyaml_schema_value_t config_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct config, fields),
};
