/* The file of users of a closed site, line by line. */
/* Not for who may write that file (master_access.c), nor for passwords. */
#include "front/users.h"

#include "core/alloc.h"
#include "core/digest.h"
#include "core/error.h"
#include "http/basic.h"

#include <string.h>

/* 2^14 rounds of bcrypt take a second or two: more is no check any more. */
#define BCRYPT_MAX 14U
#define BCRYPT_MIN 4U
#define BCRYPT_CHARS 60U
#define ROUNDS_MAX 1000000U
/* yescrypt and scrypt: a hash of 64 MiB, a quarter of a second or so. Digits
 * are those of crypt(3), of 6 bits. */
#define YESCRYPT_LOG2_MAX 14U
#define SCRYPT_LOG2_MAX 14U
#define SCRYPT_R_MAX 32U
#define DIGEST 32U

struct amy__users {
    size_t count;
    struct amy__users_entry *entries;
    char *text;          /* that they point into */
    uint8_t key[DIGEST]; /* of the file, which is nobody's to read */
};

/* ---- hashes ---- */

static bool
is_hash_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '.' || c == '/' || c == '$' ||
           c == '=' || c == ',';
}

static bool
is_printed_hash(struct amy__span hash)
{
    for (size_t i = 0; i < hash.n; i++) {
        if (!is_hash_char(hash.p[i])) {
            return false;
        }
    }
    return hash.n < AMY__HASH_MAX;
}

/* "$2y$10$" and 53 characters. */
static const char *
bcrypt_fault(struct amy__span hash)
{
    struct amy__span digits = {hash.p + 4, 2};
    uint64_t cost = 0;

    if (hash.n != BCRYPT_CHARS || hash.p[6] != '$' ||
        !amy__parse_u64(digits, 99, &cost)) {
        return "is no whole hash of bcrypt";
    }
    return cost < BCRYPT_MIN || cost > BCRYPT_MAX
               ? "has a cost of bcrypt that is not 4 to 14"
               : NULL;
}

/* "$6$rounds=5000$salt$..." or "$6$salt$...". */
static const char *
sha_fault(struct amy__span hash)
{
    struct amy__span rest = {hash.p + 3, hash.n - 3};
    struct amy__span part = {0};
    uint64_t rounds = 0;
    size_t parts = 0;

    while (amy__span_split(&rest, '$', &part)) {
        if (parts == 0 && amy__span_starts(part, AMY_SPAN("rounds="))) {
            part = (struct amy__span){part.p + 7, part.n - 7};
            if (!amy__parse_u64(part, ROUNDS_MAX, &rounds)) {
                return "has more than 1000000 rounds";
            }
            continue;
        }
        parts++;
    }
    return parts == 2 && part.n >= 43 ? NULL : "is no whole hash";
}

static unsigned
digit_of(char c)
{
    static const char digits[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const char *at = memchr(digits, c, sizeof(digits) - 1);

    return at == NULL ? 64U : (unsigned)(at - digits);
}

/* "$y$j9T$salt$hash": how, log2(N) - 1, and r - 1, a digit each: what writes
 * more of them has another time or parallelism than crypt_gensalt(3). */
static const char *
yescrypt_fault(struct amy__span hash)
{
    const char *params = memchr(hash.p + 1, '$', hash.n - 1);

    if (hash.n < 60 || params == NULL || params[1] != 'j' || params[4] != '$') {
        return "is no whole hash of yescrypt";
    }
    return digit_of(params[2]) + 1 > YESCRYPT_LOG2_MAX ||
                   digit_of(params[3]) + 1 > SCRYPT_R_MAX
               ? "has a cost of yescrypt that is more than 7"
               : NULL;
}

/* "$7$CU..../....salt$hash": log2(N), then r and p of five digits, the lowest
 * first. */
static const char *
scrypt_fault(struct amy__span hash)
{
    if (hash.n < 60) {
        return "is no whole hash of scrypt";
    }
    return digit_of(hash.p[3]) > SCRYPT_LOG2_MAX ||
                   digit_of(hash.p[4]) > SCRYPT_R_MAX ||
                   memcmp(hash.p + 5, "..../....", 9) != 0
               ? "has a cost of scrypt that is more than N=16384, r=32, p=1"
               : NULL;
}

const char *
amy__hash_fault(struct amy__span hash)
{
    if (!is_printed_hash(hash)) {
        return "has no hash of crypt(3) behind the name";
    }
    if (amy__span_starts(hash, AMY_SPAN("$2a$")) ||
        amy__span_starts(hash, AMY_SPAN("$2b$")) ||
        amy__span_starts(hash, AMY_SPAN("$2y$"))) {
        return bcrypt_fault(hash);
    }
    if (amy__span_starts(hash, AMY_SPAN("$5$")) ||
        amy__span_starts(hash, AMY_SPAN("$6$"))) {
        return sha_fault(hash);
    }
    if (amy__span_starts(hash, AMY_SPAN("$y$")) ||
        amy__span_starts(hash, AMY_SPAN("$gy$"))) {
        return yescrypt_fault(hash);
    }
    if (amy__span_starts(hash, AMY_SPAN("$7$"))) {
        return scrypt_fault(hash);
    }
    if (amy__span_starts(hash, AMY_SPAN("$apr1$")) ||
        amy__span_starts(hash, AMY_SPAN("$1$"))) {
        return "has a hash by MD5, which is guessed too fast";
    }
    return "has no hash of bcrypt, yescrypt, scrypt or SHA-2 behind the name "
           "(htpasswd -B makes one)";
}

/* ---- lines ---- */

static const char *
name_fault(struct amy__span name)
{
    if (name.n == 0 || name.n > AMY__BASIC_NAME_MAX) {
        return "has no name of 1 to 128 bytes before a colon";
    }
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];

        if (c <= 0x20 || c == 0x7f) {
            return "has a blank or a control character in the name";
        }
    }
    return NULL;
}

