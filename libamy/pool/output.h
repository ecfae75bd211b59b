/* A worker's stdout and stderr: one pipe, cut into lines. */
#ifndef AMY_POOL_OUTPUT_H
#define AMY_POOL_OUTPUT_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>

#define AMY__OUTPUT_LINE_MAX 65536

struct event_base;
struct amy__output;

/* One line without its newline, or 64 KiB of a longer one. False: no more of
 * them, please; the rest is kept. Must not free the output. */
typedef bool (*amy__output_line_fn)(const char *line, size_t n, void *user);
/* Around a batch of lines: `leave` is the last thing of a turn, and may free
 * the output. */
struct amy__output_user {
    void (*enter)(void *user);
    amy__output_line_fn line;
    void (*leave)(void *user);
    void *user;
};

/* Takes fd over on success: the pipe's read end. */
int amy__output_create(struct event_base *base, int fd,
                       const struct amy__output_user *user,
                       struct amy__output **ret_output, struct amy_error *err);
/* The worker has ended: hand over what is in the pipe now, and a last line
 * without newline. Calls `line` only. */
void amy__output_finish(struct amy__output *output);
/* For a program that takes over: the pipe, and the line that is not whole yet,
 * borrowed; and the one that takes over begins with it. */
int amy__output_fd(const struct amy__output *output);
struct amy__span amy__output_begun(const struct amy__output *output);
void amy__output_begin(struct amy__output *output, struct amy__span begun);
void amy__output_free(struct amy__output *output);

#endif
