/* Libraries that are opened at first use, so that a program that needs none of
 * what they do does not load them. */
#ifndef AMY_CORE_LIBRARY_H
#define AMY_CORE_LIBRARY_H

#include <amy/error.h>

#include <stddef.h>

/* A function of the library, and the pointer to it that is set. */
struct amy__library_symbol {
    const char *name;
    void *at;
};

/* Open `library`, which is never closed again: it stays for the next one, and
 * for what it has begun. AMY_EUNSUPPORTED names the package, or the symbol that
 * is missing; some pointers may be set then. */
int amy__library_load(const char *library, const char *package,
                      const struct amy__library_symbol *wanted, size_t n,
                      struct amy_error *err);

#endif
