/* Media types of files, by their suffix. */
#ifndef AMY_HTTP_MEDIA_H
#define AMY_HTTP_MEDIA_H

#include "core/str.h"

/* The Content-Type to send; never empty: application/octet-stream when the
 * suffix says nothing. Text is said to be UTF-8, as everything is today. */
struct amy__span amy__media_type(struct amy__span path);
/* Is what such a type holds compressed by its nature? */
bool amy__media_is_packed(struct amy__span type);

#endif
