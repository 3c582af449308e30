/* Rules 2 to 9 of PROTOCOL section 2 as functions without I/O: bytes, certificates, the time and
 * what is held go in, a verdict comes out. list_source calls them in this order; a rule that fails
 * ends it. */
#ifndef CLIENT_LIST_ACCEPT_H
#define CLIENT_LIST_ACCEPT_H

#include "client/list_state.h"
#include "client/options.h"
#include "common/cert.h"
#include "common/signed_list.h"

/* A received list on its way through the rules. */
struct list_candidate {
    enum signed_list_kind kind;
    char *jws; /* the compact text, NUL-terminated; owned */
    size_t jws_len;
    struct jws parts; /* points into jws */
    struct signed_list_header header;
    char sha256[65]; /* hex, of the text */
};

/* Rules 2 and 3 (FORM, HEADER): from the received body to the x5u. `list_url` is where the body
 * came from; its host, and those in options->x5u_hosts, are the ones that the x5u may name. NULL:
 * from a file, which has no host; the ones of options->list_urls stand in for it. On success the
 * caller owns what is in *out (list_candidate_clear). */
enum sticps_err list_accept_open(const char *body, size_t len, enum signed_list_kind kind,
                                 const char *list_url, const struct sticps_options *options,
                                 struct list_candidate *out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;
void list_candidate_clear(struct list_candidate *candidate);

/* Only its header is still wanted. */
void list_candidate_drop_text(struct list_candidate *candidate);

/* Rules 4 and 5 (SIGNER, SIGNATURE). `crl` may be NULL. */
enum sticps_err list_accept_signer(const struct list_candidate *candidate,
                                   const struct cert_chain *chain, const struct anchors *anchors,
                                   const struct crl *crl, int64_t now,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* Rules 6 and 7 (PAYLOAD, VERSION, EXP). The caller owns *out (signed_list_free). */
enum sticps_err list_accept_payload(const struct list_candidate *candidate, int64_t now,
                                    const struct sticps_options *options, struct signed_list **out,
                                    struct sticps_error *err) STICPS_MUST_CHECK;

/* Rule 8 (ROLLBACK, EQUIVOCATION) against the state as it is now on disk. *current: the very bytes
 * that are held. */
enum sticps_err list_accept_sequence(const struct list_state *state, int64_t sequence,
                                     const char *sha256, bool *current,
                                     struct sticps_error *err) STICPS_MUST_CHECK;

/* Rule 9 (SHRINK), for a cpsMapping. `held` may be NULL. */
enum sticps_err list_accept_shrink(const struct signed_list *held, const struct signed_list *list,
                                   const struct sticps_options *options,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

#endif
