/* Asking, as a site's user and in its environment. */
#ifndef AMY_DOCTOR_ASK_H
#define AMY_DOCTOR_ASK_H

#include "core/json.h"
#include "doctor/internal.h"
#include "site/env.h"

/* The environment of a site's workers, or NULL with what is wrong in err. */
struct amy__env *amy__doctor_env(const struct amy__doctor *doctor,
                                 const struct amy__site *site,
                                 struct amy_error *err);
/* Start our program for this word and take its line. Always an object:
 * {"error": "..."} when it failed, or took too long; NULL: memory is out. */
struct amy__json *amy__doctor_ask(const struct amy__doctor *doctor,
                                  const struct amy__site *site,
                                  const struct amy__env *env, const char *word,
                                  const char *name);

#endif
