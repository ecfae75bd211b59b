/* What rooms above may do with a rotator beyond amy/logrotate.h. */
#ifndef AMY_LOGROTATE_LOGROTATE_H
#define AMY_LOGROTATE_LOGROTATE_H

#include <amy/logrotate.h>

struct amy__watch;

/* A watch for any number of rotators: a user may have 128 inotify instances,
 * and a host more sites. Freed with amy__watch_free(), after its rotators. */
int amy__logrotate_watch_create(struct event_base *base,
                                struct amy__watch **ret_watch,
                                struct amy_error *err);
/* amy_logrotate_create() with such a watch; NULL: with one of its own. */
int amy__logrotate_create(const struct amy_logrotate_options *opts,
                          struct amy__watch *borrow_watch,
                          struct amy_logrotate **ret_rotator,
                          struct amy_error *err);

/* From inside on_file: the descriptor could not be taken. It is given again, as
 * a later serial, at the next look. */
void amy__logrotate_give_again(struct amy_logrotate *rotator, const char *name);

#endif
