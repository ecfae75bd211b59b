/* Advisory lock and interlock with others' locks. */
/* Not for files: those are locked by set.c. */
#include "backup/interlock.h"

#include "core/error.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One per database: "amybackp" as a number. */
#define KEY "7020400857588132720"
/* Instead of a space before a holder's name: no backup takes so long. */
#define OLD "!"

int
amy__interlock_refuse_pooler(struct amy__pg *pg, struct amy_error *err)
{
    char process[32] = "";
    int rc = amy__pg_ask(pg, "SELECT pg_backend_pid()", NULL, process,
                         sizeof(process), err);

    if (rc >= 0 && strtol(process, NULL, 10) != amy__pg_process(pg)) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "there is a connection pooler in front of the server, "
                        "which backups must not go through: name the server "
                        "itself");
    }
    return rc < 0 ? rc : 0;
}

int
amy__interlock_take(struct amy__pg *pg, struct amy_error *err)
{
    static const char holder[] =
        "SELECT CASE WHEN a.backend_start < now() - interval '1 day'"
        " THEN '" OLD "' ELSE ' ' END || a.application_name || ', since ' ||"
        " to_char(a.backend_start AT TIME ZONE 'UTC',"
        " 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
        " FROM pg_locks l JOIN pg_stat_activity a"
        " USING (pid) WHERE l.locktype = 'advisory' AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database())"
        " AND (l.classid::bigint << 32) + l.objid::bigint = " KEY " LIMIT 1";
    char got[8] = "";
    char who[160] = "";
    int rc = amy__interlock_refuse_pooler(pg, err);

    if (rc == 0) {
        rc = amy__pg_ask(pg, "SELECT pg_try_advisory_lock(" KEY ")", NULL, got,
                         sizeof(got), err);
    }
    if (rc < 0 || strcmp(got, "t") == 0) {
        return rc < 0 ? rc : 0;
    }
    (void)amy__pg_ask(pg, holder, NULL, who, sizeof(who), NULL);
    if (who[0] == OLD[0]) {
        return amy__err(err, AMY_ESTATE,
                        "this database's lock for backups was never given "
                        "back, by %s",
                        who + 1);
    }
    return amy__err(err, AMY_EBUSY,
                    "this database is being backed up already%s%s",
                    who[0] == '\0' ? "" : ", by", who);
}

int
amy__interlock_look(struct amy__interlock_watch *watch, struct amy__pg *pg,
                    int64_t mono_ms, struct amy_error *err)
{
    static const char waiting[] =
        "SELECT l.pid::text FROM pg_locks l JOIN pg_stat_activity d"
        " ON d.pid = ANY (pg_blocking_pids(l.pid))"
        " WHERE NOT l.granted AND d.application_name = $1 LIMIT 1";
    char pid[32] = "";
    int rc =
        amy__pg_ask(pg, waiting, watch->application, pid, sizeof(pid), err);

    if (rc <= 0) {
        watch->since_ms = 0;
        return rc;
    }
    if (watch->since_ms == 0) {
        watch->since_ms = mono_ms;
    }
    if (mono_ms - watch->since_ms < AMY__INTERLOCK_PATIENCE_MS) {
        return 0;
    }
    return amy__err(err, AMY_EAGAIN,
                    "gave way: the server's process %s waited for its locks",
                    pid);
}
