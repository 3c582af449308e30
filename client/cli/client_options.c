#include "client/cli/client_options.h"

#include "client/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum sticps_err add_fn(struct sticps_options *, const char *, struct sticps_error *);

static enum sticps_err add_all(struct sticps_options *options, const struct cli_texts *texts,
                               add_fn *add, struct sticps_error *err)
{
    for (size_t i = 0; i < texts->len; i++) {
        enum sticps_err code = add(options, texts->items[i], err);
        if (code != STICPS_OK)
            return code;
    }
    return STICPS_OK;
}

static enum sticps_err add_port(struct sticps_options *options, const char *text,
                                struct sticps_error *err)
{
    char *end = NULL;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || port < 1 || port > 65535)
        return fail(err, STICPS_ERR_USAGE, "--allow-port", "'%s' is no port", text);
    return sticps_options_add_cps_port(options, (uint16_t)port, err);
}

static enum sticps_err add_sources(struct sticps_options *to, const struct client_options *from,
                                   struct sticps_error *err)
{
    enum sticps_list_kind kind;
    enum sticps_err code = client_list_kind(from, &kind, err);
    for (size_t i = 0; i < from->list_urls.len && code == STICPS_OK; i++)
        code = sticps_options_add_list_url(to, kind, from->list_urls.items[i], err);
    for (size_t i = 0; i < from->list_files.len && code == STICPS_OK; i++)
        code = sticps_options_add_list_file(to, kind, from->list_files.items[i], err);
    return code;
}

static enum sticps_err set_texts(struct sticps_options *to, const struct client_options *from,
                                 struct sticps_error *err)
{
    enum sticps_err code = STICPS_OK;
    if ((from->tls_cert == NULL) != (from->tls_key == NULL))
        return fail(err, STICPS_ERR_USAGE, "--tls-cert", "it goes with --tls-key");
    if (from->crl == NULL && from->crl_signer != NULL)
        return fail(err, STICPS_ERR_USAGE, "--crl-signer", "it goes with --crl");
    if (from->state != NULL)
        code = sticps_options_set_state_dir(to, from->state, err);
    if (code == STICPS_OK && from->override != NULL)
        code = sticps_options_set_override_file(to, from->override, err);
    if (code == STICPS_OK && from->tls_cert != NULL)
        code = sticps_options_set_tls_client(to, from->tls_cert, from->tls_key, err);
    if (code == STICPS_OK && from->crl != NULL)
        code = sticps_options_set_crl_file(to, from->crl, from->crl_signer, err);
    if (code == STICPS_OK)
        code = add_all(to, &from->anchors, sticps_options_add_anchor_file, err);
    if (code == STICPS_OK)
        code = add_all(to, &from->tls_cas, sticps_options_add_tls_ca_file, err);
    if (code == STICPS_OK)
        code = add_all(to, &from->x5u_hosts, sticps_options_add_x5u_host, err);
    if (code == STICPS_OK)
        code = add_all(to, &from->ports, add_port, err);
    if (code == STICPS_OK)
        code = add_sources(to, from, err);
    if (code == STICPS_OK && from->sti_key != NULL)
        code =
            sticps_options_set_sti_key_file(to, from->sti_spc, from->sti_x5u, from->sti_key, err);
    if (code == STICPS_OK && from->sti_sign != NULL)
        code = sticps_options_set_sti_signer(to, from->sti_spc, from->sti_x5u, from->sti_sign,
                                             from->sti_sign_ctx, err);
    return code;
}

static enum sticps_err set_enum(struct sticps_options *to, const struct client_options *from,
                                struct sticps_error *err)
{
    if (from->enum_apex == NULL) {
        if (from->enum_servers.len == 0 && from->enum_deadline == 0 && !from->enum_first)
            return STICPS_OK;
        return fail(err, STICPS_ERR_USAGE, "--enum-apex",
                    "the other options of ENUM go with it; name the domain that numbers are under");
    }
    enum sticps_err code = sticps_options_add_enum(to, from->enum_apex, err);
    if (code == STICPS_OK && from->enum_first)
        code = sticps_options_add_npdb(to, err);
    if (code == STICPS_OK)
        code = add_all(to, &from->enum_servers, sticps_options_add_enum_server, err);
    sticps_options_set_enum_limits(to, (unsigned)from->enum_deadline, 0);
    return code;
}

static void set_numbers(struct sticps_options *to, const struct client_options *from)
{
    if (from->max_lifetime > 0)
        sticps_options_set_max_lifetime(to, from->max_lifetime);
    if (from->timeout_s > 0) {
        sticps_options_set_list_timeout(to, (unsigned)from->timeout_s * 1000);
        sticps_options_set_x5u_timeout(to, (unsigned)from->timeout_s * 1000);
    }
    if (from->deadline_ms > 0)
        sticps_options_set_deliver_timeout(to, (unsigned)from->deadline_ms);
    sticps_options_set_grace(to, from->grace);
    sticps_options_set_accept_shrink(to, from->accept_shrink);
    sticps_options_set_lab(to, from->lab);
    sticps_options_set_log(to, from->log, from->log_ctx);
    to->rehearsal = from->rehearsal;
    if (from->sti_hsm != NULL) {
        EVP_PKEY_free(to->sti_key);
        EVP_PKEY_up_ref(from->sti_hsm);
        to->sti_key = from->sti_hsm;
    }
}

enum sticps_err client_from_options(const struct client_options *from, struct sticps_client **out,
                                    struct sticps_error *err)
{
    struct sticps_client *client = NULL;
    struct sticps_options *options = sticps_options_new();
    if (options == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (from->lab)
        fputs("sticps: warning: --lab opens loopback, private addresses and other ports; "
              "not for production\n",
              stderr);
    enum sticps_err code = set_texts(options, from, err);
    if (code == STICPS_OK)
        code = set_enum(options, from, err);
    if (code == STICPS_OK) {
        set_numbers(options, from);
        code = sticps_client_new(options, &client, err);
    }
    if (code == STICPS_OK && from->npdb.len > 0)
        code = sticps_client_set_npdb(client, from->npdb.items, from->npdb.len, err);
    sticps_options_free(options);
    if (code == STICPS_OK)
        *out = client;
    else
        sticps_client_free(client);
    return code;
}

void client_warn_of_source(void *ctx, enum sticps_log_level level, int event, enum sticps_err code,
                           const char *where, const char *text)
{
    (void)ctx;
    (void)level;
    if (event == STICPS_EVENT_SOURCE)
        fprintf(stderr, "sticps: warning: %s: %s (%s)\n", sticps_err_name(code), text, where);
}

enum sticps_err client_list_kind(const struct client_options *options, enum sticps_list_kind *out,
                                 struct sticps_error *err)
{
    if (options->kind == NULL || strcmp(options->kind, "cps") == 0)
        *out = STICPS_LIST_CPS;
    else if (strcmp(options->kind, "ca") == 0)
        *out = STICPS_LIST_CA;
    else
        return fail(err, STICPS_ERR_USAGE, "--kind", "'%s' is neither cps nor ca", options->kind);
    return STICPS_OK;
}
