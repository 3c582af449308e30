/* The approved STI-CAs and what they have revoked, as every thread sees them: an immutable set that
 * is replaced whole, with a number that tells who kept a checked certificate that the check is to
 * be done again.
 *
 * Filled by trust_load_bundle (a PEM file), by the CPS's ca_list (the STI-PA's signed list) or by
 * the registry's proof_trust (the list that it publishes). Read by credentials. */
#ifndef SERVER_STI_TRUST_H
#define SERVER_STI_TRUST_H

#include "common/cert.h"
#include "common/error.h"

#include <stdint.h>

#define TRUST_FOREVER INT64_MAX

struct trust;

/* Immutable and reference-counted. */
struct trust_set {
    const struct anchors *anchors;
    const struct crl *crl; /* NULL: revocation is not known here */
    uint64_t generation;   /* 1 for the first set published, rises by one */
    int64_t expires;       /* Unix seconds; of both; not to be used in this second or later */
};

enum sticps_err trust_new(struct trust **out, struct sticps_error *err) STICPS_MUST_CHECK;
void trust_free(struct trust *trust); /* accepts NULL; sets that are held stay valid */

/* Replaces the STI-CAs; `anchors` is taken over, also on failure. Any thread. */
enum sticps_err trust_publish(struct trust *trust, struct anchors *anchors, int64_t expires,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* Replaces the CRL, of which a reference is taken. The set ends with its nextUpdate: a CRL that is
 * overdue may lack whom it should have, and nobody is believed until the next is there. Any thread.
 */
enum sticps_err trust_set_crl(struct trust *trust, struct crl *crl,
                              struct sticps_error *err) STICPS_MUST_CHECK;

/* Publishes the certificates of a PEM file; on error the old set stays. STICPS_ERR_FILE. */
enum sticps_err trust_load_bundle(struct trust *trust, const char *path,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* The list of STI-CAs was asked for and is still the one in use. Any thread. */
void trust_confirm(struct trust *trust);
/* When the set was last published or confirmed, Unix seconds; 0 when none was published yet. */
int64_t trust_confirmed(const struct trust *trust);

/* When the set in use ends, Unix seconds: TRUST_FOREVER for never, 0 when none was published yet. */
int64_t trust_expires(struct trust *trust);

/* Gives back the caller's reference `held` (or NULL) and returns a reference to the current set;
 * NULL when none was published yet. One atomic load when nothing changed. Any thread. */
const struct trust_set *trust_current(struct trust *trust, const struct trust_set *held);
void trust_set_unref(const struct trust_set *set); /* accepts NULL */

#endif
