/* The two lists that an STI-PA signs: cpsMapping (SPC → CPS URL) and trustList (approved STI-CAs),
 * built and read (PROTOCOL section 1, and rules 2, 3, 5, 6 and 7 of section 2). Whether a list is
 * trusted and new is the client's business (client/list_accept). */
#ifndef COMMON_SIGNED_LIST_H
#define COMMON_SIGNED_LIST_H

#include "common/error.h"
#include "common/jws.h"
#include "common/spc.h"
#include "common/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIGNED_LIST_MAX_SEQUENCE 9007199254740991 /* 2^53-1 */

struct spc_index;

enum signed_list_kind { SIGNED_LIST_CPS_MAPPING, SIGNED_LIST_TRUST_LIST };

struct cps_entry {
    struct spc spc;
    const char *url; /* NUL-terminated */
};

struct signed_list {
    enum signed_list_kind kind;
    int64_t sequence;
    int64_t exp; /* Unix seconds */
    /* kind CPS_MAPPING: sorted by SPC, each once */
    struct cps_entry *entries;
    size_t entries_len;
    /* kind TRUST_LIST: PEM texts, NUL-terminated */
    const char **trusted;
    size_t trusted_len;
    void *memory;            /* what the texts live in */
    struct spc_index *index; /* of `entries`, NULL without any: where in `memory` the URL is */
};

/* What the header of a list says, checked by rule 3 except for the host name. */
struct signed_list_header {
    char *x5u; /* NUL-terminated; owned */
};

/* ---- building (STI-PA) ---- */

/* Signs cpsMapping. `entries` are sorted by SPC, each once, already checked; header and payload are
 * exactly as the specification shows them, compact. The caller frees *out. */
enum sticps_err signed_list_build(const struct cps_entry *entries, size_t entries_len,
                                  int64_t sequence, int64_t exp, const char *x5u, EVP_PKEY *key,
                                  char **out, size_t *out_len,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* The same for trustList: `pems` are certificates in PEM. */
enum sticps_err trust_list_build(const char *const *pems, size_t pems_len, int64_t sequence,
                                 int64_t exp, const char *x5u, EVP_PKEY *key, char **out,
                                 size_t *out_len, struct sticps_error *err) STICPS_MUST_CHECK;

/* ---- reading (everybody) ---- */

/* Rule 2, FORM: `body` is the envelope ({"status":"success",…,"cpsList":"<JWS>"}, "caList" for the
 * other kind) or the bare JWS, one line break after it tolerated. `*jws_text` points into `body`
 * for the bare form, or to memory in `*owned` (which the caller frees) for the envelope. */
enum sticps_err signed_list_unwrap(const char *body, size_t len, enum signed_list_kind kind,
                                   const char **jws_text, size_t *jws_len, char **owned,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* Rule 3, HEADER, but for the comparison with the list's own host. */
enum sticps_err signed_list_header_parse(const struct jws *jws, bool lab,
                                         struct signed_list_header *out,
                                         struct sticps_error *err) STICPS_MUST_CHECK;
void signed_list_header_clear(struct signed_list_header *header);

/* Rules 6 and 7, PAYLOAD, VERSION, EXP. `now` in Unix seconds; `max_lifetime` in seconds (7 days by
 * default). With now < 0 EXP is parsed but not compared (reading a held list back from disk).
 * `rules` apply to the URLs. On success the caller owns *out (signed_list_free). */
enum sticps_err signed_list_parse(const struct jws *jws, enum signed_list_kind kind, int64_t now,
                                  int64_t max_lifetime, const struct url_rules *rules,
                                  struct signed_list **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;
void signed_list_free(struct signed_list *list); /* accepts NULL */

/* The URL of an SPC in a cpsMapping (borrowed), or NULL. One hash probe; any thread. */
const char *signed_list_find(const struct signed_list *list, const struct spc *spc);

#endif
