#include "server/registry/crl_file.h"

#include "common/crl.h"
#include "common/read_file.h"
#include "server/http/log.h"
#include "server/http/reply.h"

#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CRL_FILE_MAX (16 * 1024 * 1024)

struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
    bool there;
};

struct crl_file {
    const char *path;
    bool looked;       /* the refreshing thread's own, as is `seen` */
    struct stamp seen; /* at the last look */
    pthread_mutex_t lock;
    struct crl *crl;
    struct shared_bytes *der;
    char etag[ETAG_SIZE];
    bool failed;
};

static struct stamp stamp_of(const char *path)
{
    struct stat st;

    if (stat(path, &st) != 0)
        return (struct stamp){0};
    return (struct stamp){st.st_dev, st.st_ino, st.st_size, st.st_ctim, true};
}

static bool same(const struct stamp *a, const struct stamp *b)
{
    return a->there == b->there && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->changed.tv_sec == b->changed.tv_sec &&
           a->changed.tv_nsec == b->changed.tv_nsec;
}

static enum sticps_err load(const char *path, struct crl **out, struct sticps_error *err)
{
    char *data = NULL;
    size_t len = 0;
    enum sticps_err rc = read_file(path, CRL_FILE_MAX, &data, &len, err);

    if (rc == STICPS_OK)
        rc = crl_parse(data, len, STICPS_ERR_FILE, out, err);
    if (rc != STICPS_OK)
        fail_context(err, "crl.file %s", path);
    free(data);
    return rc;
}

enum sticps_err crl_file_check(const char *path, struct sticps_error *err)
{
    struct crl *crl = NULL;
    enum sticps_err rc = load(path, &crl, err);

    crl_unref(crl);
    return rc;
}

enum sticps_err crl_file_new(const char *path, struct crl_file **out, struct sticps_error *err)
{
    struct crl_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    file->path = path;
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
    /* Before the reading: a change in between is then noticed at the next look. */
    struct stamp stamp = stamp_of(file->path);
    struct sticps_error err = {0};
    struct crl *crl = NULL;

    if (file->looked && same(&stamp, &file->seen))
        return;
    file->looked = true;
    file->seen = stamp;
    if (load(file->path, &crl, &err) != STICPS_OK) {
        complain(file, err.text);
        return;
    }
    log_fields(LOG_LEVEL_INFO, "the CRL was read", LOG_TEXT("file", file->path));
    if (crl_next_update(crl) <= now)
        log_warn("%s: the CRL should have been replaced by now (nextUpdate)", file->path);
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
