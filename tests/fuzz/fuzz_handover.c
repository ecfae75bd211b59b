/* The state that a daemon leaves to the program after it: header and JSON, and
 * the facts of workers and the sites in it. */
#include "core/handover.h"
#include "pool/saved.h"
#include "pool/step.h"
#include "workers/internal.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span bytes = {(const char *)data, size};
    struct amy__json *root = NULL;
    const struct amy__json *workers = NULL;

    if (amy__handover_parse(bytes, "workers", &root, NULL) < 0) {
        return 0;
    }
    workers = amy__json_get(amy__json_get(root, "pool"), "workers");
    (void)amy__pool_saved_count(amy__json_get(root, "pool"));
    for (size_t i = 0; i < amy__json_count(workers); i++) {
        struct amy__pool_facts facts = {0};

        (void)amy__pool_facts_read(amy__span_of(amy__json_get_text(
                                       amy__json_at(workers, i), "facts", "")),
                                   &facts, NULL);
    }
    for (size_t i = 0; i < amy__json_count(amy__json_get(root, "sites")); i++) {
        (void)amy__workers_site_check(
            amy__json_at(amy__json_get(root, "sites"), i), NULL);
    }
    amy__json_free(root);
    return 0;
}
