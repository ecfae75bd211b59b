/* Findings as lines: "error redis-open: what | todo". */
#ifndef RECORDED_H
#define RECORDED_H

#include "doctor/finding.h"

/* Begin anew; returns a place for judges. */
struct amy__findings *recorded_begin(void);
/* All lines so far. */
const char *recorded(void);
/* An amy_doctor_fn. */
void recorded_add(const struct amy_doctor_finding *finding, void *user);
/* The only finding: of this severity and check ("error redis-open"), with these
 * words in it. */
void expect_finding(const char *head, const char *words);
void expect_nothing(void);

#endif
