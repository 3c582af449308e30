#include "server/cps/revocation.h"

#include "common/cert.h"
#include "common/clock.h"
#include "common/file_stamp.h"
#include "server/http/log.h"

#include <pthread.h>
#include <stdlib.h>

struct revocation {
    const char *file, *signer;
    struct trust *trust;
    pthread_mutex_t lock; /* over the below, and over reading */
    struct file_stamp seen;
};

static enum sticps_err read_crl(const struct revocation *self, int64_t now, struct crl **out,
                                struct sticps_error *err)
{
    struct anchors *signers = NULL;
    enum sticps_err code = anchors_new(&signers, err);
    if (code == STICPS_OK)
        code = anchors_add_file(signers, self->signer, err);
    if (code == STICPS_OK)
        code = crl_load(self->file, out, err);
    if (code == STICPS_OK) {
        code = crl_check(*out, signers, now, STICPS_ERR_FILE, err);
        if (code != STICPS_OK)
            fail_context(err, "crl.file %s", self->file);
    }
    anchors_free(signers);
    return code;
}

/* Under the lock. */
static enum sticps_err put_in_force(struct revocation *self, int64_t now, struct sticps_error *err)
{
    struct crl *crl = NULL;
    char until[21];
    enum sticps_err code = read_crl(self, now, &crl, err);
    if (code == STICPS_OK)
        code = trust_set_crl(self->trust, crl, err);
    if (code == STICPS_OK) {
        clock_format(crl_next_update(crl), until);
        log_fields(LOG_LEVEL_INFO, "the CRL is in force", LOG_TEXT("file", self->file),
                   LOG_TEXT("nextUpdate", until));
    }
    crl_unref(crl);
    return code;
}

enum sticps_err revocation_reload(struct revocation *self, int64_t now, struct sticps_error *err)
{
    pthread_mutex_lock(&self->lock);
    (void)file_stamp_changed(&self->seen, self->file);
    enum sticps_err code = put_in_force(self, now, err);
    pthread_mutex_unlock(&self->lock);
    return code;
}

enum sticps_err revocation_new(const char *file, const char *signer, struct trust *trust,
                               int64_t now, struct revocation **out, struct sticps_error *err)
{
    struct revocation *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    self->file = file;
    self->signer = signer;
    self->trust = trust;
    pthread_mutex_init(&self->lock, NULL);
    enum sticps_err code = revocation_reload(self, now, err);
    if (code == STICPS_OK)
        *out = self;
    else
        revocation_free(self);
    return code;
}

void revocation_free(struct revocation *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    free(self);
}

void revocation_tick(struct revocation *self, int64_t now)
{
    struct sticps_error err = {0};
    pthread_mutex_lock(&self->lock);
    if (file_stamp_changed(&self->seen, self->file) && put_in_force(self, now, &err) != STICPS_OK)
        log_error("the last good CRL stays in force: %s", err.text);
    pthread_mutex_unlock(&self->lock);
}
