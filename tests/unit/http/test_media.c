#include "amy_test.h"

#include "http/media.h"

#include <string.h>

static void
test_type_by_suffix(void **state)
{
    static const struct {
        const char *path;
        const char *type;
    } cases[] = {
        {"/index.html", "text/html; charset=utf-8"},
        {"/A.HTML", "text/html; charset=utf-8"},
        {"/site.css", "text/css; charset=utf-8"},
        {"/app.js", "text/javascript; charset=utf-8"},
        {"/app.mjs", "text/javascript; charset=utf-8"},
        {"/app.js.map", "application/json"},
        {"/a.json", "application/json"},
        {"/a.svg", "image/svg+xml; charset=utf-8"},
        {"/a.png", "image/png"},
        {"/a.jpg", "image/jpeg"},
        {"/a.webp", "image/webp"},
        {"/a.avif", "image/avif"},
        {"/a.gif", "image/gif"},
        {"/favicon.ico", "image/x-icon"},
        {"/a.woff2", "font/woff2"},
        {"/a.woff", "font/woff"},
        {"/a.ttf", "font/ttf"},
        {"/robots.txt", "text/plain; charset=utf-8"},
        {"/a.xml", "application/xml"},
        {"/a.pdf", "application/pdf"},
        {"/a.wasm", "application/wasm"},
        {"/a.mp4", "video/mp4"},
        {"/a.webm", "video/webm"},
        {"/a.webmanifest", "application/manifest+json"},
        {"/a.7z", "application/x-7z-compressed"},
        {"/a.zst", "application/zstd"},
        {"/a", "application/octet-stream"},
        {"/a.", "application/octet-stream"},
        {"/.css", "application/octet-stream"},
        {"/a.css/b", "application/octet-stream"},
        {"/a.unknownsuffixthatislong", "application/octet-stream"},
        {".css", "application/octet-stream"},
        {"", "application/octet-stream"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__span type = amy__media_type(amy__span_of(cases[i].path));

        assert_string_equal(type.p, cases[i].type);
        assert_int_equal(type.n, strlen(cases[i].type));
    }
}

static void
test_packed_types_are_those_that_gain_nothing(void **state)
{
    static const struct {
        const char *path;
        bool packed;
    } cases[] = {
        {"a.png", true},   {"a.jpg", true},  {"a.webp", true},
        {"a.mp4", true},   {"a.mp3", true},  {"a.woff2", true},
        {"a.zip", true},   {"a.gz", true},   {"a.svg", false},
        {"a.ico", false},  {"a.css", false}, {"a.js", false},
        {"a.html", false}, {"a.ttf", false}, {"a.wasm", false},
        {"a.json", false}, {"a", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__span type = amy__media_type(amy__span_of(cases[i].path));

        assert_int_equal(amy__media_is_packed(type), cases[i].packed);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_by_suffix),
        cmocka_unit_test(test_packed_types_are_those_that_gain_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
