/* Asks the catalogue for statements about one database, and gives them about
 * another. */
#include "backup/alike.h"

#include "core/error.h"

#include <stdio.h>
#include <string.h>

#define STATEMENT 4096U
#define SQL 2048U

/* Columns that only some versions have are asked for by their names in JSON. */
static const char words_sql[] =
    "SELECT 'ENCODING ' || quote_literal(pg_encoding_to_char(encoding))"
    " || ' LC_COLLATE ' || quote_literal(datcollate)"
    " || ' LC_CTYPE ' || quote_literal(datctype)"
    " || CASE j->>'datlocprovider'"
    " WHEN 'i' THEN ' LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal("
    "coalesce(j->>'daticulocale', j->>'datlocale'))"
    " || coalesce(' ICU_RULES ' || quote_literal(j->>'daticurules'), '')"
    " WHEN 'b' THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE '"
    " || quote_literal(j->>'datlocale')"
    " WHEN 'c' THEN ' LOCALE_PROVIDER libc' ELSE '' END"
    " || coalesce((SELECT ' TABLESPACE ' || quote_ident(spcname)"
    " FROM pg_tablespace t WHERE t.oid = dattablespace"
    " AND has_tablespace_privilege(t.oid, 'CREATE')), '')"
    " FROM pg_database d, to_jsonb(d) AS j WHERE datname = $1";

/* A list of names is kept with its quotes; all else is one text. */
static const char settings_sql[] =
    "SELECT CASE setrole WHEN 0 THEN 'ALTER DATABASE '"
    " ELSE 'ALTER ROLE CURRENT_USER IN DATABASE ' END"
    " || quote_ident($1::text || '" AMY__ALIKE_SUFFIX "') || ' SET '"
    " || quote_ident(k) || ' TO ' || CASE"
    " WHEN v IN ('', '\"\"') THEN ''''''"
    " WHEN lower(k) IN ('search_path', 'temp_tablespaces',"
    " 'local_preload_libraries', 'session_preload_libraries') THEN v"
    " ELSE quote_literal(v) END"
    " FROM pg_database d JOIN pg_db_role_setting s ON s.setdatabase = d.oid,"
    " unnest(setconfig) WITH ORDINALITY AS u(kv, n),"
    " split_part(kv, '=', 1) AS k, substr(kv, strpos(kv, '=') + 1) AS v"
    " WHERE datname = $1::text AND (setrole = 0 OR setrole ="
    " (SELECT oid FROM pg_roles WHERE rolname = current_user))"
    " ORDER BY setrole, n";

static const char rights_sql[] =
    "SELECT s FROM (SELECT 'GRANT ' || privilege_type || ' ON DATABASE '"
    " || quote_ident($1::text || '" AMY__ALIKE_SUFFIX "') || ' TO '"
    " || CASE grantee WHEN 0 THEN 'PUBLIC'"
    " ELSE quote_ident(pg_get_userbyid(grantee)) END"
    " || CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END AS s"
    " FROM pg_database d,"
    " aclexplode(coalesce(datacl, acldefault('d', datdba))) AS a"
    " WHERE datname = $1::text AND grantee <>"
    " (SELECT oid FROM pg_roles WHERE rolname = current_user)"
    " UNION ALL SELECT 'ALTER DATABASE '"
    " || quote_ident($1::text || '" AMY__ALIKE_SUFFIX "')"
    " || ' CONNECTION LIMIT ' || datconnlimit"
    " FROM pg_database WHERE datname = $1::text AND datconnlimit <> -1) AS x"
    " ORDER BY s";

int
amy__alike_words(struct amy__pg *pg, const char *name,
                 char ret[AMY__ALIKE_WORDS], struct amy_error *err)
{
    int rc = amy__pg_ask(pg, words_sql, name, ret, AMY__ALIKE_WORDS, err);

    return rc < 0 ? rc : 0;
}

/* The statement that a list has at this place. 1, 0 (no more). */
static int
statement_at(struct amy__pg *pg, const char *list, unsigned at,
             const char *name, char statement[STATEMENT], struct amy_error *err)
{
    char sql[SQL];

    (void)snprintf(sql, sizeof(sql), "%s OFFSET %u LIMIT 1", list, at);
    return amy__pg_ask(pg, sql, name, statement, STATEMENT, err);
}

int
amy__alike_settings(struct amy__job *job, struct amy__pg *pg, const char *name,
                    struct amy_error *err)
{
    char statement[STATEMENT];
    int rc = 1;

    for (unsigned i = 0; rc > 0; i++) {
        int done = 0;

        rc = statement_at(pg, settings_sql, i, name, statement, err);
        done = rc <= 0 ? 0 : amy__pg_ask(pg, statement, NULL, NULL, 0, err);
        if (done == AMY_EDENIED) {
            amy__job_log(job, "only a superuser may take along: %s", statement);
        } else if (done < 0) {
            return done;
        }
    }
    return rc;
}

int
amy__alike_rights(struct amy__pg *pg, const char *name, struct amy_error *err)
{
    char statement[STATEMENT];
    int rc = 1;

    for (unsigned i = 0; rc > 0; i++) {
        int done = 0;

        rc = statement_at(pg, rights_sql, i, name, statement, err);
        done = rc <= 0 ? 0 : amy__pg_ask(pg, statement, NULL, NULL, 0, err);
        if (done < 0) {
            return done;
        }
    }
    return rc;
}
