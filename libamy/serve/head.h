/* Copying a head out of the bytes it was parsed from. */
#ifndef AMY_SERVE_HEAD_H
#define AMY_SERVE_HEAD_H

#include "http/message.h"

#include <stddef.h>

/* Bytes that amy__head_copy() needs at mem. */
size_t amy__head_size(const struct amy__request_head *head);
/* dst gets head with every span pointing into mem. */
void amy__head_copy(struct amy__request_head *dst,
                    const struct amy__request_head *head, char *mem);

#endif
