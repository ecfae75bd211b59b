/* The built-in pages: plain HTML, nothing loaded from anywhere. */
/* Not for a site's own pages, which gate/gate.c reads. */
#include "gate/page.h"

/* What both have in common: readable on a telephone, light and dark. */
#define PAGE_BEGIN(title)                                                      \
    "<!doctype html>\n"                                                        \
    "<html lang=\"en\">\n"                                                     \
    "<head>\n"                                                                 \
    "<meta charset=\"utf-8\">\n"                                               \
    "<meta name=\"viewport\" content=\"width=device-width, "                   \
    "initial-scale=1\">\n"                                                     \
    "<meta name=\"color-scheme\" content=\"light dark\">\n"                    \
    "<meta name=\"robots\" content=\"noindex\">\n"                             \
    "<title>" title "</title>\n"                                               \
    "<style>\n"                                                                \
    ":root { --paper: #f6f7f9; --ink: #1d2430; --faint: #5c6675; "             \
    "--accent: #2f6f8f; }\n"                                                   \
    "@media (prefers-color-scheme: dark) {\n"                                  \
    "  :root { --paper: #14181f; --ink: #e8ecf2; --faint: #98a3b3; "           \
    "--accent: #7fc1de; }\n"                                                   \
    "}\n"                                                                      \
    "body {\n"                                                                 \
    "  margin: 0; min-height: 100vh; display: grid; place-items: center;\n"    \
    "  background: var(--paper); color: var(--ink);\n"                         \
    "  font: 1.0625rem/1.6 system-ui, -apple-system, \"Segoe UI\", Roboto, "   \
    "sans-serif;\n"                                                            \
    "}\n"                                                                      \
    "main { max-width: 30rem; padding: 2rem; text-align: center; }\n"          \
    "svg { width: 3.5rem; height: 3.5rem; stroke: var(--accent); "             \
    "fill: none; stroke-width: 1.75; stroke-linecap: round; "                  \
    "stroke-linejoin: round; }\n"                                              \
    "h1 { font-size: 2.125rem; line-height: 1.2; margin: 1rem 0 .5rem; "       \
    "letter-spacing: -.015em; }\n"                                             \
    "p { color: var(--faint); margin: 0; }\n"                                  \
    "</style>\n"                                                               \
    "</head>\n"                                                                \
    "<body>\n"                                                                 \
    "<main>\n"
#define PAGE_END                                                               \
    "</main>\n"                                                                \
    "</body>\n"                                                                \
    "</html>\n"

struct amy__span
amy__page_maintenance(void)
{
    return AMY_SPAN(PAGE_BEGIN(
        "Back soon") "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">"
                     "<circle cx=\"12\" cy=\"12\" r=\"9\"/>"
                     "<path d=\"M12 7v5l3 2\"/></svg>\n"
                     "<h1>Back soon</h1>\n"
                     "<p>This site is being worked on. Please try again in a few "
                     "minutes.</p>\n" PAGE_END);
}

struct amy__span
amy__page_down(void)
{
    return AMY_SPAN(PAGE_BEGIN(
        "One moment") "<svg viewBox=\"0 0 24 24\" aria-hidden=\"true\">"
                      "<path d=\"M4 17h16M6 17a6 6 0 0 1 12 0M12 4v3M4.5 8.5l2 "
                      "2M19.5 8.5l-2 2\"/></svg>\n"
                      "<h1>One moment</h1>\n"
                      "<p>This site does not answer just now. It should be back shortly; "
                      "please try again in a minute.</p>\n" PAGE_END);
}
