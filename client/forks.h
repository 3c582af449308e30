/* Forks of the host's process. A child has copies of its parent's clients, whose locks, descriptors
 * and TLS connections are the parent's: it may read from them and must leave the rest alone.
 * Called by client.c, which refuses in a child, and by whoever changes what a child may read or
 * close (lists.c, client.c, sockets.c).
 *
 * Why a count that a fork handler raises, and not the process's number: that is a system call on
 * each resolve; nor a page that the kernel empties on fork, which not every container has. */
#ifndef CLIENT_FORKS_H
#define CLIENT_FORKS_H

#include "common/error.h"

/* Begins to watch, once in a process and for its life. Any thread. STICPS_ERR_NO_MEMORY. */
enum sticps_err forks_watch(struct sticps_error *err) STICPS_MUST_CHECK;

/* How often this process and its ancestors have been forked, seen from the child: two values that
 * differ are of two processes. No system call, any thread. */
unsigned forks_count(void);

/* No fork happens between these two. A fork copies memory while other threads write to it; what a
 * child uses is changed under this, so that it gets the old or the new, and nothing between. The
 * thread that holds must not fork, and gives back within microseconds: fork() waits for it. */
void forks_hold(void);
void forks_release(void);

#endif
