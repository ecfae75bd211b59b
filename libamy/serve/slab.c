/* Free lists of objects and of buffers in three sizes. */
/* Not for what lives longer than a connection: that is core/alloc.h. */
#include "serve/slab.h"

#include <amy/error.h>

#include "core/alloc.h"
#include "core/check.h"

#include <string.h>

void
amy__slab_init(struct amy__slab *slab, size_t size)
{
    AMY_ASSERT(size >= sizeof(void *));
    *slab = (struct amy__slab){.size = size};
}

void
amy__slab_clear(struct amy__slab *slab)
{
    while (slab->first != NULL) {
        void *object = slab->first;

        memcpy(&slab->first, object, sizeof(slab->first));
        amy__free(object);
    }
    slab->kept = 0;
}

void *
amy__slab_take(struct amy__slab *slab)
{
    void *object = slab->first;

    if (object == NULL) {
        return amy__calloc(1, slab->size);
    }
    memcpy(&slab->first, object, sizeof(slab->first));
    slab->kept--;
    return object;
}

void
amy__slab_give(struct amy__slab *slab, void *object)
{
    /* Not ">=": the bound is 0 under the address sanitizer. */
    if (slab->kept + 1 > AMY__SLAB_KEEP) {
        amy__free(object);
        return;
    }
    memcpy(object, &slab->first, sizeof(slab->first));
    slab->first = object;
    slab->kept++;
}

static const size_t block_sizes[] = {4096, 16384, 65536};

void
amy__blocks_init(struct amy__blocks *blocks)
{
    for (size_t i = 0; i < 3; i++) {
        amy__slab_init(&blocks->by_size[i], block_sizes[i]);
    }
}

void
amy__blocks_clear(struct amy__blocks *blocks)
{
    for (size_t i = 0; i < 3; i++) {
        amy__slab_clear(&blocks->by_size[i]);
    }
}

static struct amy__slab *
slab_for(struct amy__blocks *blocks, size_t n)
{
    for (size_t i = 0; i < 3; i++) {
        if (n <= block_sizes[i]) {
            return &blocks->by_size[i];
        }
    }
    return NULL;
}

int
amy__blocks_grow(struct amy__blocks *blocks, struct amy__block *block,
                 size_t keep, size_t n)
{
    struct amy__block bigger = {.cap = n};
    struct amy__slab *slab = slab_for(blocks, n);

    if (n <= block->cap) {
        return 0;
    }
    if (slab != NULL) {
        bigger.cap = slab->size;
        bigger.p = amy__slab_take(slab);
    } else {
        /* Half as much again, so that steady growth copies little. */
        bigger.cap = n + n / 2;
        bigger.p = amy__calloc(1, bigger.cap);
    }
    if (bigger.p == NULL) {
        return AMY_ENOMEM;
    }
    if (keep > 0) {
        memcpy(bigger.p, block->p, keep);
    }
    amy__blocks_give(blocks, block);
    *block = bigger;
    return 0;
}

void
amy__blocks_give(struct amy__blocks *blocks, struct amy__block *block)
{
    struct amy__slab *slab = slab_for(blocks, block->cap);

    if (block->p == NULL) {
        return;
    }
    if (slab != NULL && slab->size == block->cap) {
        amy__slab_give(slab, block->p);
    } else {
        amy__free(block->p);
    }
    *block = (struct amy__block){0};
}
