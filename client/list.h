/* An accepted list in memory: immutable, reference-counted. Made by lists.c, read by resolve and
 * through sticps/list.h. */
#ifndef CLIENT_LIST_H
#define CLIENT_LIST_H

#include "client/list_state.h"
#include "common/signed_list.h"
#include "sticps/list.h"

/* A list from its JWS, whose payload is parsed but not checked against the time. The caller owns
 * *out. */
enum sticps_err list_from_held(enum sticps_list_kind kind, const char *jws, size_t len,
                               const char *sha256, const char *source, int64_t fetched_at,
                               struct sticps_list **out,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The list that `state` holds, whose payload somebody has parsed. When this succeeds the list has
 * taken over the payload (NULL now) and the text, which `state` may be read with as long as the
 * list lives. The caller owns *out. */
enum sticps_err list_from_payload(enum sticps_list_kind kind, struct signed_list **payload,
                                  const struct list_state *state, struct sticps_list **out,
                                  struct sticps_error *err) STICPS_MUST_CHECK;

/* The parsed payload; borrowed. */
const struct signed_list *list_payload(const struct sticps_list *list);

static inline enum signed_list_kind payload_kind(enum sticps_list_kind kind)
{
    return kind == STICPS_LIST_CPS ? SIGNED_LIST_CPS_MAPPING : SIGNED_LIST_TRUST_LIST;
}

#endif
