#include "client/options.h"

#include "client/anchor_set.h"
#include "common/cert.h"
#include "common/json_string.h"
#include "common/key.h"
#include "common/read_file.h"
#include "common/spc.h"
#include "common/text_copy.h"
#include "common/url.h"

#include <stdlib.h>
#include <string.h>

#define MAX_CA_FILE (4 * 1024 * 1024)
#define DELIVER_QUEUE 4096 /* two seconds of a large switch at the default deadline, and more */
#define DELIVER_PER_CPS 256

static enum sticps_err no_memory(struct sticps_error *err)
{
    return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
}

/* `path` may be NULL. */
static enum sticps_err text_list_add(struct text_list *list, const void *data, size_t len,
                                     const char *path, struct sticps_error *err)
{
    struct text *items = realloc(list->items, (list->len + 1) * sizeof(*items));
    if (items == NULL)
        return no_memory(err);
    list->items = items;
    char *copy = text_copy(data, len);
    char *name = path != NULL ? strdup(path) : NULL;
    if (copy == NULL || (path != NULL && name == NULL)) {
        free(copy);
        free(name);
        return no_memory(err);
    }
    items[list->len++] = (struct text){copy, len, name};
    return STICPS_OK;
}

static void text_list_clear(struct text_list *list)
{
    for (size_t i = 0; i < list->len; i++) {
        free(list->items[i].data);
        free(list->items[i].path);
    }
    free(list->items);
    *list = (struct text_list){NULL, 0};
}

static bool text_list_copy(struct text_list *to, const struct text_list *from)
{
    for (size_t i = 0; i < from->len; i++)
        if (text_list_add(to, from->items[i].data, from->items[i].len, from->items[i].path, NULL) !=
            STICPS_OK)
            return false;
    return true;
}

static enum sticps_err set_text(char **to, const char *text, struct sticps_error *err)
{
    char *copy = strdup(text);
    if (copy == NULL)
        return no_memory(err);
    free(*to);
    *to = copy;
    return STICPS_OK;
}

struct sticps_options *sticps_options_new(void)
{
    struct sticps_options *options = calloc(1, sizeof(*options));
    if (options == NULL)
        return NULL;
    options->shrink_entries = 20;
    options->shrink_percent = 20;
    options->max_lifetime = 7 * 24 * 3600;
    options->default_country = 1;
    options->list_timeout = 30000;
    options->x5u_timeout = 2000;
    options->deliver_timeout = 400;
    options->enumeration.deadline_ms = ENUM_DEADLINE_MS;
    options->enumeration.cached = ENUM_CACHED;
    options->deliver_queue = DELIVER_QUEUE;
    options->deliver_per_cps = DELIVER_PER_CPS;
    options->clock = clock_system;
    return options;
}

void sticps_options_free(struct sticps_options *options)
{
    if (options == NULL)
        return;
    text_list_clear(&options->anchors);
    text_list_clear(&options->tls_cas);
    text_list_clear(&options->x5u_hosts);
    text_list_clear(&options->crl_signers);
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++) {
        text_list_clear(&options->list_urls[kind]);
        text_list_clear(&options->list_files[kind]);
    }
    free(options->crl_file);
    free(options->state_dir);
    free(options->tls_cert);
    free(options->tls_key);
    free(options->ports);
    override_table_unref(options->overrides);
    free(options->sti_x5u);
    EVP_PKEY_free(options->sti_key);
    free(options);
}

struct sticps_options *options_copy(const struct sticps_options *from)
{
    struct sticps_options *to = malloc(sizeof(*to));
    if (to == NULL)
        return NULL;
    *to = *from;
    to->anchors = to->tls_cas = to->x5u_hosts = to->crl_signers = (struct text_list){NULL, 0};
    memset(to->list_urls, 0, sizeof(to->list_urls));
    memset(to->list_files, 0, sizeof(to->list_files));
    to->crl_file = to->state_dir = to->tls_cert = to->tls_key = to->sti_x5u = NULL;
    if (to->sti_key != NULL)
        EVP_PKEY_up_ref(to->sti_key);
    to->ports = NULL;
    to->overrides = override_table_ref(from->overrides);

    if (!text_list_copy(&to->anchors, &from->anchors) ||
        !text_list_copy(&to->tls_cas, &from->tls_cas) ||
        !text_list_copy(&to->x5u_hosts, &from->x5u_hosts) ||
        !text_list_copy(&to->crl_signers, &from->crl_signers))
        goto failed;
    for (int kind = STICPS_LIST_CPS; kind <= STICPS_LIST_CA; kind++)
        if (!text_list_copy(&to->list_urls[kind], &from->list_urls[kind]) ||
            !text_list_copy(&to->list_files[kind], &from->list_files[kind]))
            goto failed;
    if ((from->crl_file != NULL && set_text(&to->crl_file, from->crl_file, NULL) != STICPS_OK) ||
        (from->state_dir != NULL && set_text(&to->state_dir, from->state_dir, NULL) != STICPS_OK) ||
        (from->tls_cert != NULL && set_text(&to->tls_cert, from->tls_cert, NULL) != STICPS_OK) ||
        (from->tls_key != NULL && set_text(&to->tls_key, from->tls_key, NULL) != STICPS_OK) ||
        (from->sti_x5u != NULL && set_text(&to->sti_x5u, from->sti_x5u, NULL) != STICPS_OK))
        goto failed;
    if (from->ports_len > 0) {
        to->ports = calloc(from->ports_len, sizeof(*to->ports));
        if (to->ports == NULL)
            goto failed;
        memcpy(to->ports, from->ports, from->ports_len * sizeof(*to->ports));
    }
    return to;

failed:
    sticps_options_free(to);
    return NULL;
}

