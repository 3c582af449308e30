#include "common/tnauthlist.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* RFC 8226 s9, a module with explicit tags:
 *   TNAuthorizationList ::= SEQUENCE SIZE (1..MAX) OF TNEntry
 *   TNEntry ::= CHOICE { spc [0] IA5String, range [1] TelephoneNumberRange, one [2] TelephoneNumber
 * } TelephoneNumberRange ::= SEQUENCE { start TelephoneNumber, count INTEGER (2..MAX), ... }
 *   TelephoneNumber ::= IA5String (SIZE (1..15)) (FROM ("0123456789#*")) */
enum tag {
    TAG_INTEGER = 0x02,
    TAG_IA5STRING = 0x16,
    TAG_SEQUENCE = 0x30,
    TAG_SPC = 0xa0,
    TAG_RANGE = 0xa1,
    TAG_ONE = 0xa2
};

#define TELEPHONE_NUMBER_MAX 15

/* Bytes not read yet. */
struct der {
    const unsigned char *at;
    size_t len;
};

/* Takes one element with its whole content. DER: definite length, in its shortest form. */
static bool take(struct der *from, unsigned *tag, struct der *content)
{
    if (from->len < 2)
        return false;
    *tag = from->at[0];
    size_t header = 2, len = from->at[1];
    if (len >= 0x80) {
        size_t bytes = len & 0x7f;
        if (bytes < 1 || bytes > 3 || from->len < 2 + bytes)
            return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | from->at[2 + i];
        if (len < 0x80 || (bytes > 1 && len >> (8 * (bytes - 1)) == 0))
            return false; /* a shorter form exists */
        header += bytes;
    }
    if (len > from->len - header)
        return false;
    *content = (struct der){from->at + header, len};
    from->at += header + len;
    from->len -= header + len;
    return true;
}

static bool take_tag(struct der *from, unsigned wanted, struct der *content)
{
    unsigned tag;
    return take(from, &tag, content) && tag == wanted;
}

static bool is_telephone_number(const struct der *text)
{
    if (text->len < 1 || text->len > TELEPHONE_NUMBER_MAX)
        return false;
    for (size_t i = 0; i < text->len; i++)
        if ((text->at[i] < '0' || text->at[i] > '9') && text->at[i] != '#' && text->at[i] != '*')
            return false;
    return true;
}

static bool is_one(struct der entry)
{
    struct der number;
    return take_tag(&entry, TAG_IA5STRING, &number) && entry.len == 0 &&
           is_telephone_number(&number);
}

static bool is_range(struct der entry)
{
    struct der range, start, count;
    return take_tag(&entry, TAG_SEQUENCE, &range) && entry.len == 0 &&
           take_tag(&range, TAG_IA5STRING, &start) && is_telephone_number(&start) &&
           take_tag(&range, TAG_INTEGER, &count) && count.len > 0; /* more may follow: "..." */
}

static enum sticps_err read_spc(struct der entry, struct tnauthlist *list, struct sticps_error *err)
{
    struct der text;
    struct spc spc;
    struct sticps_error why;
    if (!take_tag(&entry, TAG_IA5STRING, &text) || entry.len != 0)
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the TNAuthList is not well formed: an SPC that is no IA5String");
    if (spc_from_claim((const char *)text.at, text.len, &spc, &why) != STICPS_OK)
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the Service Provider Code in the TNAuthList cannot be used: %s", why.text);
    if (list->spcs++ == 0)
        list->spc = spc;
    return STICPS_OK;
}

enum sticps_err tnauthlist_parse(const unsigned char *der, size_t len, struct tnauthlist *out,
                                 struct sticps_error *err)
{
    struct der all = {der, len}, entries, entry;
    struct tnauthlist list = {0};
    unsigned tag;
    if (!take_tag(&all, TAG_SEQUENCE, &entries) || all.len != 0 || entries.len == 0)
        return fail(err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                    "the TNAuthList is not well formed: not a sequence of entries");
    while (entries.len > 0) {
        bool ok = take(&entries, &tag, &entry);
        if (ok && tag == TAG_SPC) {
            enum sticps_err rc = read_spc(entry, &list, err);
            if (rc != STICPS_OK)
                return rc;
        } else if (ok &&
                   ((tag == TAG_RANGE && is_range(entry)) || (tag == TAG_ONE && is_one(entry)))) {
            list.others++;
        } else {
            return fail(
                err, STICPS_ERR_UNSUPPORTED_CREDENTIAL, "TNAuthList",
                "the TNAuthList is not well formed: an entry is broken or of no known kind");
        }
    }
    *out = list;
    return STICPS_OK;
}

const ASN1_OCTET_STRING *tnauthlist_find(const X509 *cert)
{
    /* OpenSSL 3.0 has no name for it; comparing the encoding needs no object table. */
    static const unsigned char oid[] = {0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1a};
    for (int i = 0; i < X509_get_ext_count(cert); i++) {
        X509_EXTENSION *ext = X509_get_ext(cert, i);
        const ASN1_OBJECT *object = X509_EXTENSION_get_object(ext);
        if (OBJ_length(object) == sizeof(oid) &&
            memcmp(OBJ_get0_data(object), oid, sizeof(oid)) == 0)
            return X509_EXTENSION_get_data(ext);
    }
    return NULL;
}

size_t tnauthlist_encode_spc(const struct spc *spc, unsigned char *out)
{
    size_t len = strlen(spc->text);
    const unsigned char head[] = {TAG_SEQUENCE,  (unsigned char)(len + 4),
                                  TAG_SPC,       (unsigned char)(len + 2),
                                  TAG_IA5STRING, (unsigned char)len};
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), spc->text, len);
    return sizeof(head) + len;
}
