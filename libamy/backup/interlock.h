/* What one session with the server does beside a dump: keeps other hosts from
 * dumping at the same time, and watches whom the dump holds up. Blocking. */
#ifndef AMY_BACKUP_INTERLOCK_H
#define AMY_BACKUP_INTERLOCK_H

#include <amy/error.h>

#include "backup/pg.h"

#include <stdint.h>

/* Take the lock of this database for the life of the session.
 * @return 0, AMY_EBUSY (who has it is in err), AMY_ESTATE (for more than a day:
 *         that is no other backup any more), AMY_EUNSUPPORTED (a pooler: the
 *         lock would be some other client's), AMY_ECONN, AMY_EIO */
/* AMY_EUNSUPPORTED: a pooler is between us and the server, and a lock would be
 * some other client's. */
int amy__interlock_refuse_pooler(struct amy__pg *pg, struct amy_error *err);
int amy__interlock_take(struct amy__pg *pg, struct amy_error *err);

struct amy__interlock_watch {
    const char *application; /* the name that the dump's session goes by */
    int64_t since_ms;        /* somebody waits for it since then; 0: nobody */
};
#define AMY__INTERLOCK_PATIENCE_MS 3000
/* Look once. 0, AMY_EAGAIN (somebody waits for longer than the patience),
 * AMY_ECONN, AMY_EIO */
int amy__interlock_look(struct amy__interlock_watch *watch, struct amy__pg *pg,
                        int64_t mono_ms, struct amy_error *err);

#endif
