/* The client: one handle, its loop, and optionally its own thread.
 *
 * Threads. A client may be used from any thread; every call below says where its callback runs. Two
 * ways to drive it:
 *
 *   - in the host's loop: wait until sticps_client_fd() is readable (epoll, poll, select, libevent,
 * h2o's evloop: any), then call sticps_client_process(). No timer is needed, the fd covers them.
 * One thread at a time may be in process().
 *   - sticps_client_start_thread(): the client runs its loop in a thread of its own, with all
 * signals blocked. fd() and process() must then not be used.
 *
 * Callbacks run in the thread that runs the loop: inside process(), or in the client's own thread.
 * A callback may start further requests; it must not call process(), a `_wait` call, stop_thread or
 * free. Every callback is called exactly once. The answer handed to it is borrowed until it
 * returns.
 *
 * Calls named `_wait` are for programs without a loop: they run it until the answer is there, or
 * wait for the client's own thread.
 *
 * Forks. A child may use a client of its parent for what reads: sticps_resolve (with the list and
 * the numbers of the moment of the fork, for as long as that list is in force), sticps_list_held,
 * the counts; and sticps_client_free, which closes the child's copies of the descriptors, says
 * nothing on the parent's connections, and leaves allocated what libcurl and OpenSSL have made.
 * Every other call is STICPS_ERR_USAGE there, and sticps_client_fd is -1. In the parent nothing
 * changes. A worker that lives long frees the parent's client, or its copies keep connections open
 * that the parent has closed.
 *
 * A child that needs newer lists, or delivers, makes a client of its own. As everywhere with fork:
 * when other threads ran at the moment of it, libcurl's and OpenSSL's locks may be held for ever in
 * the child; so fork the workers first, and start threads after (sticps_client_start_thread is
 * one). A child made by vfork, or by clone without fork's handlers, may only exec or exit. */
#ifndef STICPS_CLIENT_H
#define STICPS_CLIENT_H

#include <sticps/error.h>
#include <sticps/options.h>

#ifdef __cplusplus
extern "C" {
#endif

struct sticps_client;

/* Copies `options`; reads nothing from the network and no list from disk (see sticps_list_load).
 * Calls curl_global_init, which is thread-safe in the libcurl this is built for, and where the
 * options have ENUM, once, ares_library_init, which does nothing on this system but count; nothing
 * else that is global. */
STICPS_EXPORT enum sticps_err sticps_client_new(const struct sticps_options *options,
                                                struct sticps_client **out,
                                                struct sticps_error *err) STICPS_MUST_CHECK;

/* Stops the thread if there is one; every request still under way gets its callback, with
 * STICPS_ERR_FETCH, in the calling thread. Accepts NULL. */
STICPS_EXPORT void sticps_client_free(struct sticps_client *client);

/* Readable when process() has something to do. Valid until the client is freed. */
STICPS_EXPORT int sticps_client_fd(const struct sticps_client *client);

/* Does what is due, without ever waiting for the network. An error here is one of the machine
 * (STICPS_ERR_NO_MEMORY, STICPS_ERR_USAGE when the client has its own thread); the failures of
 * requests go to their callbacks. */
STICPS_EXPORT enum sticps_err sticps_client_process(struct sticps_client *client,
                                                    struct sticps_error *err) STICPS_MUST_CHECK;

STICPS_EXPORT enum sticps_err
sticps_client_start_thread(struct sticps_client *client,
                           struct sticps_error *err) STICPS_MUST_CHECK;

/* Returns when the thread has ended; requests under way stay so. No effect without a thread. */
STICPS_EXPORT void sticps_client_stop_thread(struct sticps_client *client);

/* The portability files that numbers are looked up in, in this order; they replace the ones before,
 * at once for every thread. Also the way to take up a file that was built anew. On failure
 * (STICPS_ERR_FILE, STICPS_ERR_NPDB) the ones before stay. */
STICPS_EXPORT enum sticps_err sticps_client_set_npdb(struct sticps_client *client,
                                                     const char *const *paths, size_t count,
                                                     struct sticps_error *err) STICPS_MUST_CHECK;

/* Reads the files of anchors, and of the CRL's signers, that have changed since they were read last
 * or could not be used then; every fetch of a list does the same first. For a host that wants to
 * know at once (SIGHUP). A file that cannot be used changes nothing: its anchors of before stay,
 * the first such failure is returned (STICPS_ERR_FILE), and each is an event
 * (STICPS_EVENT_ANCHORS). Reads those files only; any thread. */
STICPS_EXPORT enum sticps_err sticps_client_reload(struct sticps_client *client,
                                                   struct sticps_error *err) STICPS_MUST_CHECK;

#ifdef __cplusplus
}
#endif
#endif
