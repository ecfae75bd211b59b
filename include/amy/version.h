/** @file amy/version.h
 *  @brief Which libamy this is.
 */
#ifndef AMY_VERSION_H
#define AMY_VERSION_H

#include <amy/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The version of the headers a program was compiled against. */
#define AMY_VERSION "0.1.0"

/** The version of the library that runs, e.g. "0.1.0"; static, never NULL.
 *  Thread-safe. Since: 0.1 */
AMY_API const char *amy_version(void);

#ifdef __cplusplus
}
#endif
#endif
