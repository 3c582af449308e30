#include "common/file_stamp.h"

bool file_stamp_changed(struct file_stamp *seen, const char *path)
{
    struct stat st;
    struct file_stamp now = {.looked = true};
    if (stat(path, &st) == 0) {
        now.there = true;
        now.device = st.st_dev;
        now.inode = st.st_ino;
        now.size = st.st_size;
        now.changed = st.st_ctim;
    }
    bool same = seen->looked && seen->there == now.there && seen->device == now.device &&
                seen->inode == now.inode && seen->size == now.size &&
                seen->changed.tv_sec == now.changed.tv_sec &&
                seen->changed.tv_nsec == now.changed.tv_nsec;
    *seen = now;
    return !same;
}
