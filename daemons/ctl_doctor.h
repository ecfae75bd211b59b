/* amyctl doctor: what is wrong, and what to do. */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include "ctl.h"

extern const struct ctl_option ctl_doctor_options[];

/* The word: a site, or none for all. 0: nothing of weight; 1: something; 2: it
 * could not be examined. */
int ctl_doctor(const struct ctl *ctl, int argc, char **argv);
/* Of a process that ctl_doctor() has started as a site's user. */
int ctl_doctor_answer(const char *word, const char *name);

#endif
