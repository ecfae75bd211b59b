/* Slot words: claims and waiting marks in memory that all front processes
 * share. Not for choosing a slot or keeping a queue: that is lane.c. */
#include "front/slots.h"

#include "core/check.h"
#include "front/words.h"

struct amy__slots {
    amy__word word[AMY__SLOTS_MAX];
    amy__word mask[AMY__POOLS_MAX];
    amy__word waiting[AMY__POOLS_MAX][AMY__PROCESSES_MAX];
};

static uint64_t
owner_word(uint16_t process, uint64_t incarnation)
{
    return (incarnation << 16) | (uint64_t)(process + 1U);
}

static uint64_t
process_bit(uint16_t process)
{
    return (uint64_t)1 << process;
}

size_t
amy__slots_bytes(void)
{
    return sizeof(struct amy__slots);
}

struct amy__slots *
amy__slots_over(void *memory)
{
    return memory;
}

bool
amy__slot_claim(struct amy__slots *slots, uint32_t slot, uint16_t process,
                uint64_t incarnation)
{
    AMY_ASSERT(slot < AMY__SLOTS_MAX && process < AMY__PROCESSES_MAX);
    /* A look first: a failed swap would take the cache line from its owner. */
    return amy__word_load(&slots->word[slot]) == 0 &&
           amy__word_swap(&slots->word[slot], 0,
                          owner_word(process, incarnation));
}

int
amy__slots_oldest(const struct amy__slots *slots, uint32_t pool)
{
    uint64_t mask = 0;
    uint64_t oldest = UINT64_MAX;
    int found = -1;

    AMY_ASSERT(pool < AMY__POOLS_MAX);
    mask = amy__word_load(&slots->mask[pool]);
    while (mask != 0) {
        int process = __builtin_ctzll(mask);
        uint64_t since = amy__word_load(&slots->waiting[pool][process]);

        mask &= mask - 1;
        if (since != 0 && since < oldest) {
            oldest = since;
            found = process;
        }
    }
    return found;
}

int
amy__slot_release(struct amy__slots *slots, uint32_t slot, uint16_t process,
                  uint64_t incarnation, uint32_t pool)
{
    AMY_ASSERT(slot < AMY__SLOTS_MAX && process < AMY__PROCESSES_MAX);
    (void)amy__word_swap(&slots->word[slot], owner_word(process, incarnation),
                         0);
    return amy__slots_oldest(slots, pool);
}

void
amy__slots_wait(struct amy__slots *slots, uint32_t pool, uint16_t process,
                int64_t oldest_us)
{
    AMY_ASSERT(pool < AMY__POOLS_MAX && process < AMY__PROCESSES_MAX);
    if (oldest_us > 0) {
        amy__word_store(&slots->waiting[pool][process], (uint64_t)oldest_us);
        amy__word_or(&slots->mask[pool], process_bit(process));
    } else {
        amy__word_and(&slots->mask[pool], ~process_bit(process));
        amy__word_store(&slots->waiting[pool][process], 0);
    }
}

size_t
amy__slots_bury(struct amy__slots *slots, uint16_t process)
{
    size_t cleared = 0;

    AMY_ASSERT(process < AMY__PROCESSES_MAX);
    for (uint32_t pool = 0; pool < AMY__POOLS_MAX; pool++) {
        if ((amy__word_load(&slots->mask[pool]) & process_bit(process)) != 0) {
            amy__word_and(&slots->mask[pool], ~process_bit(process));
        }
        if (amy__word_load(&slots->waiting[pool][process]) != 0) {
            amy__word_store(&slots->waiting[pool][process], 0);
        }
    }
    for (uint32_t slot = 0; slot < AMY__SLOTS_MAX; slot++) {
        uint64_t word = amy__word_load(&slots->word[slot]);

        if ((word & UINT16_MAX) == process + 1U &&
            amy__word_swap(&slots->word[slot], word, 0)) {
            cleared++;
        }
    }
    return cleared;
}

void
amy__slots_reset(struct amy__slots *slots, uint32_t first, uint32_t count)
{
    AMY_ASSERT(first <= AMY__SLOTS_MAX && count <= AMY__SLOTS_MAX - first);
    for (uint32_t slot = first; slot < first + count; slot++) {
        amy__word_store(&slots->word[slot], 0);
    }
}

uint16_t
amy__slot_owner(const struct amy__slots *slots, uint32_t slot)
{
    AMY_ASSERT(slot < AMY__SLOTS_MAX);
    return (uint16_t)(amy__word_load(&slots->word[slot]) & UINT16_MAX);
}
