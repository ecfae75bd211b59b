/* Gate words: one memory that the master of the front writes and all its
 * processes map read-only. So a site closes everywhere at once, and an open
 * gate costs a request one load. */
#ifndef AMY_GATE_WORD_H
#define AMY_GATE_WORD_H

#include <amy/error.h>

#include <stdatomic.h>
#include <stdint.h>

#define AMY__GATE_WORDS 1024U

struct amy__gate_words {
    /* 0: open, else the serial of the page to show. */
    _Atomic uint64_t word[AMY__GATE_WORDS];
};

/* Writer: made with all gates open. The descriptor can be mapped by others for
 * reading only. Both are the caller's; amy__gate_words_unmap, close. */
int amy__gate_words_create(struct amy__gate_words **ret_words, int *ret_fd,
                           struct amy_error *err);
/* Reader. AMY_EPROTO: not what create makes. */
int amy__gate_words_map(int fd, const struct amy__gate_words **ret_words,
                        struct amy_error *err);
void amy__gate_words_unmap(const struct amy__gate_words *words); /* or NULL */

static inline uint64_t
amy__gate_word(const struct amy__gate_words *words, uint32_t index)
{
    return atomic_load_explicit(&words->word[index % AMY__GATE_WORDS],
                                memory_order_acquire);
}

static inline void
amy__gate_word_set(struct amy__gate_words *words, uint32_t index,
                   uint64_t value)
{
    atomic_store_explicit(&words->word[index % AMY__GATE_WORDS], value,
                          memory_order_release);
}

#endif
