/* The daemons' log: lines on stderr. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <amy/log.h>

/* A sink that writes to stderr: with level prefixes ("<4>", sd-daemon(3)) when
 * that is the journal's stream, else with time and level. */
struct amy_log daemon_log_to_stderr(void);

#endif
