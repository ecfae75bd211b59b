/* The pages shown where a site has none of its own. */
#ifndef AMY_GATE_PAGE_H
#define AMY_GATE_PAGE_H

#include "core/str.h"

#define AMY__PAGE_MAX ((size_t)1024 * 1024) /* of a site's own page */

/* HTML, static: valid for ever. */
struct amy__span amy__page_maintenance(void);
struct amy__span amy__page_down(void);

#endif
