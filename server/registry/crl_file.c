#include "server/registry/crl_file.h"

#include "common/cert.h"
#include "common/crl.h"
#include "common/file_stamp.h"
#include "server/http/log.h"
#include "server/http/reply.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct crl_file {
    const struct config_crl *config;
    struct file_stamp seen; /* the refreshing thread's own */
    pthread_mutex_t lock;
    struct crl *crl;
    struct shared_bytes *der;
    char etag[ETAG_SIZE];
    bool failed;
};

static enum sticps_err check_signer(const struct crl *crl, const struct config_crl *config,
                                    int64_t now, struct sticps_error *err)
{
    struct anchors *signers = NULL;
    enum sticps_err rc = anchors_new(&signers, err);

    if (rc == STICPS_OK)
        rc = anchors_add_file(signers, config->signer, err);
    if (rc == STICPS_OK) {
        rc = crl_check_signed(crl, signers, now, STICPS_ERR_FILE, err);
        if (rc != STICPS_OK)
            fail_context(err, "%s", config->file);
    }
    anchors_free(signers);
    return rc;
}

/* *out stays as it was on failure. */
static enum sticps_err load(const struct config_crl *config, int64_t now, struct crl **out,
                            struct sticps_error *err)
{
    struct crl *crl = NULL;
    enum sticps_err rc = crl_load(config->file, &crl, err);

    if (rc == STICPS_OK && config->signer != NULL)
        rc = check_signer(crl, config, now, err);
    if (rc == STICPS_OK)
        *out = crl;
    else
        crl_unref(crl);
    return rc;
}

enum sticps_err crl_file_check(const struct config_crl *config, int64_t now,
                               struct sticps_error *err)
{
    struct crl *crl = NULL;
    enum sticps_err rc = load(config, now, &crl, err);

    if (rc != STICPS_OK)
        fail_context(err, "crl.file");
    crl_unref(crl);
    return rc;
}

enum sticps_err crl_file_new(const struct config_crl *config, struct crl_file **out,
                             struct sticps_error *err)
{
    struct crl_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    file->config = config;
    pthread_mutex_init(&file->lock, NULL);
    *out = file;
    return STICPS_OK;
}

void crl_file_free(struct crl_file *file)
{
    if (file == NULL)
        return;
    crl_unref(file->crl);
    shared_bytes_unref(file->der);
    pthread_mutex_destroy(&file->lock);
    free(file);
}

/* Takes `crl` over. */
static void put(struct crl_file *file, struct crl *crl)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    size_t len;
    const unsigned char *der = crl_der(crl, &len);
    struct shared_bytes *bytes = shared_bytes_new(der, len);

    SHA256(der, len, digest);
    pthread_mutex_lock(&file->lock);
    struct shared_bytes *old_bytes = file->der;
    struct crl *old = file->crl;
    file->der = bytes;
    file->crl = crl;
    file->failed = false;
    char *text = file->etag;
    text += snprintf(text, ETAG_SIZE, "\"");
    for (size_t i = 0; i < 16; i++)
        text += snprintf(text, 3, "%02x", digest[i]);
    snprintf(text, 2, "\"");
    pthread_mutex_unlock(&file->lock);
    shared_bytes_unref(old_bytes);
    crl_unref(old);
}

static void complain(struct crl_file *file, const char *why)
{
    pthread_mutex_lock(&file->lock);
    bool any = file->der != NULL;
    file->failed = true;
    pthread_mutex_unlock(&file->lock);
    log_error("%s; %s", why, any ? "the last good CRL stays" : "no CRL is served");
}

void crl_file_refresh(struct crl_file *file, int64_t now)
{
    struct sticps_error err = {0};
    struct crl *crl = NULL;
    const char *path = file->config->file;

    if (!file_stamp_changed(&file->seen, path))
        return;
    if (load(file->config, now, &crl, &err) != STICPS_OK) {
        complain(file, err.text);
        return;
    }
    log_fields(LOG_LEVEL_INFO, "the CRL was read", LOG_TEXT("file", path));
    if (crl_next_update(crl) <= now)
        log_warn("%s: the CRL should have been replaced by now (nextUpdate)", path);
    put(file, crl);
}

struct shared_bytes *crl_file_get(struct crl_file *file, char etag[ETAG_SIZE])
{
    pthread_mutex_lock(&file->lock);
    struct shared_bytes *der = file->der != NULL ? shared_bytes_ref(file->der) : NULL;
    memcpy(etag, file->etag, ETAG_SIZE);
    pthread_mutex_unlock(&file->lock);
    return der;
}

struct crl *crl_file_list(struct crl_file *file)
{
    pthread_mutex_lock(&file->lock);
    struct crl *crl = file->crl != NULL ? crl_ref(file->crl) : NULL;
    pthread_mutex_unlock(&file->lock);
    return crl;
}

bool crl_file_failed(struct crl_file *file)
{
    pthread_mutex_lock(&file->lock);
    bool failed = file->failed;
    pthread_mutex_unlock(&file->lock);
    return failed;
}
