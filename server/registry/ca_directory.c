#include "server/registry/ca_directory.h"

#include "common/cert.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void item_clear(struct ca_certificate *item)
{
    free(item->subject);
    free(item->pem);
    free(item->file);
}

void ca_set_free(struct ca_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->len; i++)
        item_clear(&set->items[i]);
    free(set->items);
    free(set);
}

static int is_certificate_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 4 &&
           (strcmp(entry->d_name + len - 4, ".pem") == 0 ||
            strcmp(entry->d_name + len - 4, ".crt") == 0);
}

/* NULL when memory runs out. */
static char *subject_text(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *data, *text = NULL;

    if (bio != NULL &&
        X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        long len = BIO_get_mem_data(bio, &data);
        text = strndup(len > 0 ? data : "", len > 0 ? (size_t)len : 0);
    }
    BIO_free(bio);
    return text;
}

/* False when memory runs out. */
static bool describe(const struct cert_chain *chain, const char *file, struct ca_certificate *item)
{
    X509 *certificate = cert_chain_leaf(chain);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1)
        return false;
    for (unsigned i = 0; i < len; i++)
        snprintf(item->sha256 + 2 * i, 3, "%02x", digest[i]);
    item->subject = subject_text(certificate);
    item->pem = strdup(cert_chain_pem(chain));
    item->file = strdup(file);
    item->not_after = cert_chain_not_after(chain);
    return item->subject != NULL && item->pem != NULL && item->file != NULL;
}

static enum sticps_err read_certificate(const char *folder, const char *name,
                                        struct ca_certificate *item, struct sticps_error *err)
{
    struct cert_chain *chain = NULL;
    char *path = NULL;
    enum sticps_err rc;

    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    rc = cert_chain_load(path, &chain, err);
    if (rc != STICPS_OK)
        fail_context(err, "%s", path);
    else if (cert_chain_len(chain) != 1)
        rc = fail(err, STICPS_ERR_FILE, path, "%s: more than one certificate in one file", path);
    else if (X509_check_ca(cert_chain_leaf(chain)) != 1)
        rc = fail(err, STICPS_ERR_FILE, path, "%s: not the certificate of a CA", path);
    else if (!describe(chain, path, item))
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    cert_chain_unref(chain);
    free(path);
    return rc;
}

static int by_fingerprint(const void *a, const void *b)
{
    return strcmp(((const struct ca_certificate *)a)->sha256,
                  ((const struct ca_certificate *)b)->sha256);
}

/* The same certificate in two files counts once. */
static void sort_and_unite(struct ca_set *set)
{
    size_t kept = 0;

    qsort(set->items, set->len, sizeof(set->items[0]), by_fingerprint);
    for (size_t i = 0; i < set->len; i++) {
        if (kept > 0 && strcmp(set->items[kept - 1].sha256, set->items[i].sha256) == 0)
            item_clear(&set->items[i]);
        else
            set->items[kept++] = set->items[i];
    }
    set->len = kept;
}

static enum sticps_err read_all(const char *path, struct dirent **names, size_t len,
                                struct ca_set *set, struct sticps_error *err)
{
    enum sticps_err rc = STICPS_OK;

    if (len == 0 || len > CA_DIRECTORY_MAX)
        return fail(err, STICPS_ERR_FILE, path,
                    "%s: %zu files of certificates (*.pem, *.crt); 1 to %d are possible", path, len,
                    CA_DIRECTORY_MAX);
    set->items = calloc(len, sizeof(*set->items));
    if (set->items == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < len && rc == STICPS_OK; i++)
        rc = read_certificate(path, names[i]->d_name, &set->items[set->len++], err);
    if (rc == STICPS_OK)
        sort_and_unite(set);
    return rc;
}

enum sticps_err ca_directory_read(const char *path, struct ca_set **out, struct sticps_error *err)
{
    struct ca_set *set = calloc(1, sizeof(*set));
    struct dirent **names = NULL;
    enum sticps_err rc;

    if (set == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    int len = scandir(path, &names, is_certificate_file, alphasort);
    if (len < 0)
        rc = fail(err, STICPS_ERR_FILE, path, "%s: the directory cannot be read: %s", path,
                  strerror(errno));
    else
        rc = read_all(path, names, (size_t)len, set, err);
    for (int i = 0; i < len; i++)
        free(names[i]);
    free(names);
    if (rc == STICPS_OK) {
        *out = set;
        set = NULL;
    }
    ca_set_free(set);
    return rc;
}

enum sticps_err ca_set_parse(const char *const *pems, size_t len, struct ca_set **out,
                             struct sticps_error *err)
{
    struct ca_set *set = calloc(1, sizeof(*set));
    enum sticps_err rc = STICPS_OK;

    if (set == NULL || (set->items = calloc(len + 1, sizeof(*set->items))) == NULL)
        rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    for (size_t i = 0; i < len && rc == STICPS_OK; i++) {
        struct cert_chain *chain = NULL;

        rc = cert_chain_parse(pems[i], strlen(pems[i]), STICPS_ERR_STATE, &chain, err);
        if (rc == STICPS_OK && !describe(chain, "", &set->items[set->len++]))
            rc = fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
        cert_chain_unref(chain);
    }
    if (rc == STICPS_OK) {
        sort_and_unite(set);
        *out = set;
        return STICPS_OK;
    }
    ca_set_free(set);
    return rc;
}
