/* What a transfer's failure is called: libcurl's result and what the callbacks of fetch.c saw, put
 * into one of our causes and a sentence that says what to do. Pure. */
#ifndef CLIENT_FETCH_ERROR_H
#define CLIENT_FETCH_ERROR_H

#include "common/error.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

/* What was noticed on the way, and what the limits were. */
struct fetch_trouble {
    bool address_closed; /* at least one address of the host was refused */
    bool headers_open;   /* the blank line after them has not come */
    bool headers_too_large;
    bool body_too_large;
    bool codings; /* compressed more than once, or in the transfer */
    bool no_memory;
    bool closed; /* the client is being freed */
    size_t body_max;
    unsigned timeout_ms;
    char text[CURL_ERROR_SIZE]; /* libcurl's own words */
};

/* STICPS_OK for CURLE_OK; FETCH, ADDRESS or NO_MEMORY otherwise. */
enum sticps_err fetch_error(struct sticps_error *err, const char *url, CURLcode result,
                            const struct fetch_trouble *trouble);

/* Whether a failure is one that another try may not meet again: the connection did not come about
 * or broke. Not: the peer is not who it should be, or breaks a limit. */
bool fetch_is_transient(CURLcode result, const struct fetch_trouble *trouble);

#endif
