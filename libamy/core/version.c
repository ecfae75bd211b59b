/* The version of the library that runs. */
/* Not for features: ask for symbols instead. */
#include <amy/version.h>

const char *
amy_version(void)
{
    return AMY_VERSION;
}
