#include "common/hsm/pin.h"

#include "common/read_file.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PIN_FILE_MAX 1024

enum sticps_err pin_read(const char *path, struct pin *out, struct sticps_error *err)
{
    struct stat st;
    struct pin pin;

    if (stat(path, &st) != 0)
        return fail(err, STICPS_ERR_FILE, path, "pin_file cannot be read: %s", strerror(errno));
    if ((st.st_mode & (S_IWGRP | S_IRWXO)) != 0)
        return fail(err, STICPS_ERR_FILE, path,
                    "pin_file is open to others than the daemon: chmod 600 it");
    enum sticps_err rc = read_file(path, PIN_FILE_MAX, &pin.data, &pin.size, err);
    if (rc != STICPS_OK)
        return rc;
    pin.len = strcspn(pin.data, "\r\n");
    if (pin.len == 0) {
        pin_clear(&pin);
        return fail(err, STICPS_ERR_FILE, path, "pin_file has no PIN on its first line");
    }
    *out = pin;
    return STICPS_OK;
}

void pin_clear(struct pin *pin)
{
    OPENSSL_cleanse(pin->data, pin->size);
    free(pin->data);
    pin->data = NULL;
}

static void digest_of(const struct pin *pin, unsigned char digest[SHA256_DIGEST_LENGTH])
{
    SHA256((const unsigned char *)pin->data, pin->len, digest);
}

bool pin_was_refused(const struct pin_memory *memory, const struct pin *pin)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];

    digest_of(pin, digest);
    return memory->refused && memcmp(memory->digest, digest, sizeof(digest)) == 0;
}

void pin_note_refusal(struct pin_memory *memory, const struct pin *pin)
{
    digest_of(pin, memory->digest);
    memory->refused = true;
}
