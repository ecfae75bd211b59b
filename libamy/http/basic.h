/* A name and a password in an Authorization field (RFC 7617). Pure. */
#ifndef AMY_HTTP_BASIC_H
#define AMY_HTTP_BASIC_H

#include "core/str.h"

#include <stdbool.h>

/* Of a name and its password with the colon between, decoded. What is longer
 * is nobody's: crypt(3) takes 511 bytes of a password. */
#define AMY__BASIC_MAX 704U
#define AMY__BASIC_NAME_MAX 128U
#define AMY__BASIC_PASSWORD_MAX 511U

/* "Basic", then base64 with its padding or without. The name ends at the first
 * colon and is not empty; control characters are in neither (2). What is
 * decoded stands in buf, where both spans point: a secret, wiped by the
 * caller. False: the field says nothing of the kind. */
bool amy__basic_parse(struct amy__span value, char buf[AMY__BASIC_MAX],
                      struct amy__span *ret_name,
                      struct amy__span *ret_password);

#endif
