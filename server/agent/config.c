#include "server/agent/config.h"

#include "server/agent/flags.h"
#include "server/yaml/yaml.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LIST 1000
#define UNIX_PREFIX "unix:"

/* ---- the schema ---- */

static const cyaml_schema_value_t text_value = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 1, CYAML_UNLIMITED)};
static const cyaml_schema_value_t port_value = {CYAML_VALUE_UINT(CYAML_FLAG_DEFAULT, uint16_t)};
/* libcyaml's own booleans take any word for true. */
static const cyaml_strval_t truths[] = {
    {"false", AGENT_NO}, {"true", AGENT_YES}, {"no", AGENT_NO}, {"yes", AGENT_YES}};

#define TEXT(key, type, member)                                                            \
    CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member, 1, \
                           CYAML_UNLIMITED)
#define LIST(key, type, member, value)                                                            \
    CYAML_FIELD_SEQUENCE_COUNT(key, CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, type, member.items, \
                               member.count, value, 0, MAX_LIST)
#define TEXTS(key, type, member) LIST(key, type, member, &text_value)
#define NUMBER(key, type, member) CYAML_FIELD_UINT(key, CYAML_FLAG_OPTIONAL, type, member)
#define TRUTH(key, type, member)                                                         \
    CYAML_FIELD_ENUM(key, CYAML_FLAG_OPTIONAL | CYAML_FLAG_STRICT, type, member, truths, \
                     sizeof(truths) / sizeof(*truths))
#define GROUP(key, type, member, fields) \
    CYAML_FIELD_MAPPING(key, CYAML_FLAG_OPTIONAL, type, member, fields)

