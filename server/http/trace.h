/* The caller's place in a distributed trace: the header traceparent (W3C Trace Context, level 1).
 * A valid one names the trace in the access log and goes back with the answer; any other is as if
 * it were not there, as the specification demands. */
#ifndef SERVER_HTTP_TRACE_H
#define SERVER_HTTP_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#define TRACE_PARENT_LEN 55 /* of version 00 */

struct trace {
    char id[33];                       /* 32 hexadecimal digits; "" when there is no trace */
    char parent[TRACE_PARENT_LEN + 1]; /* as version 00, of the flags only "sampled" */
};

/* Reads a header's value. False, and `out` untouched, for what is not valid: s3.2.2 of the
 * specification, where of a version that is not known the part of version 00 counts. */
bool trace_parse(const char *value, size_t len, struct trace *out);

#endif
