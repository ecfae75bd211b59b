/* Self-signed certificates, made while the test runs. */
#ifndef TEST_CERT_H
#define TEST_CERT_H

#include "core/str.h"

struct test_cert {
    char chain[4096];
    char key[4096];
};

/* For the names, "a.test,b.test"; valid from and for so many seconds. */
void test_cert_make(struct test_cert *cert, const char *names, int from_s,
                    int for_s);

#endif
