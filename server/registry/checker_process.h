/* The checker of CPS URLs as a process: started with one end of a socket pair as its standard input
 * and nothing else of ours, sent orders, asked for reports, ended. Called by checker.c, on its
 * thread alone. Never waits but for the process's end. */
#ifndef REGISTRY_CHECKER_PROCESS_H
#define REGISTRY_CHECKER_PROCESS_H

#include "common/cps_check.h"
#include "common/error.h"

#include <stdbool.h>

struct checker_process;

struct checker_program {
    bool lab;           /* loopback and private addresses are open to it */
    const char *tls_ca; /* a further TLS root, or NULL */
};

/* STICPS_ERR_FILE when the program is not beside this one. */
enum sticps_err checker_program_check(struct sticps_error *err) STICPS_MUST_CHECK;

enum sticps_err checker_process_start(const struct checker_program *program,
                                      struct checker_process **out,
                                      struct sticps_error *err) STICPS_MUST_CHECK;
#define CHECKER_HOW 32
/* Ends it and waits for its end. `how` it ended, in words, for one that is known to have ended by
 * itself; or NULL. */
void checker_process_stop(struct checker_process *process, char how[CHECKER_HOW]);

int checker_process_fd(const struct checker_process *process); /* to poll for reports */

/* False when it does not take the order now. */
bool checker_process_send(struct checker_process *process,
                          const struct cps_check_order *order) STICPS_MUST_CHECK;

enum checker_receipt { CHECKER_REPORT, CHECKER_NOTHING_YET, CHECKER_GONE };
/* The texts of a report are made safe to pass on: printable ASCII. What is no report counts as
 * gone. */
enum checker_receipt checker_process_receive(struct checker_process *process,
                                             struct cps_check_report *out);

#endif
