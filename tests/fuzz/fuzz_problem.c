/* client/problem: whatever a CPS answers, what is shown of it is short, ends, and is printable. */
#include "client/problem.h"
#include "tests/fuzz/target.h"

#include <string.h>

static void check(const char *text, size_t room)
{
    size_t len = strnlen(text, room);
    MUST(len < room);
    for (size_t i = 0; i < len; i++)
        MUST(text[i] >= 0x20 && text[i] <= 0x7e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct problem problem;
    char *body = malloc(len + 1); /* NUL-terminated, as fetch hands it over */
    MUST(body != NULL);
    memcpy(body, data, len);
    body[len] = '\0';
    const struct fetch_answer answer = {.status = 403, .body = body, .body_len = len};
    memset(&problem, 'x', sizeof(problem));
    problem_read(&answer, &problem);
    check(problem.code, sizeof(problem.code));
    check(problem.detail, sizeof(problem.detail));
    free(body);
    return 0;
}
