/* X-Accel-Redirect: an answer of the application that names a file, which is
 * sent in its place; the application decides who may have it, and its worker is
 * free while it is sent. */
#ifndef AMY_FRONT_ACCEL_H
#define AMY_FRONT_ACCEL_H

#include "http/message.h"

#include <stdbool.h>

struct amy__visit;

/* Is this answer such a one? One that is no success is not: whoever refuses
 * may have left the field where it was. */
bool amy__accel_asks(const struct amy__answer_head *said);
/* Answer with the file, or 404 and a line in error.log that names it. */
void amy__accel_serve(struct amy__visit *v,
                      const struct amy__answer_head *said);
/* What the application said that holds for the file as well: all but what
 * frames or describes the body that is dropped. */
void amy__accel_fields(struct amy__answer_head *head,
                       const struct amy__answer_head *said);

#endif
