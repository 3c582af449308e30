/* The memory that libsticps takes, from functions of the host's. */
#ifndef STICPS_ALLOCATOR_H
#define STICPS_ALLOCATOR_H

#include <sticps/error.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* From now on every allocation of libsticps, in this process, comes from these functions, which
 * behave as those of the C library do, from any thread. Any may answer NULL at any time: the call
 * under way then ends with STICPS_ERR_NO_MEMORY (or a constructor without an error with NULL), what
 * was there before stays, and a later try can go well.
 *
 * Once in a process, before its first other call of libsticps: STICPS_ERR_USAGE when memory is in
 * use already, or when a function is NULL. Not from two threads at once. This is the one thing that
 * the library keeps for the process and not for a client, as the libraries that it stands on do:
 * their memory is the host's affair (curl_global_init_mem, CRYPTO_set_mem_functions,
 * json_set_alloc_funcs, ares_library_init_mem, each before the first client), and some of it, the TLS connections', is
 * many times ours.
 *
 * What the host frees with free() by this documentation (sticps_provision_wait), it then frees with
 * its own function. */
STICPS_EXPORT enum sticps_err sticps_set_allocator(void *(*malloc_fn)(size_t size),
                                                   void *(*calloc_fn)(size_t count, size_t size),
                                                   void *(*realloc_fn)(void *memory, size_t size),
                                                   void (*free_fn)(void *memory),
                                                   struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
