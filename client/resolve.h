/* Resolving, as the library's other parts do it. */
#ifndef CLIENT_RESOLVE_H
#define CLIENT_RESOLVE_H

#include "common/error.h"

#include <stdbool.h>

struct sticps_answer;
struct sticps_client;

/* As sticps_resolve; with `asked` a source that would have to be waited for has failed: it was
 * asked just now. */
enum sticps_err resolve_number(struct sticps_client *client, const char *number, bool asked,
                               struct sticps_answer *answer,
                               struct sticps_error *err) STICPS_MUST_CHECK;

/* The whole of it. */
void answer_copy(struct sticps_answer *to, const struct sticps_answer *from);

#endif
