/* The directory of approved STI-CAs, from which trustList is published: one certificate in PEM for
 * each file whose name ends in .pem or .crt and does not begin with a dot; other files are left
 * alone. It is taken whole or not at all: a file that is half written, or a directory that is not
 * mounted, must not take a CA's calls down. Callers: ca_sync, daemon, list_diff,
 * publish_command. */
#ifndef REGISTRY_CA_DIRECTORY_H
#define REGISTRY_CA_DIRECTORY_H

#include "common/error.h"

#include <stddef.h>
#include <stdint.h>

#define CA_DIRECTORY_MAX 1000 /* certificates */

struct ca_certificate {
    char sha256[65]; /* fingerprint: of the DER, hexadecimal */
    char *subject;   /* RFC 2253 */
    char *pem;       /* the certificate alone, without the text around it */
    char *file;      /* where it stands */
    int64_t not_after;
};

struct ca_set {
    struct ca_certificate
        *items; /* sorted by fingerprint, each once; at least one of a directory */
    size_t len;
};

/* STICPS_ERR_FILE when the directory or a file cannot be read, when there is no certificate or more
 * than CA_DIRECTORY_MAX, or when a file holds anything but one CA certificate; the text names the
 * file. An expired certificate is taken: clients leave it out by themselves. The caller owns *out
 * (ca_set_free). */
enum sticps_err ca_directory_read(const char *path, struct ca_set **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;
/* The same of certificates in PEM, each a text of its own, as a trustList has them; they may be
 * none, and `file` is "". STICPS_ERR_STATE for what is no certificate. */
enum sticps_err ca_set_parse(const char *const *pems, size_t len, struct ca_set **out,
                             struct sticps_error *err) STICPS_MUST_CHECK;
void ca_set_free(struct ca_set *set); /* accepts NULL */

#endif
