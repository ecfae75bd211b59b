/* The daemons' log: lines on stderr, or on stdout as JSON. */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <amy/log.h>

#include <stdbool.h>
#include <stdint.h>

/* Where lines go. */
struct log_sink {
    const char *program; /* the caller's */
    uint64_t lost;       /* lines, since the last that somebody took */
    bool is_journal;
    bool is_patient;
    bool to_stdout; /* as JSON */
    bool torn;      /* half a line was written there */
};

/* To stderr: with level prefixes ("<4>", sd-daemon(3)) when that is the
 * journal's stream, else with time and level. Patient: a line waits for whoever
 * reads it; else none does, and those that nobody takes are counted and told.
 * Stderr becomes a description of our own for that, which children inherit. The
 * sink must outlive the log and all copies of it. */
struct amy_log log_begin(struct log_sink *sink, const char *program,
                         bool is_patient);
/* From now on to stdout, a JSON object a line. It is never waited for: what it
 * does not take goes to stderr. Stdout becomes a description of our own as
 * well. */
void log_to_stdout(struct log_sink *sink);

#endif
