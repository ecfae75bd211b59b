/* What a site's user is called where nobody says. Pure. */
#ifndef AMY_LAYOUT_NAME_H
#define AMY_LAYOUT_NAME_H

#include "core/str.h"

/* As many as useradd(8) takes, and a NUL. */
#define AMY__LAYOUT_NAME_SIZE 33

/* "amy-shop" of shop.example.org and www.shop.example.org. */
void amy__layout_short_name(struct amy__span domain,
                            char ret[AMY__LAYOUT_NAME_SIZE]);
/* "amy-shop-example-org", where somebody has the short one; a long domain is
 * cut, and told from others by four digits. */
void amy__layout_long_name(struct amy__span domain,
                           char ret[AMY__LAYOUT_NAME_SIZE]);

#endif
