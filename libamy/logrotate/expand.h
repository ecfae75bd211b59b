/* The bytes of a log's file as they were written: plain, gzip, zstd. The only
 * file beside backup's that knows libzstd, and the only one that knows zlib.
 * Blocking; memory is that of one window, whatever the file holds. */
#ifndef AMY_LOGROTATE_EXPAND_H
#define AMY_LOGROTATE_EXPAND_H

#include <amy/error.h>

#include "logrotate/name.h"

#include <stddef.h>
#include <stdint.h>

struct amy__expand;

/* Takes fd over, on failure too. AMY_ENOMEM. */
int amy__expand_create(int fd, enum amy__logname_packing packing,
                       struct amy__expand **ret_expand, struct amy_error *err);
void amy__expand_free(struct amy__expand *expand);
/* *ret_n == 0: its end, for now where it is plain. AMY_EPARSE: damaged or cut
 * off; AMY_EIO. */
int amy__expand_read(struct amy__expand *expand, char *buf, size_t size,
                     size_t *ret_n, struct amy_error *err);
/* Go on from there; of a plain file only. */
void amy__expand_seek(struct amy__expand *expand, uint64_t offset);
int amy__expand_fd(const struct amy__expand *expand);

#endif
