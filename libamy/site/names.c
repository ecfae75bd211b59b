/* The shapes of single texts in site.yaml: domains, users, pools, paths.
 * Not for whether what they name exists. */
#include "core/error.h"
#include "logrotate/name.h"
#include "site/logs.h"
#include "site/site.h"
#include "site/spec.h"

#include <string.h>
#include <sys/un.h>

#define DOMAIN_MAX 253
#define LABEL_MAX 63
#define USER_MAX 32
#define POOL_MAX 32
#define URL_PATH_MAX 1024

static bool
is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static int
check_label(struct amy__span label, struct amy_error *err)
{
    if (label.n == 0) {
        return amy__err(err, AMY_EINVAL,
                        "is no domain: a part between dots is empty");
    }
    if (label.n > LABEL_MAX) {
        return amy__err(err, AMY_EINVAL,
                        "is no domain: a part has more than 63 characters");
    }
    if (label.p[0] == '-' || label.p[label.n - 1] == '-') {
        return amy__err(err, AMY_EINVAL,
                        "is no domain: a part begins or ends with '-'");
    }
    return 0;
}

static int
check_domain_letters(struct amy__span name, struct amy_error *err)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];

        if (c >= 'A' && c <= 'Z') {
            return amy__err(err, AMY_EINVAL,
                            "is no domain: capital letters are not allowed");
        }
        if (!is_lower(c) && !is_digit(c) && c != '-' && c != '.') {
            return amy__err(err, AMY_EINVAL,
                            "is no domain: only a-z, 0-9, '-' and '.' are "
                            "allowed (others as xn--...)");
        }
    }
    return 0;
}

/* RFC 1123 section 2.1: a name is told from an address by its last label. */
static bool
ends_in_number(struct amy__span name)
{
    size_t i = name.n;

    while (i > 0 && is_digit(name.p[i - 1])) {
        i--;
    }
    return i < name.n && (i == 0 || name.p[i - 1] == '.');
}

int
amy__domain_check(struct amy__span name, struct amy_error *err)
{
    size_t start = 0;
    int rc = 0;

    if (name.n == 0) {
        return amy__err(err, AMY_EINVAL, "is no domain: it is empty");
    }
    if (name.n > DOMAIN_MAX) {
        return amy__err(err, AMY_EINVAL,
                        "is no domain: more than 253 characters");
    }
    rc = check_domain_letters(name, err);
    for (size_t i = 0; rc == 0 && i <= name.n; i++) {
        if (i == name.n || name.p[i] == '.') {
            rc =
                check_label((struct amy__span){name.p + start, i - start}, err);
            start = i + 1;
        }
    }
    if (rc == 0 && ends_in_number(name)) {
        return amy__err(err, AMY_EINVAL,
                        "is no domain: it ends in a number, as an address");
    }
    if (rc == 0 && amy__span_ends(name, AMY_SPAN(".sock"))) {
        /* /run/amy holds {domain}/ beside front.sock and workers.sock. */
        return amy__err(err, AMY_EINVAL,
                        "is no domain: .sock is kept for the daemons' sockets");
    }
    return rc;
}

int
amy__site_check_user(struct amy__span name, struct amy_error *err)
{
    if (amy__span_eq(name, AMY_SPAN("root"))) {
        return amy__err(err, AMY_EINVAL, "is refused");
    }
    if (name.n > USER_MAX) {
        return amy__err(err, AMY_EINVAL,
                        "is no user name: more than 32 characters");
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool inside = i > 0 && (is_digit(c) || c == '-' || c == '.');

        if (!is_letter(c) && c != '_' && !inside) {
            return amy__err(err, AMY_EINVAL, "is no user name");
        }
    }
    return 0;
}

int
amy__site_check_pool(struct amy__span name, struct amy_error *err)
{
    if (name.n > POOL_MAX) {
        return amy__err(err, AMY_EINVAL, "has more than 32 characters");
    }
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool inside = i > 0 && (c == '-' || c == '_');

        if (!is_lower(c) && !is_digit(c) && !inside) {
            return amy__err(err, AMY_EINVAL, "is no name of workers");
        }
    }
    return 0;
}

/* Any '.' or '..' between slashes. */
static bool
has_dot_segment(struct amy__span path)
{
    struct amy__span piece = {NULL, 0};

    while (amy__span_split(&path, '/', &piece)) {
        if (amy__span_eq(piece, AMY_SPAN(".")) ||
            amy__span_eq(piece, AMY_SPAN(".."))) {
            return true;
        }
    }
    return false;
}

static bool
has_double_slash(struct amy__span path)
{
    for (size_t i = 1; i < path.n; i++) {
        if (path.p[i] == '/' && path.p[i - 1] == '/') {
            return true;
        }
    }
    return false;
}

int
amy__site_check_url_path(struct amy__span path, struct amy_error *err)
{
    if (path.n == 0 || path.p[0] != '/') {
        return amy__err(err, AMY_EINVAL, "does not begin with '/'");
    }
    if (path.n > URL_PATH_MAX) {
        return amy__err(err, AMY_EINVAL, "has more than 1024 characters");
    }
    if (has_dot_segment(path) || has_double_slash(path)) {
        return amy__err(err, AMY_EINVAL,
                        "is no plain path: '//', '.' or '..' in it");
    }
    for (size_t i = 0; i < path.n; i++) {
        if (path.p[i] <= ' ' || path.p[i] == 0x7F ||
            memchr("?#%\\\"", path.p[i], 5) != NULL) {
            return amy__err(err, AMY_EINVAL,
                            "is no plain path: write it decoded, without "
                            "'?', '#', '%%', blanks or quotes, in ASCII");
        }
    }
    return 0;
}

