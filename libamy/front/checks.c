/* Passwords that were checked, are being checked, and may not be. */
/* Not for checking one: that is checker.c, in a process of its own. */
#include "front/checks.h"

#include "core/alloc.h"
#include "core/digest.h"
#include "core/error.h"
#include "front/users.h"
#include "http/basic.h"

#include <netinet/in.h>
#include <string.h>

#define DIGEST 32U
#define KEY 32U
/* A digest, or an address, has so many places to stand in: the one that matters
 * least makes room. */
#define WAYS 4U
#define SETS 256U

struct known {
    uint8_t digest[DIGEST];
    int64_t until_ms; /* 0: an empty place */
};

/* When an address that is wrong again and again would be at rest: GCRA. */
struct culprit {
    uint64_t address;
    int64_t rest_ms;
};

struct pending {
    uint64_t number; /* 0: free */
    uint8_t digest[DIGEST];
    uint64_t address;
    int64_t since_ms;
};

struct amy__checks {
    uint8_t key[KEY];
    uint64_t last;
    /* Apart, so that no number of wrong ones pushes out a right one. */
    struct known right[SETS][WAYS];
    struct known wrong[SETS][WAYS];
    struct culprit culprits[SETS][WAYS];
    struct pending pending[AMY__CHECKS_PENDING];
};

int
amy__checks_create(struct amy__checks **ret_checks, struct amy_error *err)
{
    struct amy__checks *checks = amy__calloc(1, sizeof(*checks));
    int rc = 0;

    if (checks == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating checks");
    }
    rc = amy__random(checks->key, sizeof(checks->key), err);
    if (rc < 0) {
        amy__free(checks);
        return rc;
    }
    *ret_checks = checks;
    return 0;
}

void
amy__checks_free(struct amy__checks *checks)
{
    if (checks != NULL) {
        amy__wipe(checks, sizeof(*checks));
        amy__free(checks);
    }
}

/* ---- digests ---- */

static size_t
put(uint8_t *text, size_t at, const void *data, size_t n)
{
    if (n > 0) {
        memcpy(text + at, data, n);
    }
    return at + n;
}

/* Of all that the answer hangs on: a new hash in the file is a new question. No
 * hash has a newline, no name a colon. */
static bool
digest_of(const struct amy__checks *checks, const struct amy__check *check,
          uint8_t ret[DIGEST])
{
    uint8_t text[KEY + AMY__HASH_MAX + AMY__BASIC_MAX + 2];
    size_t hash_n = strlen(check->hash);
    size_t n = 0;
    bool done = false;

    if (hash_n >= AMY__HASH_MAX || check->name.n > AMY__BASIC_NAME_MAX ||
        check->password.n > AMY__BASIC_PASSWORD_MAX) {
        return false;
    }
    n = put(text, n, checks->key, KEY);
    n = put(text, n, check->hash, hash_n);
    n = put(text, n, "\n", 1);
    n = put(text, n, check->name.p, check->name.n);
    n = put(text, n, ":", 1);
    n = put(text, n, check->password.p, check->password.n);
    done = amy__sha256(text, n, ret, NULL) == 0;
    amy__wipe(text, sizeof(text));
    return done;
}

static struct known *
find(struct known sets[SETS][WAYS], const uint8_t digest[DIGEST],
     int64_t now_ms)
{
    struct known *set = sets[digest[0]];

    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].until_ms > now_ms &&
            amy__equal_secret(set[i].digest, digest, DIGEST)) {
            return &set[i];
        }
    }
    return NULL;
}

static void
remember(struct known sets[SETS][WAYS], const uint8_t digest[DIGEST],
         int64_t until_ms)
{
    struct known *set = sets[digest[0]];
    struct known *oldest = &set[0];

    for (size_t i = 1; i < WAYS; i++) {
        if (set[i].until_ms < oldest->until_ms) {
            oldest = &set[i];
        }
    }
    memcpy(oldest->digest, digest, DIGEST);
    oldest->until_ms = until_ms;
}

/* ---- addresses ---- */

/* Who has one IPv6 address has the other 2^64 of its network, too. */
static uint64_t
address_of(const struct amy__address *client)
{
    uint64_t ret = 0;

    if (client->sa.ss_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, &client->sa, sizeof(in));
        return UINT64_C(0xffff00000000) | in.sin_addr.s_addr;
    }
    if (client->sa.ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        bool mapped = false;

        memcpy(&in6, &client->sa, sizeof(in6));
        mapped = IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr);
        memcpy(&ret, in6.sin6_addr.s6_addr + (mapped ? 8 : 0), sizeof(ret));
    }
    return ret;
}

