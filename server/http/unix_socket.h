/* A listening socket in the file system, for clients of the same machine. Called by listener.
 *
 * The socket is made under a name of its own, given its mode and group, and renamed into place:
 * nobody ever meets it with other rights, and a daemon that takes over from one before it is
 * connected to at once. */
#ifndef SERVER_HTTP_UNIX_SOCKET_H
#define SERVER_HTTP_UNIX_SOCKET_H

#include "common/error.h"

#include <sys/types.h>

struct unix_socket {
    char *path; /* NULL: none was made */
    dev_t device;
    ino_t inode;
};

/* Listens at `path`, which must be absolute; what a daemon that died left there is replaced. `mode`
 * 0: 0660. `group` NULL: the process's own. STICPS_ERR_USAGE: the path is too long or taken (by a
 * process that listens, or by what is no socket), or there is no such group; STICPS_ERR_FILE. On
 * success the caller owns the descriptor *fd, and *made (unix_socket_remove). */
enum sticps_err unix_socket_listen(const char *path, mode_t mode, const char *group, int *fd,
                                   struct unix_socket *made,
                                   struct sticps_error *err) STICPS_MUST_CHECK;

/* Takes the name out of the file system, unless it has become another's meanwhile. Accepts one that
 * was never made. */
void unix_socket_remove(struct unix_socket *made);

#endif
