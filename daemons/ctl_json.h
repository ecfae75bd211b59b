/* Members of what a daemon answered, which may be missing or of another kind.
 */
#ifndef AMY_CTL_JSON_H
#define AMY_CTL_JSON_H

#include <jansson.h>
#include <stdint.h>

/* "" for none; as long-lived as the object. */
const char *text_at(const json_t *object, const char *key);
/* 0 for none. */
int64_t int_at(const json_t *object, const char *key);

#endif
