/* dlopen(3), and all symbols or none. */
#include "core/library.h"

#include "core/error.h"

#include <dlfcn.h>
#include <string.h>

int
amy__library_load(const char *library, const char *package,
                  const struct amy__library_symbol *wanted, size_t n,
                  struct amy_error *err)
{
    void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (opened == NULL) {
        return amy__err(err, AMY_EUNSUPPORTED, "there is no %s: install %s",
                        library, package);
    }
    for (size_t i = 0; i < n; i++) {
        void *symbol = dlsym(opened, wanted[i].name);

        if (symbol == NULL) {
            return amy__err(err, AMY_EUNSUPPORTED, "%s has no %s", library,
                            wanted[i].name);
        }
        memcpy(wanted[i].at, &symbol, sizeof(symbol));
    }
    return 0;
}
