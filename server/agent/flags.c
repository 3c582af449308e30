#include "server/agent/flags.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_FLAG 1000 /* beyond any letter */

enum kind { TEXT, TEXTS, NUMBER, PORTS, TRUTH };

static const struct flag {
    const char *name;
    enum kind kind;
    size_t offset;
} table[] = {
    {"listen", TEXTS, offsetof(struct agent_config, listen)},
    {"url", TEXTS, offsetof(struct agent_config, list.urls)},
    {"file", TEXTS, offsetof(struct agent_config, list.files)},
    {"anchor", TEXTS, offsetof(struct agent_config, list.anchors)},
    {"state", TEXT, offsetof(struct agent_config, list.state)},
    {"period", NUMBER, offsetof(struct agent_config, list.period)},
    {"max-lifetime", NUMBER, offsetof(struct agent_config, list.max_lifetime)},
    {"grace", NUMBER, offsetof(struct agent_config, list.grace)},
    {"x5u-host", TEXTS, offsetof(struct agent_config, list.x5u_hosts)},
    {"allow-port", PORTS, offsetof(struct agent_config, list.ports)},
    {"crl", TEXT, offsetof(struct agent_config, list.crl.file)},
    {"crl-signer", TEXT, offsetof(struct agent_config, list.crl.signer)},
    {"npdb", TEXTS, offsetof(struct agent_config, npdb)},
    {"enum-apex", TEXT, offsetof(struct agent_config, enumeration.apex)},
    {"enum-server", TEXTS, offsetof(struct agent_config, enumeration.servers)},
    {"enum-deadline", NUMBER, offsetof(struct agent_config, enumeration.deadline_ms)},
    {"enum-first", TRUTH, offsetof(struct agent_config, enumeration.first)},
    {"override", TEXT, offsetof(struct agent_config, override)},
    {"deadline", NUMBER, offsetof(struct agent_config, delivery.deadline_ms)},
    {"sti-key", TEXT, offsetof(struct agent_config, sti.key)},
    {"sti-spc", TEXT, offsetof(struct agent_config, sti.spc)},
    {"sti-x5u", TEXT, offsetof(struct agent_config, sti.x5u)},
    {"tls-ca", TEXTS, offsetof(struct agent_config, tls_ca)},
    {"lab", TRUTH, offsetof(struct agent_config, lab)},
};
#define FLAGS (sizeof(table) / sizeof(*table))

void agent_flags_options(const struct option *own, size_t own_len, struct option *out)
{
    _Static_assert(FLAGS + 8 <= AGENT_MAX_OPTIONS, "room for the flags and main's own options");
    memset(out, 0, AGENT_MAX_OPTIONS * sizeof(*out));
    memcpy(out, own, own_len * sizeof(*out));
    for (size_t i = 0; i < FLAGS; i++)
        out[own_len + i] =
            (struct option){table[i].name, table[i].kind == TRUTH ? no_argument : required_argument,
                            NULL, FIRST_FLAG + (int)i};
}

bool agent_flags_note(struct agent_flags *flags, int option, const char *value)
{
    if (option < FIRST_FLAG || option >= FIRST_FLAG + (int)FLAGS || flags->len == AGENT_MAX_FLAGS)
        return false;
    flags->items[flags->len].flag = option - FIRST_FLAG;
    flags->items[flags->len++].value = value;
    return true;
}

/* ---- over the configuration ---- */

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

static enum sticps_err set_text(char **to, const char *value, struct sticps_error *err)
{
    char *copy = strdup(value);
    if (copy == NULL)
        return no_memory(err);
    free(*to);
    *to = copy;
    return STICPS_OK;
}

static enum sticps_err add_text(struct agent_strings *to, const char *value,
                                struct sticps_error *err)
{
    char **items = reallocarray(to->items, to->count + 1, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    to->items = items;
    items[to->count] = NULL;
    enum sticps_err code = set_text(&items[to->count], value, err);
    if (code == STICPS_OK)
        to->count++;
    return code;
}

/* Ranges are the configuration's to check; here 0 would mean that nothing was said. */
static enum sticps_err read_number(const char *name, const char *value, unsigned long max,
                                   uint32_t *out, struct sticps_error *err)
{
    char *end = NULL;
    errno = 0;
    unsigned long number = strtoul(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number == 0 ||
        number > max)
        return fail(err, STICPS_ERR_USAGE, NULL, "--%s: '%s' is no number from 1 to %lu", name,
                    value, max);
    *out = (uint32_t)number;
    return STICPS_OK;
}

static enum sticps_err add_port(struct agent_ports *to, const char *name, const char *value,
                                struct sticps_error *err)
{
    uint32_t port = 0;
    enum sticps_err code = read_number(name, value, UINT16_MAX, &port, err);
    if (code != STICPS_OK)
        return code;
    uint16_t *items = reallocarray(to->items, to->count + 1, sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    to->items = items;
    items[to->count++] = (uint16_t)port;
    return STICPS_OK;
}

static enum sticps_err apply(const struct flag *flag, const char *value,
                             struct agent_config *config, struct sticps_error *err)
{
    void *member = (char *)config + flag->offset;
    switch (flag->kind) {
    case TEXT:
        return set_text(member, value, err);
    case TEXTS:
        return add_text(member, value, err);
    case NUMBER:
        return read_number(flag->name, value, UINT32_MAX, member, err);
    case PORTS:
        return add_port(member, flag->name, value, err);
    case TRUTH:
        break;
    }
    *(enum agent_truth *)member = AGENT_YES;
    return STICPS_OK;
}

enum sticps_err agent_flags_apply(const struct agent_flags *flags, struct agent_config *config,
                                  struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    for (size_t i = 0; i < flags->len && code == STICPS_OK; i++)
        code = apply(&table[flags->items[i].flag], flags->items[i].value, config, err);
    return code;
}
