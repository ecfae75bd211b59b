/* Several ranges of one file in one answer: multipart/byteranges (RFC 9110
 * 14.6), part after part as the client makes room. */
#ifndef AMY_FRONT_PARTS_H
#define AMY_FRONT_PARTS_H

#include "core/str.h"
#include "http/range.h"

struct amy__parts;
struct amy__visit;

/* type: of the file; copied. NULL: no memory. */
struct amy__parts *amy__parts_create(const struct amy__ranges *ranges,
                                     struct amy__span type);
void amy__parts_free(struct amy__parts *parts); /* NULL is fine */
/* For the answer's head. */
struct amy__span amy__parts_type(const struct amy__parts *parts);
/* v->parts of v->file, behind the head in v->front->answer, whose length is
 * set. */
void amy__parts_start(struct amy__visit *v);
void amy__parts_on_room(struct amy__visit *v);

#endif
