/* Pending migrations, by what Django prints. */
#include "deploy/pending.h"

#include "core/error.h"
#include "deploy/journal.h"
#include "site/fields.h"

#include <string.h>

/* The name alone: with --verbosity 2 what it depends on follows. */
static bool
read_line(struct amy__span line, char ret_name[300])
{
    struct amy__span name = {NULL, 0};

    if (!amy__span_starts(line, AMY_SPAN("[ ]"))) {
        return false;
    }
    line.p += 3;
    line.n -= 3;
    line = amy__span_trim(line);
    return amy__span_split(&line, ' ', &name) &&
           amy__span_copy(name, ret_name, 300) &&
           amy__deploy_is_migration(ret_name);
}

int
amy__deploy_pending_read(struct amy__span text, char ***ret,
                         struct amy_error *err)
{
    struct amy__span line = {NULL, 0};
    char name[300];
    char **all = NULL;
    size_t count = 0;

    while (amy__span_split(&text, '\n', &line)) {
        if (!read_line(line, name)) {
            continue;
        }
        if (count++ == AMY__DEPLOY_MIGRATIONS_MAX) {
            amy__texts_free(all);
            return amy__err(err, AMY_ELIMIT, "more than %d migrations",
                            AMY__DEPLOY_MIGRATIONS_MAX);
        }
        if (!amy__texts_add(&all, name)) {
            amy__texts_free(all);
            return amy__err(err, AMY_ENOMEM, "reading migrations");
        }
    }
    *ret = all;
    return 0;
}