/* Its place, or the one of who is at rest soonest. */
static struct culprit *
culprit_of(struct amy__checks *checks, uint64_t address)
{
    uint64_t seed = 0;
    size_t at = 0;
    struct culprit *set = NULL;
    struct culprit *soonest = NULL;

    memcpy(&seed, checks->key, sizeof(seed));
    at =
        (size_t)amy__hash(
            (struct amy__span){(const char *)&address, sizeof(address)}, seed) %
        SETS;
    set = checks->culprits[at];
    soonest = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].address == address) {
            return &set[i];
        }
        if (set[i].rest_ms < soonest->rest_ms) {
            soonest = &set[i];
        }
    }
    *soonest = (struct culprit){.address = address};
    return soonest;
}

/* ---- checks ---- */

static struct pending *
find_pending(struct amy__checks *checks, const uint8_t digest[DIGEST])
{
    for (size_t i = 0; i < AMY__CHECKS_PENDING; i++) {
        struct pending *one = &checks->pending[i];

        if (one->number != 0 &&
            amy__equal_secret(one->digest, digest, DIGEST)) {
            return one;
        }
    }
    return NULL;
}

/* A free place for one more of this address; NULL: none. */
static struct pending *
free_place(struct amy__checks *checks, uint64_t address)
{
    struct pending *place = NULL;
    size_t own = 0;

    for (size_t i = 0; i < AMY__CHECKS_PENDING; i++) {
        struct pending *one = &checks->pending[i];

        own += one->number != 0 && one->address == address;
        if (one->number == 0) {
            place = one;
        }
    }
    return own < AMY__CHECKS_OF_ONE ? place : NULL;
}

enum amy__verdict
amy__checks_judge(struct amy__checks *checks, const struct amy__check *check,
                  int64_t now_ms, uint64_t *ret_number, int64_t *ret_retry_s)
{
    uint8_t digest[DIGEST];
    uint64_t address = address_of(check->client);
    struct culprit *culprit = NULL;
    struct pending *place = NULL;
    struct known *right = NULL;
    int64_t over_ms = 0;

    if (!digest_of(checks, check, digest)) {
        return AMY__VERDICT_BUSY;
    }
    right = find(checks->right, digest, now_ms);
    if (right !=
        NULL) { /* who is in is not asked again by a stranger's doing */
        right->until_ms = now_ms + AMY__CHECKS_RIGHT_MS;
        return AMY__VERDICT_RIGHT;
    }
    if (find(checks->wrong, digest, now_ms) != NULL) {
        return AMY__VERDICT_WRONG;
    }
    place = find_pending(checks, digest);
    if (place != NULL) {
        *ret_number = place->number;
        return AMY__VERDICT_PENDING;
    }
    culprit = culprit_of(checks, address);
    over_ms = culprit->rest_ms - now_ms -
              (int64_t)(AMY__CHECKS_BURST - 1) * AMY__CHECKS_EVERY_MS;
    if (over_ms > 0) {
        *ret_retry_s = (over_ms + 999) / 1000;
        return AMY__VERDICT_OFTEN;
    }
    place = free_place(checks, address);
    if (place == NULL) {
        return AMY__VERDICT_BUSY;
    }
    /* Taken as wrong until it is known to be right. */
    culprit->rest_ms = (culprit->rest_ms > now_ms ? culprit->rest_ms : now_ms) +
                       AMY__CHECKS_EVERY_MS;
    *place = (struct pending){
        .number = ++checks->last, .address = address, .since_ms = now_ms};
    memcpy(place->digest, digest, DIGEST);
    *ret_number = place->number;
    return AMY__VERDICT_ASK;
}

bool
amy__checks_settle(struct amy__checks *checks, uint64_t number,
                   enum amy__verdict verdict, int64_t now_ms)
{
    for (size_t i = 0; number != 0 && i < AMY__CHECKS_PENDING; i++) {
        struct pending *one = &checks->pending[i];

        if (one->number != number) {
            continue;
        }
        if (verdict == AMY__VERDICT_WRONG) {
            remember(checks->wrong, one->digest, now_ms + AMY__CHECKS_WRONG_MS);
        } else {
            culprit_of(checks, one->address)->rest_ms -= AMY__CHECKS_EVERY_MS;
        }
        if (verdict == AMY__VERDICT_RIGHT) {
            remember(checks->right, one->digest, now_ms + AMY__CHECKS_RIGHT_MS);
        }
        one->number = 0;
        return true;
    }
    return false;
}

uint64_t
amy__checks_late(struct amy__checks *checks, int64_t now_ms)
{
    for (size_t i = 0; i < AMY__CHECKS_PENDING; i++) {
        struct pending *one = &checks->pending[i];

        if (one->number != 0 && now_ms - one->since_ms > AMY__CHECKS_LATE_MS) {
            uint64_t number = one->number;

            (void)amy__checks_settle(checks, number, AMY__VERDICT_BUSY, now_ms);
            return number;
        }
    }
    return 0;
}
