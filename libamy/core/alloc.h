/* Every allocation of the library goes through here, so a test can refuse the
 * n-th one. Not for third-party libraries' memory. */
#ifndef AMY_CORE_ALLOC_H
#define AMY_CORE_ALLOC_H

#include <stddef.h>

void *amy__calloc(size_t count, size_t size);
/* As realloc(3): the old block stays valid when NULL is returned. */
void *amy__realloc(void *old, size_t size);
char *amy__strdup(const char *text);
char *amy__strndup(const char *text, size_t size);
/* free(3); the pair of the calls above. NULL is a no-op. */
void amy__free(void *block);

#endif
