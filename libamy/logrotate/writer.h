/* The inside of amy_log_writer: for lines that are made where they are
 * collected. */
#ifndef AMY_LOGROTATE_WRITER_H
#define AMY_LOGROTATE_WRITER_H

#include <amy/logrotate.h>

#include <stdbool.h>

bool amy__log_writer_is_open(const struct amy_log_writer *writer);

/* Room for n bytes in the buffer, flushed before where there is none; n is at
 * most its size. A whole line is made there and then added. NULL: it is lost,
 * and counted, as another process holds the lock. */
char *amy__log_writer_room(struct amy_log_writer *writer, size_t n);
void amy__log_writer_add(struct amy_log_writer *writer, size_t n);

/* There is no file for these lines. why, told once: why not; NULL: nothing is
 * told. */
void amy__log_writer_lose(struct amy_log_writer *writer, uint64_t lines,
                          const char *why);

#endif
