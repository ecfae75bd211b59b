/* What a front process knows of passwords: those found right or wrong lately,
 * those being checked, and how often an address has been wrong. A check takes a
 * tenth of a second on purpose, so that it is done elsewhere (checker.c), once
 * for all who ask the same, few at a time, and few for one address. No password
 * is kept, only digests under a key that nobody else has. Pure but for that
 * key. */
#ifndef AMY_FRONT_CHECKS_H
#define AMY_FRONT_CHECKS_H

#include <amy/error.h>

#include "core/str.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__CHECKS_PENDING 32U
/* Of one address (of IPv6: of one /64) at a time. */
#define AMY__CHECKS_OF_ONE 4U
/* An address may be wrong so often at once, and once more each so often. */
#define AMY__CHECKS_BURST 10
#define AMY__CHECKS_EVERY_MS 10000
/* A right password counts so long since it was used (and no longer than its
 * hash is in the file), and a wrong one is known as wrong. */
#define AMY__CHECKS_RIGHT_MS (12 * 3600000)
#define AMY__CHECKS_WRONG_MS 60000
/* A check that nobody answers. */
#define AMY__CHECKS_LATE_MS 15000

enum amy__verdict {
    AMY__VERDICT_WRONG = 0,
    AMY__VERDICT_RIGHT,
    AMY__VERDICT_ASK,     /* have it checked under the number given */
    AMY__VERDICT_PENDING, /* that number is being checked already */
    AMY__VERDICT_OFTEN,   /* this address was wrong too often */
    AMY__VERDICT_BUSY,    /* too many are being checked, or one failed */
};

/* What is to be known: name and password against a hash. */
struct amy__check {
    const char *hash;
    struct amy__span name;
    struct amy__span password;
    const struct amy__address *client;
};

struct amy__checks;

int amy__checks_create(struct amy__checks **ret_checks, struct amy_error *err);
void amy__checks_free(struct amy__checks *checks);
/* ret_number: with ASK and PENDING; ret_retry_s: with OFTEN. */
enum amy__verdict amy__checks_judge(struct amy__checks *checks,
                                    const struct amy__check *check,
                                    int64_t now_ms, uint64_t *ret_number,
                                    int64_t *ret_retry_s);
/* Its answer: RIGHT, WRONG, or BUSY when it could not be checked. False: there
 * is no such check (any more). */
bool amy__checks_settle(struct amy__checks *checks, uint64_t number,
                        enum amy__verdict verdict, int64_t now_ms);
/* The number of one that is late, taken off; 0: none. */
uint64_t amy__checks_late(struct amy__checks *checks, int64_t now_ms);

#endif
