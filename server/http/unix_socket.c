#include "server/http/unix_socket.h"

#include <errno.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DEFAULT_MODE 0660
#define PID_ROOM 12 /* for the name that it is made under: a dot, a process id and the NUL */

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

static enum sticps_err check_path(const char *path, struct sticps_error *err)
{
    const size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path) - PID_ROOM;
    if (path[0] != '/')
        return fail(err, STICPS_ERR_USAGE, path, "a socket's path must be absolute");
    if (strlen(path) > most)
        return fail(err, STICPS_ERR_USAGE, path,
                    "this path is too long for a socket: at most %zu bytes", most);
    return STICPS_OK;
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum sticps_err trouble(const char *path, struct sticps_error *err)
{
    return fail(err, STICPS_ERR_FILE, path, "this socket cannot be made: %s", strerror(errno));
}

/* Whatever stands at the path must be a socket that nobody listens on any more. */
static enum sticps_err check_free(const char *path, struct sticps_error *err)
{
    const struct sockaddr_un address = address_of(path);
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? STICPS_OK : trouble(path, err);
    if (!S_ISSOCK(st.st_mode))
        return fail(err, STICPS_ERR_USAGE, path, "there is a file that is no socket; move it away");
    int fd = open_socket();
    if (fd < 0)
        return trouble(path, err);
    int connected = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    int why = errno;
    close(fd);
    if (connected != 0 && (why == ECONNREFUSED || why == ENOENT))
        return STICPS_OK;
    if (connected != 0 && why != EAGAIN) {
        errno = why;
        return trouble(path, err);
    }
    return fail(err, STICPS_ERR_USAGE, path, "another process listens there already");
}

/* While it has its rights set nobody can connect: it does not listen yet. */
static enum sticps_err make(int fd, const struct sockaddr_un *address, mode_t mode, gid_t group,
                            struct sticps_error *err)
{
    const char *path = address->sun_path;
    (void)unlink(path); /* of a process that had our number, and died here */
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return trouble(path, err);
    if ((group != (gid_t)-1 && chown(path, (uid_t)-1, group) != 0) || chmod(path, mode) != 0 ||
        listen(fd, SOMAXCONN) != 0) {
        int why = errno;
        unlink(path);
        errno = why;
        return trouble(path, err);
    }
    return STICPS_OK;
}

static enum sticps_err find_group(const char *name, gid_t *out, struct sticps_error *err)
{
    *out = (gid_t)-1;
    if (name == NULL)
        return STICPS_OK;
    const struct group *group = getgrnam(name); /* at the start there is one thread */
    if (group == NULL)
        return fail(err, STICPS_ERR_USAGE, name, "there is no such group on this machine");
    *out = group->gr_gid;
    return STICPS_OK;
}

/* Into place, and what it is noted, so that only this one is ever removed. */
static enum sticps_err put_in_place(const char *from, const char *path, struct unix_socket *made,
                                    struct sticps_error *err)
{
    struct stat st;
    char *copy = strdup(path);
    if (copy == NULL)
        return fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    if (stat(from, &st) != 0 || rename(from, path) != 0) {
        free(copy);
        return trouble(path, err);
    }
    *made = (struct unix_socket){copy, st.st_dev, st.st_ino};
    return STICPS_OK;
}

/* Under another name, and then into place. */
static enum sticps_err make_and_place(int fd, const char *path, mode_t mode, gid_t group,
                                      struct unix_socket *made, struct sticps_error *err)
{
    char name[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    snprintf(name, sizeof(name), "%s.%ld", path, (long)getpid());
    const struct sockaddr_un temporary = address_of(name);
    enum sticps_err code = make(fd, &temporary, mode, group, err);
    if (code != STICPS_OK)
        return code;
    code = put_in_place(name, path, made, err);
    if (code != STICPS_OK)
        unlink(name);
    return code;
}

enum sticps_err unix_socket_listen(const char *path, mode_t mode, const char *group, int *fd,
                                   struct unix_socket *made, struct sticps_error *err)
{
    gid_t gid = (gid_t)-1;
    enum sticps_err code = check_path(path, err);
    if (code == STICPS_OK)
        code = find_group(group, &gid, err);
    if (code == STICPS_OK)
        code = check_free(path, err);
    if (code != STICPS_OK)
        return code;
    int opened = open_socket();
    if (opened < 0)
        return trouble(path, err);
    code = make_and_place(opened, path, mode != 0 ? mode : DEFAULT_MODE, gid, made, err);
    if (code == STICPS_OK)
        *fd = opened;
    else
        close(opened);
    return code;
}

void unix_socket_remove(struct unix_socket *made)
{
    struct stat st;
    if (made->path != NULL && lstat(made->path, &st) == 0 && st.st_dev == made->device &&
        st.st_ino == made->inode)
        unlink(made->path);
    free(made->path);
    *made = (struct unix_socket){NULL, 0, 0};
}
