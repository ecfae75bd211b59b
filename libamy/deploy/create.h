/* The life of a deployment. For deploy.c and create.c alone. */
#ifndef AMY_DEPLOY_CREATE_H
#define AMY_DEPLOY_CREATE_H

#include "deploy/internal.h"

#define AMY__DEPLOY_MAGIC 0x6465706cU /* "depl" */

/* The plan and the journal of what was asked for. AMY_ENOTFOUND: there is no
 * release to go back to. */
int amy__deploy_prepare(struct amy_deploy *deploy, struct amy_error *err);
/* The loop has a moment for us. */
void amy__deploy_turn(void *user);
void amy__deploy_on_deadline(void *user);
void amy__deploy_on_pause(void *user);

#endif