/* The line as a user, in place; or what is wrong with it. */
static const char *
take_line(struct amy__users *users, char *line, size_t n)
{
    char *colon = memchr(line, ':', n);
    struct amy__users_entry entry = {.name = line, .hash = ""};
    struct amy__span name = {line, colon == NULL ? 0 : (size_t)(colon - line)};
    struct amy__span hash = {NULL, 0};
    const char *fault = name_fault(name);

    if (fault != NULL) {
        return fault;
    }
    hash = (struct amy__span){colon + 1, n - name.n - 1};
    fault = amy__hash_fault(hash);
    if (fault != NULL) {
        return fault;
    }
    if (amy__users_find(users, name) != NULL) {
        return "has a name that an earlier line has";
    }
    if (users->count == AMY__USERS_MAX) {
        return "is one of more than 1000 users";
    }
    entry.hash = colon + 1;
    *colon = '\0';
    line[n] = '\0'; /* a newline, or the end */
    users->entries[users->count++] = entry;
    return NULL;
}

static void
take_lines(struct amy__users *users, size_t n, amy__users_fn on_fault,
           void *user)
{
    char *at = users->text;
    const char *end = users->text + n;

    for (uint32_t number = 1; at < end; number++) {
        char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t length = (size_t)((newline == NULL ? end : newline) - at);
        char *next = at + length + 1;
        const char *fault = NULL;

        if (length > 0 && at[length - 1] == '\r') {
            length--;
        }
        if (length > 0 && at[0] != '#') {
            fault = take_line(users, at, length);
        }
        if (fault != NULL && on_fault != NULL) {
            on_fault(number, fault, user);
        }
        at = next;
    }
}

int
amy__users_parse(struct amy__span text, amy__users_fn on_fault, void *user,
                 struct amy__users **ret_users, struct amy_error *err)
{
    struct amy__users *users = amy__calloc(1, sizeof(*users));

    if (users != NULL) {
        users->entries = amy__calloc(AMY__USERS_MAX, sizeof(*users->entries));
        users->text = amy__calloc(1, text.n + 1);
    }
    if (users == NULL || users->entries == NULL || users->text == NULL) {
        amy__users_free(users);
        return amy__err(err, AMY_ENOMEM, "allocating users");
    }
    if (text.n > 0) {
        memcpy(users->text, text.p, text.n);
    }
    if (amy__sha256(text.p, text.n, users->key, err) < 0) {
        amy__users_free(users);
        return AMY_ENOMEM;
    }
    take_lines(users, text.n, on_fault, user);
    *ret_users = users;
    return 0;
}

void
amy__users_free(struct amy__users *users)
{
    if (users != NULL) {
        amy__free(users->entries);
        amy__free(users->text);
        amy__free(users);
    }
}

size_t
amy__users_count(const struct amy__users *users)
{
    return users == NULL ? 0 : users->count;
}

const struct amy__users_entry *
amy__users_find(const struct amy__users *users, struct amy__span name)
{
    for (size_t i = 0; users != NULL && i < users->count; i++) {
        if (amy__span_eq(amy__span_of(users->entries[i].name), name)) {
            return &users->entries[i];
        }
    }
    return NULL;
}

const struct amy__users_entry *
amy__users_any(const struct amy__users *users, struct amy__span name)
{
    uint8_t text[DIGEST + AMY__BASIC_NAME_MAX];
    uint8_t digest[DIGEST] = {0};
    uint64_t number = 0;

    if (amy__users_count(users) == 0) {
        return NULL;
    }
    if (name.n > AMY__BASIC_NAME_MAX) {
        name.n = AMY__BASIC_NAME_MAX;
    }
    memcpy(text, users->key, DIGEST);
    if (name.n > 0) {
        memcpy(text + DIGEST, name.p, name.n);
    }
    (void)amy__sha256(text, DIGEST + name.n, digest, NULL);
    memcpy(&number, digest, sizeof(number));
    return &users->entries[number % users->count];
}
