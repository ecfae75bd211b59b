/* What users of a library do that they should not: for tests of every room. */
#ifndef MISUSE_H
#define MISUSE_H

#include <amy/error.h>

#include <stddef.h>

struct event_base;

/* Fork, and call `fn` in the child, whose exit status (0: all was well) is
 * returned; the child does nothing else. */
int in_a_child(int (*fn)(void *user), void *user);

/* Counts in a child what is not as it should be: assertions of cmocka belong
 * to the parent. */
#define BAD_UNLESS(expr) ((expr) ? 0 : 1)

/* Is it "made by process ..." of a call in a child? */
int refused_in_a_child(int rc, const struct amy_error *err);

/* A copy of options with `more` bytes behind them, as of a newer version, whose
 * struct_size says so; the first of these bytes is `first`. Freed by free(). */
void *newer_options(const void *opts, size_t size, size_t more, char first);

/* Run a loop until *done, at most 20 s: then the test fails. */
void run_until(struct event_base *base, const int *done);

#endif
