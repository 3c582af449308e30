/* TLS sessions kept for each peer, so that a connection that was closed is made again with a short
 * handshake, however many peers there are: libcurl 7.88 keeps eight sessions in a share, so each
 * host and port has a share of its own. Called by fetch.c, in the loop's thread only. */
#ifndef CLIENT_TLS_SESSIONS_H
#define CLIENT_TLS_SESSIONS_H

#include "common/url.h"

#include <curl/curl.h>
#include <stddef.h>

#define TLS_SESSIONS_KEPT 1024 /* peers; the one that was not asked for longest goes */

struct tls_sessions;
struct tls_peer;

/* `kept`: TLS_SESSIONS_KEPT, fewer in a test. NULL when out of memory. */
struct tls_sessions *tls_sessions_new(size_t kept);

/* Accepts NULL. Whoever entered has left, and no connection is open any more. */
void tls_sessions_free(struct tls_sessions *sessions);

/* Lets a handle that is in no transfer use the sessions of its peer until tls_sessions_leave.
 * `name` is that of url_peer_name, or "". NULL, which leave takes too, when it goes without: no
 * name, out of memory, or all that may be kept are in use. */
struct tls_peer *tls_sessions_enter(struct tls_sessions *sessions, const char *name, CURL *easy);
void tls_sessions_leave(struct tls_peer *peer, CURL *easy);

#endif
