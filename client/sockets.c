#include "client/sockets.h"

#include "client/forks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static bool make_room(struct sockets *sockets)
{
    if (sockets->len < sockets->room)
        return true;
    size_t room = sockets->room == 0 ? 16 : sockets->room * 2; /* bounded by RLIMIT_NOFILE */
    int *fds = realloc(sockets->fds, room * sizeof(*fds));
    if (fds == NULL)
        return false;
    sockets->fds = fds;
    sockets->room = room;
    return true;
}

int sockets_open(struct sockets *sockets, int family, int type, int protocol)
{
    int fd = -1;
    forks_hold();
    if (make_room(sockets))
        fd = socket(family, type | SOCK_CLOEXEC, protocol);
    else
        errno = ENOMEM;
    if (fd >= 0)
        sockets->fds[sockets->len++] = fd;
    forks_release();
    return fd;
}

int sockets_close(struct sockets *sockets, int fd)
{
    forks_hold();
    for (size_t i = 0; i < sockets->len; i++)
        if (sockets->fds[i] == fd) {
            sockets->fds[i] = sockets->fds[--sockets->len];
            break;
        }
    int result = close(fd);
    forks_release();
    return result;
}

void sockets_abandon(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->len; i++)
        close(sockets->fds[i]);
    sockets_clear(sockets);
}

void sockets_clear(struct sockets *sockets)
{
    free(sockets->fds);
    *sockets = (struct sockets){0};
}
