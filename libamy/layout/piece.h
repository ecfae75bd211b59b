/* One directory or file of a site: made whole or not at all, and left alone
 * where it is. */
#ifndef AMY_LAYOUT_PIECE_H
#define AMY_LAYOUT_PIECE_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct amy__layout_piece {
    const char *name;
    mode_t mode;
    uid_t uid;
    gid_t gid;
    bool exact; /* whose it is, and that nobody may more, matters */
};

#define AMY__LAYOUT_MESSAGE_SIZE 256

/* A directory beneath dir_fd, which nobody else may write; dir_fd < 0: there is
 * nothing yet. With dry_run it is looked for only. Links to directories are as
 * good, unless it is exact.
 * @return enum amy_layout_result with a message, AMY_EINVAL (something else has
 *         that name), AMY_EDENIED, AMY_EIO */
int amy__layout_directory(int dir_fd, const struct amy__layout_piece *piece,
                          bool dry_run, char ret[AMY__LAYOUT_MESSAGE_SIZE],
                          struct amy_error *err);

/* The same for a file of ours with these bytes. */
int amy__layout_file(int dir_fd, const char *name, struct amy__span bytes,
                     bool dry_run, struct amy_error *err);

#endif