int
amy__site_check_files(struct amy__span path, struct amy_error *err)
{
    if (path.n == 0 || path.p[0] == '/') {
        return amy__err(err, AMY_EINVAL,
                        "is no path beneath the site's directory");
    }
    if (path.n > URL_PATH_MAX) {
        return amy__err(err, AMY_EINVAL, "has more than 1024 characters");
    }
    if (has_dot_segment(path) || has_double_slash(path)) {
        return amy__err(err, AMY_EINVAL,
                        "is no plain path: '//', '.' or '..' in it");
    }
    return 0;
}

int
amy__site_check_log(struct amy__span name, struct amy_error *err)
{
    if (!amy__logname_is_base(name)) {
        return amy__err(err, AMY_EINVAL,
                        "is no name of a log in logs/, or that of an old one");
    }
    if (amy__site_logs_is_ours(name)) {
        return amy__err(err, AMY_EINVAL, "is rotated already");
    }
    return 0;
}

/* Where strangers find workers. */
int
amy__site_check_socket(struct amy__span path, struct amy_error *err)
{
    if (path.n == 0 || path.p[0] != '/' || path.p[path.n - 1] == '/') {
        return amy__err(err, AMY_EINVAL, "is no absolute path of a file");
    }
    if (path.n >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        return amy__err(err, AMY_EINVAL,
                        "is too long for the path of a socket");
    }
    if (has_dot_segment(path) || has_double_slash(path)) {
        return amy__err(err, AMY_EINVAL,
                        "is no plain path: '//', '.' or '..' in it");
    }
    return 0;
}

/* A server of somebody else's: numbers, or an absolute path. */
int
amy__site_check_upstream(struct amy__span text, struct amy_error *err)
{
    struct amy__address address;
    struct amy_error ours = AMY_ERROR_INIT;

    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7F) {
            return amy__err(err, AMY_EINVAL, "holds a control character");
        }
    }
    if (amy__span_starts(text, AMY_SPAN("unix:")) &&
        !amy__span_starts(text, AMY_SPAN("unix:/"))) {
        return amy__err(err, AMY_EINVAL, "is no absolute path");
    }
    if (amy__address_parse(text, 0, &address, &ours) < 0) {
        return amy__err(err, AMY_EINVAL,
                        amy__span_starts(text, AMY_SPAN("unix:"))
                            ? "is too long for the path of a socket"
                            : "is no address");
    }
    if (address.sa.ss_family != AF_UNIX &&
        (amy__address_port(&address) == 0 || text.p[0] == '*' ||
         text.p[0] == ':')) {
        return amy__err(err, AMY_EINVAL, "is no address with a port");
    }
    return 0;
}

static bool
is_dotted_name(struct amy__span s)
{
    bool begins = true;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '.' && !begins) {
            begins = true;
        } else if (is_letter(c) || c == '_' || (is_digit(c) && !begins)) {
            begins = false;
        } else {
            return false;
        }
    }
    return !begins;
}

/* What gunicorn takes, less its calls with arguments: they would reach a shell
 * of ideas nobody needs here. */
int
amy__site_check_wsgi(struct amy__span target, struct amy_error *err)
{
    const char *colon = target.n == 0 ? NULL : memchr(target.p, ':', target.n);
    struct amy__span module = target;

    if (colon != NULL) {
        size_t before = (size_t)(colon - target.p);

        module.n = before;
        if (!is_dotted_name(
                (struct amy__span){colon + 1, target.n - before - 1})) {
            return amy__err(err, AMY_EINVAL, "is no module:callable");
        }
    }
    if (!is_dotted_name(module)) {
        return amy__err(err, AMY_EINVAL, "is no module:callable");
    }
    return 0;
}

/* Beneath the site's directory others may write: root would not read it. */
int
amy__site_check_users(struct amy__span path, struct amy_error *err)
{
    bool absolute = path.n > 0 && path.p[0] == '/';

    if (path.n == 0 || path.n > URL_PATH_MAX || path.p[path.n - 1] == '/' ||
        path.p[0] == '.') {
        return amy__err(err, AMY_EINVAL, "names no file");
    }
    for (size_t i = 0; i < path.n; i++) {
        if ((unsigned char)path.p[i] <= 0x20 || path.p[i] == 0x7f) {
            return amy__err(err, AMY_EINVAL,
                            "has a blank or a control character");
        }
        if (path.p[i] == '/' && !absolute) {
            return amy__err(err, AMY_EINVAL,
                            "is neither a whole path nor a name alone");
        }
    }
    return 0;
}

/* It stands between quotes in a field. */
int
amy__site_check_realm(struct amy__span text, struct amy_error *err)
{
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < ' ' || text.p[i] > '~' || text.p[i] == '"' ||
            text.p[i] == '\\') {
            return amy__err(err, AMY_EINVAL,
                            "has a character that is not allowed");
        }
    }
    return text.n > 0 && text.n <= 100
               ? 0
               : amy__err(err, AMY_EINVAL, "is empty or too long");
}
