#include "client/cli/sti.h"

#include <poll.h>
#include <string.h>

/* ---- what to trust ---- */

/* The accepted list of STI-CAs. An expired one is no ground for trust. */
static enum sticps_err add_ca_list(struct sticps_client *client, int64_t now,
                                   struct anchors *anchors, struct sticps_error *err)
{
    enum sticps_err code = sticps_list_load(client, STICPS_LIST_CA, err);
    if (code != STICPS_OK)
        return code;
    struct sticps_list *list = sticps_list_held(client, STICPS_LIST_CA);
    if (sticps_list_exp(list) <= now)
        code = fail(err, STICPS_ERR_LIST_EXPIRED, sticps_list_source(list),
                    "the held list of STI-CAs has expired; fetch a newer one");
    for (size_t i = 0; i < sticps_list_count(list) && code == STICPS_OK; i++) {
        const char *pem = sticps_list_value(list, i);
        code = anchors_add(anchors, pem, strlen(pem), STICPS_ERR_STATE, err);
    }
    sticps_list_unref(list);
    return code;
}

enum sticps_err sti_anchors(const struct cli_texts *files, bool ca_list,
                            struct sticps_client *client, int64_t now, struct anchors **out,
                            struct sticps_error *err)
{
    struct anchors *anchors = NULL;
    enum sticps_err code = anchors_new(&anchors, err);
    for (size_t i = 0; i < files->len && code == STICPS_OK; i++)
        code = anchors_add_file(anchors, files->items[i], err);
    if (code == STICPS_OK && ca_list)
        code = add_ca_list(client, now, anchors, err);
    if (code == STICPS_OK)
        *out = anchors;
    else
        anchors_free(anchors);
    return code;
}

enum sticps_err sti_crl(const struct client_options *options, int64_t now, struct crl **out,
                        struct sticps_error *err)
{
    struct anchors *signers = NULL;
    struct crl *crl = NULL;
    if (options->crl == NULL)
        return STICPS_OK;
    enum sticps_err code = anchors_new(&signers, err);
    if (code == STICPS_OK)
        code = anchors_add_file(signers, options->crl_signer, err);
    if (code == STICPS_OK)
        code = crl_load(options->crl, &crl, err);
    if (code == STICPS_OK)
        code = crl_check(crl, signers, now, STICPS_ERR_FILE, err);
    anchors_free(signers);
    if (code == STICPS_OK)
        *out = crl;
    else
        crl_unref(crl);
    return code;
}

/* ---- the certificate ---- */

struct fetched {
    bool done;
    enum sticps_err code;
    struct sticps_error err;
    struct cert_chain *chain;
};

static void on_chain(void *ctx, enum sticps_err code, const struct sticps_error *err,
                     const char *pem, size_t len, int64_t expires_at)
{
    struct fetched *fetched = ctx;
    (void)expires_at;
    fetched->done = true;
    fetched->code = code;
    fetched->err = *err;
    if (code == STICPS_OK)
        fetched->code = cert_chain_parse(pem, len, STICPS_ERR_BAD_IDENTITY_INFO, &fetched->chain,
                                         &fetched->err);
}

/* The client in a loop of one's own, as client.h describes it. */
enum sticps_err sti_fetch_chain(struct sticps_client *client, const char *x5u,
                                struct cert_chain **out, bool *cached, struct sticps_error *err)
{
    struct fetched fetched = {.done = false};
    sticps_x5u_fetch(client, x5u, on_chain, &fetched);
    if (cached != NULL)
        *cached = fetched.done && fetched.code == STICPS_OK;
    enum sticps_err code = STICPS_OK;
    while (!fetched.done && code == STICPS_OK) {
        struct pollfd fd = {.fd = sticps_client_fd(client), .events = POLLIN};
        poll(&fd, 1, -1);
        code = sticps_client_process(client, err);
    }
    if (code == STICPS_OK && fetched.code != STICPS_OK) {
        code = fetched.code;
        *err = fetched.err;
    }
    if (code == STICPS_OK)
        *out = fetched.chain;
    return code;
}
