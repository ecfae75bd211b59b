/* In front of libamy/front/words.h in the simulation: every atomic step is one
 * turn of a virtual process, and the scheduler may let another go first. */
#ifndef AMY_FRONT_WORDS_H
#define AMY_FRONT_WORDS_H

#include <stdbool.h>
#include <stdint.h>

typedef uint64_t amy__word;

void sim_step(void);

static inline uint64_t
amy__word_load(const amy__word *word)
{
    sim_step();
    return *word;
}

static inline void
amy__word_store(amy__word *word, uint64_t value)
{
    sim_step();
    *word = value;
}

static inline bool
amy__word_swap(amy__word *word, uint64_t expected, uint64_t value)
{
    sim_step();
    if (*word != expected) {
        return false;
    }
    *word = value;
    return true;
}

static inline void
amy__word_or(amy__word *word, uint64_t bits)
{
    sim_step();
    *word |= bits;
}

static inline void
amy__word_and(amy__word *word, uint64_t bits)
{
    sim_step();
    *word &= bits;
}

#endif
