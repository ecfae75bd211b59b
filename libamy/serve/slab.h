/* Free lists: what the hot path takes and gives back instead of allocating. */
#ifndef AMY_SERVE_SLAB_H
#define AMY_SERVE_SLAB_H

#include <stddef.h>
#include <stdint.h>

/* Under the address sanitizer nothing is kept, so that it sees every use of
 * what was given back. */
#if defined(__SANITIZE_ADDRESS__)
#define AMY__SLAB_KEEP 0U
#else
#define AMY__SLAB_KEEP 256U
#endif

/* Objects of one size. */
struct amy__slab {
    size_t size;
    void *first;
    uint32_t kept;
};

void amy__slab_init(struct amy__slab *slab, size_t size);
void amy__slab_clear(struct amy__slab *slab);
void *amy__slab_take(struct amy__slab *slab); /* not zeroed; NULL: no memory */
void amy__slab_give(struct amy__slab *slab, void *object);

/* Buffers of a few sizes: heads in pieces, bodies, output that waits. */
struct amy__block {
    char *p; /* NULL: none taken */
    size_t cap;
};

struct amy__blocks {
    struct amy__slab by_size[3]; /* 4, 16, 64 KiB; larger ones are not kept */
};

void amy__blocks_init(struct amy__blocks *blocks);
void amy__blocks_clear(struct amy__blocks *blocks);
/* Room for at least n bytes; the first `keep` of *block are carried over. 0, or
 * AMY_ENOMEM with *block as before. */
int amy__blocks_grow(struct amy__blocks *blocks, struct amy__block *block,
                     size_t keep, size_t n);
void amy__blocks_give(struct amy__blocks *blocks, struct amy__block *block);

#endif
