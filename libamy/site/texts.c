/* NULL-terminated lists of texts, each in memory of its own.
 * Not for lists of anything else. */
#include "core/alloc.h"
#include "site/fields.h"

size_t
amy__texts_count(char *const *list)
{
    size_t n = 0;

    while (list != NULL && list[n] != NULL) {
        n++;
    }
    return n;
}

bool
amy__texts_add(char ***list, const char *text)
{
    size_t n = amy__texts_count(*list);
    char **longer = amy__realloc(*list, (n + 2) * sizeof(*longer));

    if (longer == NULL) {
        return false;
    }
    longer[n + 1] = NULL;
    longer[n] = amy__strdup(text);
    *list = longer;
    return longer[n] != NULL;
}

void
amy__texts_free(char **list)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        amy__free(list[i]);
    }
    amy__free(list);
}
