#include "client/audit.h"

#include "client/state_file.h"
#include "common/clock.h"
#include "common/json_write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The user that logged in, whoever he became since (sudo); -1 where the kernel does not know. */
static int64_t login_uid(void)
{
    char text[16] = "";
    int fd = open("/proc/self/loginuid", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    char *end = text;
    unsigned long uid = len > 0 ? strtoul(text, &end, 10) : UINT_MAX;
    return end == text || uid >= UINT_MAX ? -1 : (int64_t)uid;
}

static void write_held(struct json_write *w, const struct list_state *state)
{
    if (state->jws == NULL) {
        json_write_literal(w, "null");
        return;
    }
    json_write_literal(w, "{\"sequence\":");
    json_write_integer(w, state->sequence);
    json_write_literal(w, ",\"sha256\":");
    json_write_string(w, state->sha256);
    json_write_literal(w, ",\"source\":");
    json_write_string(w, state->source);
    json_write_literal(w, "}");
}

static void write_line(struct json_write *w, int64_t now, const struct audit_entry *entry)
{
    char at[21];
    clock_format(now, at);
    json_write_literal(w, "{\"at\":");
    json_write_string(w, at);
    json_write_literal(w, ",\"what\":");
    json_write_string(w, entry->what);
    json_write_literal(w, ",\"list\":");
    json_write_string(w, entry->kind == STICPS_LIST_CPS ? "cps" : "ca");
    json_write_literal(w, ",\"uid\":");
    json_write_integer(w, getuid());
    json_write_literal(w, ",\"loginUid\":");
    json_write_integer(w, login_uid());
    json_write_literal(w, ",\"pid\":");
    json_write_integer(w, getpid());
    json_write_literal(w, ",\"floorBefore\":");
    json_write_integer(w, entry->before->floor);
    json_write_literal(w, ",\"floor\":");
    json_write_integer(w, entry->after->floor);
    json_write_literal(w, ",\"heldBefore\":");
    write_held(w, entry->before);
    json_write_literal(w, ",\"held\":");
    write_held(w, entry->after);
    json_write_literal(w, "}\n");
}

static enum sticps_err append(const char *dir, const char *path, const char *line, size_t len,
                              struct sticps_error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0644);
    if (fd < 0)
        return fail(err, STICPS_ERR_FILE, path, "the record cannot be written: %s",
                    strerror(errno));
    bool ok = state_file_write_all(fd, line, len) && fsync(fd) == 0;
    int saved = errno;
    close(fd);
    if (!ok)
        return fail(err, STICPS_ERR_FILE, path, "the record cannot be written: %s",
                    strerror(saved));
    return state_file_sync_dir(dir, err);
}

enum sticps_err audit_note(const char *dir, int64_t now, const struct audit_entry *entry,
                           struct sticps_error *err)
{
    struct json_write line;
    json_write_init(&line, 1024);
    write_line(&line, now, entry);
    enum sticps_err code = json_write_check(&line, err);
    char *path = code == STICPS_OK ? state_file_path(dir, "audit", ".log") : NULL;
    if (code == STICPS_OK)
        code = path != NULL ? append(dir, path, line.data, line.len, err)
                            : fail(err, STICPS_ERR_NO_MEMORY, NULL, "out of memory");
    json_write_clear(&line);
    free(path);
    return code;
}
