/* The atomic steps that slots.c is made of, all seq_cst. A header of their own,
 * so that the simulation can put its own in front of it and stop a "process"
 * between any two of them. */
#ifndef AMY_FRONT_WORDS_H
#define AMY_FRONT_WORDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint64_t amy__word;

static inline uint64_t
amy__word_load(const amy__word *word)
{
    return atomic_load(word);
}

static inline void
amy__word_store(amy__word *word, uint64_t value)
{
    atomic_store(word, value);
}

static inline bool
amy__word_swap(amy__word *word, uint64_t expected, uint64_t value)
{
    return atomic_compare_exchange_strong(word, &expected, value);
}

static inline void
amy__word_or(amy__word *word, uint64_t bits)
{
    (void)atomic_fetch_or(word, bits);
}

static inline void
amy__word_and(amy__word *word, uint64_t bits)
{
    (void)atomic_fetch_and(word, bits);
}

#endif
