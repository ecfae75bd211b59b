/* What a database has besides its contents, for another one that takes its
 * place: how it sorts, its settings, who may do what in it. Blocking. */
#ifndef AMY_BACKUP_ALIKE_H
#define AMY_BACKUP_ALIKE_H

#include <amy/error.h>

#include "backup/job.h"
#include "backup/pg.h"

/* What the other one is called: NAME and this. */
#define AMY__ALIKE_SUFFIX "_amy_new"

/* What CREATE DATABASE ... TEMPLATE template0 is to say. */
#define AMY__ALIKE_WORDS 512
int amy__alike_words(struct amy__pg *pg, const char *name,
                     char ret[AMY__ALIKE_WORDS], struct amy_error *err);
/* ALTER DATABASE ... SET, for all and for our role. What only a superuser may
 * set is not taken along, and the log says so. */
int amy__alike_settings(struct amy__job *job, struct amy__pg *pg,
                        const char *name, struct amy_error *err);
/* Its rights, and how many may be in it; where it has no rights of its own,
 * those that every database begins with. For a transaction. */
int amy__alike_rights(struct amy__pg *pg, const char *name,
                      struct amy_error *err);

#endif
