/* The PIN of a token: read from its file for each login, and kept from being tried twice when the
 * token has refused it, because a token locks itself after a few wrong ones. */
#ifndef COMMON_HSM_PIN_H
#define COMMON_HSM_PIN_H

#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

/* The PIN that the token has refused last, as a SHA-256. Begins as zero. */
struct pin_memory {
    bool refused;
    unsigned char digest[32];
};

struct pin {
    char *data; /* the file's bytes, NUL-terminated */
    size_t size;
    size_t len; /* of the PIN at their beginning */
};

/* The first line of `path`. STICPS_ERR_FILE when it cannot be read, is empty, or others than its
 * owner and a group that may only read have access. On success pin_clear must follow. */
enum sticps_err pin_read(const char *path, struct pin *out,
                         struct sticps_error *err) STICPS_MUST_CHECK;
void pin_clear(struct pin *pin); /* wipes */

bool pin_was_refused(const struct pin_memory *memory, const struct pin *pin);
void pin_note_refusal(struct pin_memory *memory, const struct pin *pin);

#endif