/* Only what parses is kept, so that a client made from the options cannot fail for it later. */
static enum sticps_err check_certificates(const void *data, size_t len, struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    if (code == STICPS_OK)
        code = anchors_add(anchors, data, len, STICPS_ERR_USAGE, err);
    anchors_free(anchors);
    return code;
}

static enum sticps_err add_certificates(struct text_list *list, const void *data, size_t len,
                                        const char *path, struct sticps_error *err)
{
    enum sticps_err code = check_certificates(data, len, err);
    return code != STICPS_OK ? code : text_list_add(list, data, len, path, err);
}

static enum sticps_err add_certificate_file(struct text_list *list, const char *path, size_t max,
                                            struct sticps_error *err)
{
    char *data = NULL;
    size_t len = 0;
    enum sticps_err code = read_file(path, max, &data, &len, err);
    if (code != STICPS_OK)
        return code;
    code = add_certificates(list, data, len, path, err);
    if (code == STICPS_ERR_USAGE)
        fail_context(err, "%s", path);
    free(data);
    return code;
}

enum sticps_err sticps_options_add_anchor(struct sticps_options *options, const void *data,
                                          size_t len, struct sticps_error *err)
{
    return add_certificates(&options->anchors, data, len, NULL, err);
}

enum sticps_err sticps_options_add_anchor_file(struct sticps_options *options, const char *path,
                                               struct sticps_error *err)
{
    return add_certificate_file(&options->anchors, path, ANCHOR_FILE_MAX, err);
}

enum sticps_err sticps_options_add_tls_ca_file(struct sticps_options *options, const char *path,
                                               struct sticps_error *err)
{
    return add_certificate_file(&options->tls_cas, path, MAX_CA_FILE, err);
}

enum sticps_err sticps_options_set_crl_file(struct sticps_options *options, const char *path,
                                            const char *signers, struct sticps_error *err)
{
    if (*path == '\0')
        return fail(err, STICPS_ERR_USAGE, NULL, "the CRL's file has an empty name");
    if (signers != NULL) {
        enum sticps_err code =
            add_certificate_file(&options->crl_signers, signers, ANCHOR_FILE_MAX, err);
        if (code != STICPS_OK)
            return code;
    }
    return set_text(&options->crl_file, path, err);
}

enum sticps_err sticps_options_set_state_dir(struct sticps_options *options, const char *path,
                                             struct sticps_error *err)
{
    if (*path == '\0')
        return fail(err, STICPS_ERR_USAGE, NULL, "the state directory has an empty name");
    return set_text(&options->state_dir, path, err);
}

enum sticps_err sticps_options_set_tls_client(struct sticps_options *options, const char *cert_path,
                                              const char *key_path, struct sticps_error *err)
{
    enum sticps_err code = set_text(&options->tls_cert, cert_path, err);
    return code != STICPS_OK ? code : set_text(&options->tls_key, key_path, err);
}

enum sticps_err sticps_options_add_x5u_host(struct sticps_options *options, const char *host,
                                            struct sticps_error *err)
{
    if (*host == '\0' || strpbrk(host, "/:@?# ") != NULL)
        return fail(err, STICPS_ERR_USAGE, host,
                    "not a host name; give the name alone, without https:// and port");
    return text_list_add(&options->x5u_hosts, host, strlen(host), NULL, err);
}

enum sticps_err list_url_check(const char *url, struct sticps_error *err)
{
    struct url parts;
    struct sticps_error why;
    if (url_parse(url, strlen(url), &parts, &why) == STICPS_OK)
        return STICPS_OK;
    return fail(err, STICPS_ERR_USAGE, "url", /* not the URL: it may have a password in it */
                "the address of a list is an absolute https URL: %s", why.text);
}

static enum sticps_err add_source(struct text_list *list, const char *text,
                                  struct sticps_error *err)
{
    if (list->len >= LIST_SOURCES_MAX)
        return fail(err, STICPS_ERR_USAGE, text, "more than %d sources for a list",
                    LIST_SOURCES_MAX);
    return text_list_add(list, text, strlen(text), NULL, err);
}

enum sticps_err sticps_options_add_list_url(struct sticps_options *options,
                                            enum sticps_list_kind kind, const char *url,
                                            struct sticps_error *err)
{
    enum sticps_err code = list_url_check(url, err);
    return code != STICPS_OK ? code : add_source(&options->list_urls[kind], url, err);
}

