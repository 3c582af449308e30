/* What the doctor finds, step by step: collected in the order of the steps, then printed, a line
 * each, or as one JSON array. Used by the files doctor_*.c, in one thread. */
#ifndef CLI_DOCTOR_REPORT_H
#define CLI_DOCTOR_REPORT_H

#include "client/cli/cli.h"

struct report_step {
    enum { STEP_OK, STEP_WARNING, STEP_FAILED } result;
    char subject[16];    /* "state", "anchor", "list", "signer", "x5u", "cps", ... */
    const char *step;    /* "dns", "connect", "tls", "http", "form", ... */
    const char *code;    /* the rule's or the cause's stable name; "OK" */
    enum sticps_err err; /* of a failed one */
    char looked[640];    /* at what */
    char cause[660];     /* of a warning or failure */
    char remedy[256];    /* one sentence */
};

struct report {
    struct report_step *items;
    size_t len, room;
    struct report_step spare; /* stands in when out of memory */
    bool no_memory;
};

void report_free(struct report *report);

/* Adds a step that went well; `format` says what was looked at, "" for nothing. The step is the
 * report's, until the next is added. `step` is a literal. */
struct report_step *report_add(struct report *report, const char *subject, const char *step,
                               const char *format, ...) STICPS_PRINTF(4, 5);

/* Makes a warning of it. `code` and `remedy` are literals; `format` is the cause. */
void step_warn(struct report_step *step, const char *code, const char *remedy, const char *format,
               ...) STICPS_PRINTF(4, 5);

/* Makes a failure of it. `remedy` NULL: the one for the error's code. */
void step_fail(struct report_step *step, const struct sticps_error *err, const char *remedy);

/* Prints all. The exit status: of what was refused (2), before what was unreachable (3), before
 * local trouble (1), before a number without CPS (4); 0 without a failure. */
int report_print(const struct report *report);

#endif
