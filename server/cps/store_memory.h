/* The store of a single node, in memory: a store_table and the waiters, under one mutex whose
 * critical sections take about a microsecond. */
#ifndef SERVER_CPS_STORE_MEMORY_H
#define SERVER_CPS_STORE_MEMORY_H

#include "server/cps/store.h"

/* STICPS_ERR_USAGE for settings out of range, STICPS_ERR_NO_MEMORY, STICPS_ERR_CRYPTO. */
enum sticps_err store_memory_new(const struct store_settings *settings, struct store **out,
                                 struct sticps_error *err) STICPS_MUST_CHECK;

#endif
