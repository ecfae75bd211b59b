/* The process that made an object is the only one that may use it. A child of
 * fork(2) shares the loop's epoll with its parent: to take an event out there
 * takes it out here; and it would end children that are none of its own. So a
 * public call in a child refuses, and one that returns nothing does nothing:
 * a child that only cleans up behind itself harms nobody. */
#ifndef AMY_CORE_MAKER_H
#define AMY_CORE_MAKER_H

#include <amy/error.h>

#include <stdbool.h>
#include <sys/types.h>

/* Is this the process that `maker`, its getpid(2) then, was? */
bool amy__is_maker(pid_t maker);
/* 0, or AMY_ESTATE with words. */
int amy__check_maker(pid_t maker, struct amy_error *err);

#endif
