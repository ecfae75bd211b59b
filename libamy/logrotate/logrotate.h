/* What rooms above may do with a rotator beyond amy/logrotate.h. */
#ifndef AMY_LOGROTATE_LOGROTATE_H
#define AMY_LOGROTATE_LOGROTATE_H

#include <amy/logrotate.h>

struct amy__logrotate_peers;

/* What the rotators of one daemon share: a watch, for a user may have 128
 * inotify instances, and a host more sites; and the turn to pack, one file at a
 * time. Without inotify each rotator says so. Freed after its rotators. */
int amy__logrotate_peers_create(struct event_base *base,
                                struct amy__logrotate_peers **ret_peers,
                                struct amy_error *err);
void amy__logrotate_peers_free(struct amy__logrotate_peers *peers);
/* amy_logrotate_create() among such peers; NULL: alone. */
int amy__logrotate_create(const struct amy_logrotate_options *opts,
                          struct amy__logrotate_peers *borrow_peers,
                          struct amy_logrotate **ret_rotator,
                          struct amy_error *err);

/* From inside on_file: the descriptor could not be taken. It is given again, as
 * a later serial, at the next look. */
void amy__logrotate_give_again(struct amy_logrotate *rotator, const char *name);

#endif