static const cyaml_schema_field_t socket_fields[] = {
    TEXT("mode", struct agent_socket, mode),
    TEXT("group", struct agent_socket, group),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t crl_fields[] = {
    TEXT("file", struct agent_crl, file),
    TEXT("signer", struct agent_crl, signer),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t list_fields[] = {
    TEXTS("urls", struct agent_list, urls),
    TEXTS("files", struct agent_list, files),
    TEXTS("anchors", struct agent_list, anchors),
    TEXT("state", struct agent_list, state),
    NUMBER("period", struct agent_list, period),
    NUMBER("timeout_ms", struct agent_list, timeout_ms),
    NUMBER("max_lifetime", struct agent_list, max_lifetime),
    NUMBER("grace", struct agent_list, grace),
    TEXTS("x5u_hosts", struct agent_list, x5u_hosts),
    LIST("ports", struct agent_list, ports, &port_value),
    GROUP("crl", struct agent_list, crl, crl_fields),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t enum_fields[] = {
    TEXT("apex", struct agent_enum, apex),
    TEXTS("servers", struct agent_enum, servers),
    NUMBER("deadline_ms", struct agent_enum, deadline_ms),
    NUMBER("cache", struct agent_enum, cache),
    TRUTH("first", struct agent_enum, first),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t delivery_fields[] = {
    NUMBER("deadline_ms", struct agent_delivery, deadline_ms),
    NUMBER("queue", struct agent_delivery, queue),
    NUMBER("per_cps", struct agent_delivery, per_cps),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t sti_fields[] = {
    TEXT("key", struct agent_sti, key),
    TEXT("spc", struct agent_sti, spc),
    TEXT("x5u", struct agent_sti, x5u),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t limits_fields[] = {
    NUMBER("connections", struct agent_limits, connections),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t log_members[] = {
    TRUTH("access", struct agent_log, access),
    TRUTH("deliveries", struct agent_log, deliveries),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t config_fields[] = {
    TEXTS("listen", struct agent_config, listen),
    TRUTH("allow_remote", struct agent_config, allow_remote),
    GROUP("socket", struct agent_config, socket, socket_fields),
    NUMBER("threads", struct agent_config, threads),
    GROUP("list", struct agent_config, list, list_fields),
    TEXTS("npdb", struct agent_config, npdb),
    GROUP("enum", struct agent_config, enumeration, enum_fields),
    TEXT("override", struct agent_config, override),
    GROUP("delivery", struct agent_config, delivery, delivery_fields),
    GROUP("sti", struct agent_config, sti, sti_fields),
    TEXTS("tls_ca", struct agent_config, tls_ca),
    CYAML_FIELD_UINT_PTR("default_country", CYAML_FLAG_OPTIONAL, struct agent_config,
                         default_country),
    TRUTH("lab", struct agent_config, lab),
    GROUP("limits", struct agent_config, limits, limits_fields),
    GROUP("log", struct agent_config, log, log_members),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct agent_config, config_fields)};

/* ---- file names ---- */

static enum sticps_err all_names(const char *path, struct agent_strings *names,
                                 struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (unsigned i = 0; i < names->count && code == STICPS_OK; i++)
        code = yaml_file_name(path, &names->items[i], err);
    return code;
}

static enum sticps_err file_names(const char *path, struct agent_config *config,
                                  struct sticps_error *err)
{
    char **const single[] = {&config->list.state, &config->list.crl.file, &config->list.crl.signer,
                             &config->override, &config->sti.key};
    struct agent_strings *const lists[] = {&config->list.files, &config->list.anchors,
                                           &config->npdb, &config->tls_ca};
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; i < sizeof(single) / sizeof(*single) && code == STICPS_OK; i++)
        code = yaml_file_name(path, single[i], err);
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists) && code == STICPS_OK; i++)
        code = all_names(path, lists[i], err);
    return code;
}

/* ---- defaults and checks ---- */

struct range {
    const char *key;
    uint32_t *value;
    uint32_t fallback, min, max;
};

static enum sticps_err check_numbers(struct agent_config *config, const char *path,
                                     struct sticps_error *err)
{
    const struct range ranges[] = {
        {"threads", &config->threads, 1, 1, 16},
        {"list.period", &config->list.period, 300, 1, 86400},
        {"list.timeout_ms", &config->list.timeout_ms, 30000, 100, 600000},
        {"list.max_lifetime", &config->list.max_lifetime, 604800, 60, 315360000},
        {"list.grace", &config->list.grace, 0, 0, 315360000},
        {"enum.deadline_ms", &config->enumeration.deadline_ms, 100, 1, 10000},
        {"enum.cache", &config->enumeration.cache, 65536, 1, 1 << 24},
        {"delivery.deadline_ms", &config->delivery.deadline_ms, 400, 10, 10000},
        {"delivery.queue", &config->delivery.queue, 4096, 1, 1000000},
        {"delivery.per_cps", &config->delivery.per_cps, 256, 1, 100000},
        {"limits.connections", &config->limits.connections, 1024, 1, 100000},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(*ranges); i++) {
        const struct range *range = &ranges[i];
        if (*range->value == 0)
            *range->value = range->fallback;
        if (*range->value < range->min || *range->value > range->max)
            return fail(err, STICPS_ERR_USAGE, path, "%s must be from %u to %u", range->key,
                        range->min, range->max);
    }
    if (agent_config_country(config) > 1)
        return fail(err, STICPS_ERR_USAGE, path, "default_country must be 0 or 1");
    return STICPS_OK;
}

/* An address of this machine alone: by number, so that no name decides who may deliver. */
static bool is_local(const char *address)
{
    char host[INET6_ADDRSTRLEN + 2];
    struct in_addr four;
    struct in6_addr six;
    const char *colon = strrchr(address, ':');
    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
        return true;
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;
    if (len == 0 || len >= sizeof(host))
        return false;
    memcpy(host, address, len);
    host[len] = '\0';
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
    if (host[0] != '[' || host[len - 1] != ']')
        return false;
    host[len - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static enum sticps_err check_address(const struct agent_config *config, const char *address,
                                     const char *path, struct sticps_error *err)
{
    if (strncmp(address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0 &&
        address[strlen(UNIX_PREFIX)] != '/')
        return fail(err, STICPS_ERR_USAGE, path,
                    "listen: %s: a socket's path must be absolute: unix:/path", address);
    if (!is_local(address) && config->allow_remote != AGENT_YES)
        return fail(err, STICPS_ERR_USAGE, path,
                    "listen: %s is no loopback address, and whoever reaches the agent can deliver "
                    "in your name, for it asks nobody who he is; write 127.0.0.1:port or "
                    "unix:/path, or allow_remote: true where the network itself keeps strangers "
                    "out",
                    address);
    return STICPS_OK;
}

static enum sticps_err check_listen(const struct agent_config *config, const char *path,
                                    struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    if (config->listen.count == 0)
        return fail(err, STICPS_ERR_USAGE, path,
                    "listen is missing: name a socket (unix:/run/sticps-agent/agent.sock) or a "
                    "loopback address (127.0.0.1:8085)");
    for (unsigned i = 0; i < config->listen.count && code == STICPS_OK; i++)
        code = check_address(config, config->listen.items[i], path, err);
    return code;
}

static enum sticps_err check_mode(const struct agent_config *config, const char *path,
                                  struct sticps_error *err)
{
    const char *mode = config->socket.mode;
    if (mode == NULL)
        return STICPS_OK;
    size_t len = strlen(mode);
    if (len < 3 || len > 4 || strspn(mode, "01234567") != len || (len == 4 && mode[0] != '0') ||
        agent_config_socket_mode(config) == 0)
        return fail(err, STICPS_ERR_USAGE, path,
                    "socket.mode: \"%s\" is no mode; write it as chmod does, in quotes: \"0660\"",
                    mode);
    return STICPS_OK;
}

static enum sticps_err check_list(const struct agent_config *config, const char *path,
                                  struct sticps_error *err)
{
    const struct agent_list *list = &config->list;
    const char *missing = list->state == NULL ? "list.state" : NULL;
    if (agent_config_fetches(config) && list->anchors.count == 0)
        missing = "list.anchors";
    if (missing != NULL)
        return fail(err, STICPS_ERR_USAGE, path, "%s is missing", missing);
    if ((list->crl.file == NULL) != (list->crl.signer == NULL))
        return fail(err, STICPS_ERR_USAGE, path, "list.crl: file and signer go together");
    return STICPS_OK;
}

static enum sticps_err check_enum(const struct agent_config *config, const char *path,
                                  struct sticps_error *err)
{
    const struct agent_enum *of = &config->enumeration;
    if (of->apex == NULL && (of->servers.count > 0 || of->first == AGENT_YES))
        return fail(err, STICPS_ERR_USAGE, path,
                    "enum.apex is missing: the domain that numbers are under");
    return STICPS_OK;
}

static enum sticps_err check_sti(const struct agent_config *config, const char *path,
                                 struct sticps_error *err)
{
    const struct agent_sti *sti = &config->sti;
    bool any = sti->key != NULL || sti->spc != NULL || sti->x5u != NULL;
    if (any && (sti->key == NULL || sti->spc == NULL || sti->x5u == NULL))
        return fail(err, STICPS_ERR_USAGE, path, "sti: key, spc and x5u go together");
    return STICPS_OK;
}

/* ---- the interface ---- */

/* The file alone, or nothing at all. */
static enum sticps_err read_file_of(const char *path, struct agent_config **out,
                                    struct sticps_error *err)
{
    void *data = NULL;
    enum sticps_err code = STICPS_OK;
    if (path != NULL)
        code = yaml_load(path, &schema, &data, err);
    else if ((data = calloc(1, sizeof(**out))) == NULL)
        code = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (code != STICPS_OK)
        return code;
    *out = data;
    return path != NULL ? file_names(path, *out, err) : STICPS_OK;
}

static enum sticps_err check(struct agent_config *config, const char *path,
                             struct sticps_error *err)
{
    enum sticps_err code = check_numbers(config, path, err);
    if (code == STICPS_OK)
        code = check_listen(config, path, err);
    if (code == STICPS_OK)
        code = check_mode(config, path, err);
    if (code == STICPS_OK)
        code = check_list(config, path, err);
    if (code == STICPS_OK)
        code = check_enum(config, path, err);
    if (code == STICPS_OK)
        code = check_sti(config, path, err);
    return code;
}

enum sticps_err agent_config_load(const char *path, const struct agent_flags *flags,
                                  struct agent_config **out, struct sticps_error *err)
{
    struct agent_config *config = NULL;
    enum sticps_err code = read_file_of(path, &config, err);
    if (code == STICPS_OK)
        code = agent_flags_apply(flags, config, err);
    if (code == STICPS_OK)
        code = check(config, path != NULL ? path : "command line", err);
    if (code == STICPS_OK)
        *out = config;
    else
        agent_config_free(config);
    return code;
}

void agent_config_free(struct agent_config *config)
{
    yaml_free(&schema, config);
}

bool agent_config_fetches(const struct agent_config *config)
{
    return config->list.urls.count + config->list.files.count > 0;
}

unsigned agent_config_country(const struct agent_config *config)
{
    return config->default_country != NULL ? *config->default_country : 1;
}

unsigned agent_config_socket_mode(const struct agent_config *config)
{
    return config->socket.mode != NULL ? (unsigned)strtoul(config->socket.mode, NULL, 8) : 0;
}