enum sticps_err sticps_options_add_list_file(struct sticps_options *options,
                                             enum sticps_list_kind kind, const char *path,
                                             struct sticps_error *err)
{
    if (*path == '\0' || !json_string_is_utf8(path)) /* it goes into the state, which is JSON */
        return fail(err, STICPS_ERR_USAGE, path, "a list's file has a name that is UTF-8 text");
    return add_source(&options->list_files[kind], path, err);
}

enum sticps_err sticps_options_add_cps_port(struct sticps_options *options, uint16_t port,
                                            struct sticps_error *err)
{
    if (port == 0)
        return fail(err, STICPS_ERR_USAGE, NULL, "0 is no port");
    uint16_t *ports = realloc(options->ports, (options->ports_len + 1) * sizeof(*ports));
    if (ports == NULL)
        return no_memory(err);
    options->ports = ports;
    ports[options->ports_len++] = port;
    return STICPS_OK;
}

enum sticps_err sticps_options_set_override_file(struct sticps_options *options, const char *path,
                                                 struct sticps_error *err)
{
    struct override_table *table = NULL;
    enum sticps_err code = override_table_load(path, &table, err);
    if (code != STICPS_OK)
        return code;
    override_table_unref(options->overrides);
    options->overrides = table;
    return STICPS_OK;
}

/* Takes over `key`, also on failure. */
static enum sticps_err set_sti(struct sticps_options *options, const char *spc_text,
                               const char *x5u, EVP_PKEY *key, sticps_sign_fn *sign, void *ctx,
                               struct sticps_error *err)
{
    struct spc spc;
    struct sticps_error why;
    enum sticps_err code = spc_from_typed(spc_text, strlen(spc_text), &spc, err);
    /* Whether loopback is allowed is not known yet; who verifies decides. */
    if (code == STICPS_OK && x5u_check(x5u, strlen(x5u), true, &why) != STICPS_OK)
        code = fail(err, STICPS_ERR_USAGE, "x5u", "the STI certificate's URL: %s", why.text);
    if (code == STICPS_OK)
        code = set_text(&options->sti_x5u, x5u, err);
    if (code != STICPS_OK) {
        EVP_PKEY_free(key);
        return code;
    }
    EVP_PKEY_free(options->sti_key);
    options->sti_spc = spc;
    options->sti_key = key;
    options->sti_sign = sign;
    options->sti_sign_ctx = ctx;
    return STICPS_OK;
}

enum sticps_err sticps_options_set_sti_key_file(struct sticps_options *options, const char *spc,
                                                const char *x5u, const char *path,
                                                struct sticps_error *err)
{
    EVP_PKEY *key = NULL;
    enum sticps_err code = key_load(path, &key, err);
    return code != STICPS_OK ? code : set_sti(options, spc, x5u, key, NULL, NULL, err);
}

enum sticps_err sticps_options_set_sti_signer(struct sticps_options *options, const char *spc,
                                              const char *x5u, sticps_sign_fn *sign, void *ctx,
                                              struct sticps_error *err)
{
    return set_sti(options, spc, x5u, NULL, sign, ctx, err);
}

void sticps_options_set_lab(struct sticps_options *options, bool lab)
{
    options->lab = lab;
}

void sticps_options_set_max_lifetime(struct sticps_options *options, int64_t seconds)
{
    options->max_lifetime = seconds;
}

void sticps_options_set_shrink_limit(struct sticps_options *options, size_t entries,
                                     unsigned percent)
{
    options->shrink_entries = entries;
    options->shrink_percent = percent;
}

void sticps_options_set_accept_shrink(struct sticps_options *options, bool accept)
{
    options->accept_shrink = accept;
}

void sticps_options_set_grace(struct sticps_options *options, int64_t seconds)
{
    options->grace = seconds > 0 ? seconds : 0;
}

void sticps_options_set_default_country(struct sticps_options *options, unsigned country)
{
    options->default_country = country;
}

void sticps_options_set_list_timeout(struct sticps_options *options, unsigned ms)
{
    options->list_timeout = ms;
}

void sticps_options_set_x5u_timeout(struct sticps_options *options, unsigned ms)
{
    options->x5u_timeout = ms;
}

void sticps_options_set_deliver_timeout(struct sticps_options *options, unsigned ms)
{
    options->deliver_timeout = ms;
}

void sticps_options_set_deliver_limits(struct sticps_options *options, unsigned all,
                                       unsigned per_cps)
{
    options->deliver_queue = all != 0 ? all : DELIVER_QUEUE;
    options->deliver_per_cps = per_cps != 0 ? per_cps : DELIVER_PER_CPS;
}

void sticps_options_set_clock(struct sticps_options *options, sticps_clock_fn *now, void *ctx)
{
    options->clock = now != NULL ? (struct clock){now, ctx} : clock_system;
}

void sticps_options_set_log(struct sticps_options *options, sticps_log_fn *log, void *ctx)
{
    options->log = log;
    options->log_ctx = ctx;
}
