/* The sockets that a client's transfers have open, so that the copies of them can be closed in a
 * child of the host's process: libcurl, which holds them, would say goodbye to the peer on the
 * parent's connection. Called by fetch.c, in the loop's thread, and by client.c in a child. */
#ifndef CLIENT_SOCKETS_H
#define CLIENT_SOCKETS_H

#include <stddef.h>

/* Zeroed: none. */
struct sockets {
    int *fds;
    size_t len, room;
};

/* As socket(2), closed on exec. -1 with errno, ENOMEM included. */
int sockets_open(struct sockets *sockets, int family, int type, int protocol);

/* As close(2), of one that sockets_open gave. */
int sockets_close(struct sockets *sockets, int fd);

/* In a child: closes its copies of all that are open, and frees the rest. */
void sockets_abandon(struct sockets *sockets);

/* When all are closed. */
void sockets_clear(struct sockets *sockets);

#endif
