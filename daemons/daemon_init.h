/* Duty as PID 1, where a container starts a daemon directly. */
#ifndef DAEMON_INIT_H
#define DAEMON_INIT_H

/* When we are PID 1: become a parent that reaps whatever is orphaned to it and
 * forwards signals, and return in a child that is the daemon; the parent never
 * returns, it exits as its child did. Otherwise: return at once. Before any
 * thread, event base or signal handler. */
void init_duty(void);

#endif
